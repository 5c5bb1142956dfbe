internal import Glibc

/// Student's t, for intervals of a mean over few independent runs.
enum StudentT {
    /// The 97.5th percentile with `freedom` degrees of freedom: 95 % of the distribution lie within it on both sides.
    ///
    /// - Precondition: `freedom` is at least 1.
    static func quantile975(freedom: Int) -> Double {
        precondition(freedom >= 1, "no t distribution of \(freedom) degrees of freedom")
        var (low, high) = (0.0, 16.0)
        for _ in 0..<80 {
            let middle = (low + high) / 2
            if probabilityWithin(middle, freedom: freedom) < 0.95 { low = middle } else { high = middle }
        }
        return (low + high) / 2
    }

    /// P(|T| <= t), by the finite series for whole degrees of freedom (Abramowitz and Stegun, 26.7.3 and 26.7.4).
    static func probabilityWithin(_ t: Double, freedom: Int) -> Double {
        let angle = atan(t / Double(freedom).squareRoot())
        let (sine, cosine) = (sin(angle), cos(angle))
        let square = cosine * cosine
        if freedom.isMultiple(of: 2) {
            var (sum, term, k) = (1.0, 1.0, 2)
            while k <= freedom - 2 {
                term *= square * Double(k - 1) / Double(k)
                sum += term
                k += 2
            }
            return sine * sum
        }
        guard freedom > 1 else { return 2 * angle / .pi }
        var (sum, term, k) = (cosine, cosine, 3)
        while k <= freedom - 2 {
            term *= square * Double(k - 1) / Double(k)
            sum += term
            k += 2
        }
        return 2 / .pi * (angle + sine * sum)
    }
}

/// Mean and 95 % confidence interval of independent runs.
struct SeedStatistics {
    /// Runs that have the figure.
    var count: Int
    /// NaN of none.
    var mean: Double
    /// Half the width of the interval: t times the standard deviation over the root of the count; NaN of fewer than two.
    var halfWidth: Double

    init(_ values: some Sequence<Double>) {
        let present = values.filter(\.isFinite)
        count = present.count
        guard count > 0 else {
            (mean, halfWidth) = (.nan, .nan)
            return
        }
        let mean = present.reduce(0, +) / Double(count)
        self.mean = mean
        guard count > 1 else {
            halfWidth = .nan
            return
        }
        let variance = present.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(count - 1)
        halfWidth = StudentT.quantile975(freedom: count - 1) * (variance / Double(count)).squareRoot()
    }
}
