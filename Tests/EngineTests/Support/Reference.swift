import Testing

/// How much rounding a result goes through, in units of `Float`'s 2^-24.
///
/// Each operation errs by a factor within 1 +- 2^-24, and by 2^-150 where it underflows (Higham, Accuracy and Stability
/// of Numerical Algorithms, section 2.2). A sum of n terms, in any order, errs by at most n 2^-24 of the sum of its terms'
/// magnitudes. Rounding errors behave as if independent, so that sums of more than 16 terms are held to the square root,
/// four standard deviations of a random walk (Higham and Mary, SIAM J. Sci. Comput. 41, 2019).
struct Rounding: Sendable {
    /// Largest error, over 2^-24 of a result's magnitude.
    let growth: Double

    static let none = Rounding(growth: 0)

    /// A sum of `terms` products.
    static func sum(_ terms: Int) -> Rounding { Rounding(growth: min(Double(terms), 4 * Double(terms).squareRoot())) }

    /// Operations one after the other.
    static func steps(_ count: Double) -> Rounding { Rounding(growth: count) }

    /// `exponential`: 1.25 units in the last place, each at most 2^-23 of the value, and the subtraction before it.
    static let exponential = steps(4)

    /// Magnitude by which `exponential` is too large below -87, where it stays at e^-87 < 2^-125.
    static let clampedExponential = 0x1p-101

    static func + (a: Rounding, b: Rounding) -> Rounding { Rounding(growth: a.growth + b.growth) }
    static func * (a: Double, b: Rounding) -> Rounding { Rounding(growth: a * b.growth) }

    /// The error allowed of a result of this magnitude; below the normal range, numbers are no finer than at its end.
    func allowance(_ magnitude: Double) -> Double { growth * 0x1p-24 * (magnitude + 0x1p-126) }
}

/// What a result should be, and how far rounding may take each element of it.
struct Reference: Sendable {
    let name: String
    let values: [Double]
    /// Per element, what its terms come to without their signs: the size of what is rounded on the way.
    let magnitudes: [Double]
    let rounding: Rounding

    init(_ name: String, _ values: [Double], magnitudes: [Double]? = nil, _ rounding: Rounding) {
        self.name = name
        self.values = values
        self.magnitudes = magnitudes ?? values.magnitudes
        self.rounding = rounding
    }

    /// Values that are only moved, chosen or counted.
    init(exact name: String, _ values: [Double]) { self.init(name, values, .none) }

    /// The largest error as a share of what its element is allowed; at most 1 for a kernel that is right.
    func share(of computed: [Float]) -> (share: Double, index: Int) {
        precondition(computed.count == values.count, "\(name): \(computed.count) results, not \(values.count)")
        var worst = (share: 0.0, index: 0)
        for index in values.indices {
            let gap = Closeness.gap(Double(computed[index]), values[index])
            let allowed = rounding.allowance(magnitudes[index])
            let share = gap == 0 ? 0 : allowed.isNaN ? .infinity : gap / allowed
            if share > worst.share { worst = (share, index) }
        }
        return worst
    }

    /// The right values, rounded to `Float`, but for one: it is off by a thousandth of its magnitude, or not zero.
    ///
    /// A comparison that accepts this would accept any error of that size in its largest element.
    func spoiled() -> [Float]? {
        guard let place = magnitudes.indices.max(by: { magnitudes[$0] < magnitudes[$1] }) else { return nil }
        var result = values.map { Float($0) }
        result[place] += max(Float(magnitudes[place]) * 0x1p-10, 0x1p-100)
        return result
    }

    func expect(_ computed: [Float], _ context: String, sourceLocation: SourceLocation = #_sourceLocation) {
        let (share, index) = share(of: computed)
        #expect(
            share <= 1,
            """
            \(context), \(name): [\(index)] errs by \(share) of what rounding explains \
            (magnitude \(index < magnitudes.count ? magnitudes[index] : 0)); \(Closeness(computed, values))
            """, sourceLocation: sourceLocation)
    }
}

extension [Double] {
    var magnitudes: [Double] { map(abs) }
}
