import Foundation
import Simulator
import Testing

@Suite struct RandomStreamTests {
    /// From an independent Python version of FNV-1a, SplitMix64 and xoshiro256**, which itself gives the published
    /// values: 6457827717110365317, 3203168211198807973 for SplitMix64 seeded with 1234567; 11520, 0, 1509978240,
    /// 1215971899390074240 for xoshiro256** in the state (1, 2, 3, 4); and 0x85944171f73967e8 for FNV-1a of "foobar".
    @Test(
        arguments: [
            (0, "", [0x2138_2ef0_92ed_7068, 0x5b54_c052_757a_df62, 0xa64c_b2cf_6879_5072, 0xd35c_15d5_9620_35af]),
            (
                1, "arrivals",
                [0xccb2_1115_82ce_4671, 0x5c84_3496_0268_3c4b, 0x52bf_ef01_ba8a_6760, 0x284a_2863_0fbe_b0fc]
            ),
            (
                42, "feedback/r0",
                [0x7042_db3e_c7e9_a5fe, 0xb5ae_91d9_6be5_faf4, 0x2b8d_0bfd_dced_6067, 0xf809_0ed9_7d5f_59e2]
            ),
        ] as [(UInt64, String, [UInt64])])
    func firstNumbersAreFrozen(seed: UInt64, name: String, expected: [UInt64]) {
        var stream = RandomStream(seed: seed, name: name)
        #expect(expected.map { _ in stream.next() } == expected)
    }

    /// Streams of other seeds and names share no numbers and are not correlated.
    @Test func seedsAndNamesAreIndependent() {
        let names = ["arrivals", "arrivalt", "brrivals", "arrivals ", "feedback", ""]
        var columns: [[Double]] = []
        var seen: Set<Double> = []
        for seed in 0..<4 {
            for name in names {
                var stream = RandomStream(seed: UInt64(seed), name: name)
                columns.append((0..<4000).map { _ in stream.uniform() })
                seen.formUnion(columns[columns.count - 1])
            }
        }
        #expect(seen.count > columns.count * 4000 - 2)
        for (index, a) in columns.enumerated() {
            for b in columns[..<index] {
                let covariance = zip(a, b).reduce(0) { $0 + ($1.0 - 0.5) * ($1.1 - 0.5) } / 4000
                // The product has a standard deviation of 1 / 12; five standard errors over some 276 pairs.
                #expect(abs(covariance) < 5 / 12 / 4000.0.squareRoot())
            }
        }
    }

    @Test(arguments: 0..<5) func uniformHasItsMoments(seed: Int) {
        var stream = RandomStream(seed: UInt64(seed), name: "uniform")
        let draws = (0..<100_000).map { _ in stream.uniform() }
        #expect(draws.allSatisfy { (0..<1).contains($0) })
        let mean = draws.reduce(0, +) / 1e5
        let variance = draws.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 1e5
        #expect(abs(mean - 0.5) < 5 * (1 / 12.0 / 1e5).squareRoot())
        // The fourth central moment is 1 / 80, so the sample variance has a variance of (1 / 80 - 1 / 144) / n.
        #expect(abs(variance - 1 / 12.0) < 5 * ((1 / 80.0 - 1 / 144.0) / 1e5).squareRoot())
    }

    @Test(arguments: [0.001, 1, 250]) func exponentialHasItsMeanAndTail(mean: Double) {
        var stream = RandomStream(seed: 3, name: "exponential")
        let draws = (0..<100_000).map { _ in stream.exponential(mean: mean) }
        #expect(draws.allSatisfy { $0 >= 0 && $0.isFinite })
        let average = draws.reduce(0, +) / 1e5
        #expect(abs(average / mean - 1) < 5 / 1e5.squareRoot())
        let tail = Double(draws.count { $0 > 2 * mean }) / 1e5
        #expect(abs(tail - exp(-2)) < 5 * (exp(-2) / 1e5).squareRoot())
    }

    @Test(arguments: [1, 2, 3, 7, 1000]) func belowIsEven(bound: Int) {
        var stream = RandomStream(seed: 9, name: "below")
        var counts = [Int](repeating: 0, count: bound)
        let draws = 200 * bound
        for _ in 0..<draws { counts[stream.below(bound)] += 1 }
        // Chi squared has a mean of bound - 1 and a variance of twice that.
        let chi = counts.reduce(0.0) { $0 + pow(Double($1) - 200, 2) / 200 }
        #expect(abs(chi - Double(bound - 1)) <= 5 * (2 * Double(bound)).squareRoot())
    }
}
