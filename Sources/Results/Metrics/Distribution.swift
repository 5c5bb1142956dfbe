internal import Simulator

/// The `p`-th percentile of sorted values, by linear interpolation between closest ranks: the definition that numpy
/// takes by default and Hyndman and Fan (1996) call type 7.
///
/// With n values and h = (n - 1) p / 100 it lies between the values at ranks floor(h) and floor(h) + 1, counted from 0,
/// at the fraction h - floor(h).
///
/// - Precondition: there is a value, they are sorted, and 0 <= `p` <= 100.
public func percentile(_ p: Double, ofSorted values: [Double]) -> Double {
    precondition(!values.isEmpty && (0...100).contains(p), "no \(p)th percentile of \(values.count) values")
    let position = Double(values.count - 1) * p / 100
    let below = min(Int(position), values.count - 1)
    return between(values[below], values[min(below + 1, values.count - 1)], at: position)
}

/// The value at the fraction of `position` between two neighbours in rank.
private func between(_ low: Double, _ high: Double, at position: Double) -> Double {
    let fraction = position - position.rounded(.down)
    // From the nearer end, so that the result never passes it by rounding.
    return fraction < 0.5 ? low + (high - low) * fraction : high - (high - low) * (1 - fraction)
}

/// Mean and percentiles of a set of durations, in seconds.
public struct Distribution: Sendable, Equatable {
    public var count: Int
    public var mean: Double
    public var p50: Double
    public var p90: Double
    public var p99: Double

    /// The distribution of durations given in nanoseconds; `nil` if there is none.
    public init?(nanoseconds: [Double]) {
        guard !nanoseconds.isEmpty else { return nil }
        let sorted = nanoseconds.sorted()
        count = sorted.count
        // Summed in ascending order: the mean does not depend on the order of the log.
        mean = sorted.reduce(0, +) / Double(sorted.count) * 1e-9
        p50 = percentile(50, ofSorted: sorted) * 1e-9
        p90 = percentile(90, ofSorted: sorted) * 1e-9
        p99 = percentile(99, ofSorted: sorted) * 1e-9
    }

    /// The distribution of gaps: exact where they are kept, else within the width of the histogram's bins.
    init?(_ gaps: TokenGapLog) {
        guard let percentiles = gaps.isWhole ? Self.exact(gaps) : Self.binned(gaps.histogram) else { return nil }
        count = gaps.total
        mean = gaps.histogram.sum / Double(gaps.total) * 1e-9
        (p50, p90, p99) = (percentiles[0] * 1e-9, percentiles[1] * 1e-9, percentiles[2] * 1e-9)
    }

    private static let percentages = [50.0, 90, 99]

    /// Percentiles in nanoseconds, without sorting all gaps.
    private static func exact(_ gaps: TokenGapLog) -> [Double]? {
        guard !gaps.isEmpty else { return nil }
        let last = gaps.count - 1
        let positions = percentages.map { Double(last) * $0 / 100 }
        let values = gaps.sorted(at: positions.flatMap { [Int($0), min(Int($0) + 1, last)] }).map(Double.init)
        return positions.enumerated().map { place, position in
            between(values[2 * place], values[2 * place + 1], at: position)
        }
    }

    private static func binned(_ histogram: DurationHistogram) -> [Double]? {
        let values = percentages.compactMap { histogram.percentile($0) }
        return values.count == percentages.count ? values : nil
    }

    init?(_ durations: some Sequence<SimDuration>) {
        self.init(nanoseconds: durations.map { Double($0.nanoseconds) })
    }
}
