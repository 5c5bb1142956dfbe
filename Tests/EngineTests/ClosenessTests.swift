import Testing

/// The yardstick itself: what it must notice, and what it must let pass.
@Suite("Closeness")
struct ClosenessTests {
    static let right: [Double] = [1, -2, 3, 0, 0.5]

    /// The right values with one element replaced.
    static func with(_ value: Double, at index: Int) -> [Float] {
        var values = right.map { Float($0) }
        values[index] = Float(value)
        return values
    }

    @Test(
        "equal is zero",
        arguments: [right, [], [0, 0], [Double.infinity, -Double.infinity, Double.nan], [1e-40, 3e38]])
    func equal(values: [Double]) {
        // A denormal of `Double` differs from that of `Float`.
        let rounded = values.map { Double(Float($0)) }
        let closeness = Closeness(rounded.map { Float($0) }, rounded)
        #expect(closeness.relative == 0 && closeness.absolute.error == 0 && closeness.ulps.error == 0)
    }

    @Test("zeros of both signs are equal")
    func zeros() {
        let closeness = Closeness([-0.0, 0.0] as [Float], [0.0, -0.0])
        #expect(closeness.relative == 0 && closeness.ulps.error == 0)
    }

    @Test(
        "a difference is measured",
        arguments: [
            ("swapped", [-2, 1, 3, 0, 0.5] as [Float], 3.0, 0, 18.0.squareRoot()),
            ("sign", with(-3, at: 2), 6.0, 2, 6.0),
            ("sign of the smallest", with(-0.5, at: 4), 1.0, 4, 1.0),
            ("not zero", with(1e-30, at: 3), Double(Float(1e-30)), 3, Double(Float(1e-30))),
        ])
    func measured(name: String, computed: [Float], worst: Double, index: Int, norm: Double) {
        let closeness = Closeness(computed, Self.right)
        #expect(closeness.absolute.error == worst && closeness.absolute.index == index)
        #expect(abs(closeness.relative * 14.25.squareRoot() / norm - 1) < 1e-15)
    }

    @Test("NaN and infinity are infinitely far", arguments: [Double.nan, .infinity, -.infinity], 0..<5)
    func notFinite(value: Double, index: Int) {
        let closeness = Closeness(Self.with(value, at: index), Self.right)
        for error in [closeness.relative, closeness.absolute.error, closeness.ulps.error] {
            #expect(error == .infinity)
        }
        #expect(closeness.absolute.index == index && closeness.ulps.index == index)
    }

    @Test(
        "NaN and infinity expected are not met by others",
        arguments: [(Double.nan, 1.0), (.nan, .infinity), (.infinity, 1), (.infinity, -.infinity), (.infinity, .nan)])
    func expectedNotFinite(expected: Double, computed: Double) {
        let closeness = Closeness([Float(computed)], [expected])
        #expect(closeness.relative == .infinity && closeness.absolute.error == .infinity)
    }

    @Test("beyond Float is infinity")
    func overflow() {
        #expect(Closeness([Float.infinity], [1e40]).relative == 0)
        #expect(Closeness([Float.greatestFiniteMagnitude], [1e40]).relative == .infinity)
        #expect(Closeness([Float.infinity], [-1e40]).relative == .infinity)
    }

    @Test("anything is infinitely far from zeros, in relation")
    func allZero() {
        let closeness = Closeness([0, 1e-38, 0] as [Float], [0.0, 0, 0])
        #expect(closeness.relative == .infinity && closeness.absolute.index == 1)
        #expect(closeness.absolute.error == Double(Float(1e-38)))
        #expect(Closeness([0, 1e-38, 0] as [Float], [0.0, 0, 0], floor: 1).relative < 1e-37)
    }

    @Test(
        "units in the last place are those of the expected value",
        arguments: [
            (1, 0x1p-23, 1), (1, -0x1p-24, 0.5), (-3, 0x1p-22, 1), (1.5, 0x1p-22, 2), (0x1p100, 0x1p77, 1),
            (0, 0x1p-149, 1), (0x1p-149, 0x1p-149, 1), (0x1p-130, 0x1p-148, 2), (0x1p-126, 0x1p-149, 1),
        ])
    func ulps(expected: Double, gap: Double, count: Double) {
        let closeness = Closeness([100, expected + gap], [100, expected])
        #expect(closeness.ulps.error == count)
        #expect(closeness.ulps.index == 1)
    }

    @Test("a message tells every figure, with index, computed and expected")
    func message() {
        let text = Closeness(Self.with(2.5, at: 2), Self.right).description
        #expect(text.contains("of 5: relative L2 error 0.13"))
        #expect(text.contains("worst absolute 0.5 at [2]: computed 2.5, expected 3.0"))
        #expect(text.contains("worst in ulps 2097152.0 at [2]: computed 2.5, expected 3.0"))
    }

    @Test(
        "what is too far is complained of", arguments: [[-2, 1, 3, 0, 0.5], with(.nan, at: 0), with(.infinity, at: 3)])
    func complaint(computed: [Float]) {
        let closeness = Closeness(computed, Self.right)
        #expect(closeness.complaint(beyond: 1) == closeness.description)
        #expect(Closeness(Self.right, Self.right).complaint(beyond: 0) == nil)
    }

    @Test("what rounding explains passes, and no more")
    func reference() throws {
        let sum = Reference("sum", [1, 0], magnitudes: [1, 8], .sum(4))
        #expect(sum.share(of: [1, 0]).share == 0)
        // Four roundings of magnitude 8: 32 * 2^-24.
        #expect(sum.share(of: [1, 0x1p-20]).share < 1 && sum.share(of: [1, 0x1p-18]).share > 1)
        #expect(sum.share(of: [.nan, 0]).share == .infinity && sum.share(of: [1, -.infinity]).share == .infinity)
        #expect(sum.share(of: try #require(sum.spoiled())).share > 1)
        let zeros = Reference("zeros", [0, 0], .sum(4))
        #expect(zeros.share(of: [0, -0.0]).share == 0 && zeros.share(of: [0, 0x1p-140]).share > 1)
        #expect(zeros.share(of: try #require(zeros.spoiled())).share > 1)
        let exact = Reference(exact: "moved", [1, 2])
        #expect(exact.share(of: [1, 2]).share == 0 && exact.share(of: [2, 1]).share == .infinity)
        #expect(exact.share(of: [1, Float(2).nextUp]).share == .infinity)
        #expect(Rounding.sum(16).growth == 16 && Rounding.sum(17).growth < 17 && Rounding.sum(400).growth == 80)
    }
}
