import Testing

/// How far computed floats are from what they should be.
struct Closeness: CustomStringConvertible {
    /// |computed - expected| / |expected|, both L2; 0 when both are zero.
    let relative: Double
    /// Largest single difference, in units in the last place of the largest expected value.
    let worstUlps: Double
    /// Place of the largest difference.
    let worstIndex: Int

    init<A: Collection, B: Collection>(_ computed: A, _ expected: B, floor: Double = 0)
    where A.Element: BinaryFloatingPoint, B.Element: BinaryFloatingPoint {
        precondition(computed.count == expected.count, "cannot compare \(computed.count) with \(expected.count)")
        var difference = 0.0
        var size = 0.0
        var worst = 0.0
        var place = 0
        var largest = 0.0
        for (index, (a, b)) in zip(computed, expected).enumerated() {
            let gap = Double(a) - Double(b)
            difference += gap * gap
            size += Double(b) * Double(b)
            largest = max(largest, abs(Double(b)))
            if abs(gap) > worst || gap.isNaN {
                worst = gap.isNaN ? .infinity : abs(gap)
                place = index
            }
        }
        let scale = max(size.squareRoot(), floor)
        let gap = difference.squareRoot()
        relative = gap.isNaN ? .infinity : gap == 0 ? 0 : gap / scale
        worstUlps = worst == 0 ? 0 : worst / Double(max(Float(largest), .leastNormalMagnitude).ulp)
        worstIndex = place
    }

    var description: String {
        "relative L2 error \(relative), worst \(worstUlps) ulp of the largest value, at \(worstIndex)"
    }
}

/// Checks that `computed` is `expected` up to a relative L2 error.
func expectClose<A: Collection, B: Collection>(
    _ computed: A, _ expected: B, within tolerance: Double, floor: Double = 0, _ what: String,
    sourceLocation: SourceLocation = #_sourceLocation
) where A.Element: BinaryFloatingPoint, B.Element: BinaryFloatingPoint {
    let closeness = Closeness(computed, expected, floor: floor)
    #expect(closeness.relative <= tolerance, "\(what): \(closeness)", sourceLocation: sourceLocation)
}
