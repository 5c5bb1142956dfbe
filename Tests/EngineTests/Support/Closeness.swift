import Testing

/// How far computed floats are from what they should be.
///
/// NaN is close to NaN only, and an infinity to the same infinity: elsewhere either puts every figure at infinity. An
/// expected value beyond `Float` counts as the infinity that it rounds to. Zeros of both signs are equal.
struct Closeness: CustomStringConvertible {
    /// The element where an error is largest.
    struct Worst: CustomStringConvertible {
        fileprivate(set) var error = 0.0
        fileprivate(set) var index = 0
        fileprivate(set) var computed = 0.0
        fileprivate(set) var expected = 0.0

        fileprivate mutating func take(_ error: Double, _ index: Int, _ computed: Double, _ expected: Double) {
            guard error > self.error else { return }
            self = Worst(error: error, index: index, computed: computed, expected: expected)
        }

        var description: String {
            error == 0 ? "0" : "\(error) at [\(index)]: computed \(computed), expected \(expected)"
        }
    }

    /// Elements compared.
    let count: Int
    /// |computed - expected| / |expected|, both L2, the denominator at least the `floor` given; 0 when they are equal, so
    /// that anything but zeros is infinitely far from zeros.
    let relative: Double
    /// Largest single difference.
    let absolute: Worst
    /// Largest difference in units in the last place of its own expected value: those of `Float`, 2^-149 at zero.
    let ulps: Worst

    init<A: Collection, B: Collection>(_ computed: A, _ expected: B, floor: Double = 0)
    where A.Element: BinaryFloatingPoint, B.Element: BinaryFloatingPoint {
        precondition(computed.count == expected.count, "cannot compare \(computed.count) with \(expected.count)")
        var difference = 0.0
        var size = 0.0
        var absolute = Worst()
        var ulps = Worst()
        for (index, (a, b)) in zip(computed, expected).enumerated() {
            let (computed, expected) = (Double(a), Double(b))
            let gap = Self.gap(computed, expected)
            difference += gap * gap
            // An infinity that is met is no measure for the others.
            if expected.isFinite { size += expected * expected }
            absolute.take(gap, index, computed, expected)
            ulps.take(gap / Self.ulp(expected), index, computed, expected)
        }
        count = computed.count
        relative = difference == 0 ? 0 : difference.squareRoot() / max(size.squareRoot(), floor)
        self.absolute = absolute
        self.ulps = ulps
    }

    /// |computed - expected|, infinite where one is not finite and the other is not the same.
    static func gap(_ computed: Double, _ expected: Double) -> Double {
        if computed.isNaN || expected.isNaN { return computed.isNaN && expected.isNaN ? 0 : .infinity }
        if computed.isInfinite || Float(expected).isInfinite {
            return computed == Double(Float(expected)) ? 0 : .infinity
        }
        return abs(computed - expected)
    }

    /// The unit in the last place of a `Float` of this size.
    private static func ulp(_ value: Double) -> Double {
        let rounded = Float(value)
        return Double(rounded.isFinite ? rounded.ulp : Float.greatestFiniteMagnitude.ulp)
    }

    /// What to say when the relative error exceeds `tolerance`; nil when it does not.
    func complaint(beyond tolerance: Double) -> String? { relative <= tolerance ? nil : description }

    var description: String {
        "of \(count): relative L2 error \(relative); worst absolute \(absolute); worst in ulps \(ulps)"
    }
}

/// Checks that `computed` is `expected` up to a relative L2 error.
func expectClose<A: Collection, B: Collection>(
    _ computed: A, _ expected: B, within tolerance: Double, floor: Double = 0, _ what: String,
    sourceLocation: SourceLocation = #_sourceLocation
) where A.Element: BinaryFloatingPoint, B.Element: BinaryFloatingPoint {
    let complaint = Closeness(computed, expected, floor: floor).complaint(beyond: tolerance)
    #expect(complaint == nil, "\(what): \(complaint ?? "")", sourceLocation: sourceLocation)
}
