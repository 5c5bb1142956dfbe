import Simulator
import Testing

/// Several passes of a calibration as one profile.
@Suite struct CalibrationPassesTests {
    /// All times are `factor` long, but for a second point that takes `second`.
    private static func pass(
        _ factor: Double, second: Double, spread: Double = 0, overhead: Double = 0, flops: Double = 1e11
    ) -> HardwareProfile {
        let surface = CostSurface(axes: [[1, 8], [4], [4]], seconds: [factor, second], spread: [spread, 0])
        let plane = CostSurface(axes: [[1, 8], [16]], seconds: [factor, second], spread: [spread, 0])
        let line = CostSurface(axes: [[64, 4096]], seconds: [factor, second], spread: [spread, 0])
        return HardwareProfile(
            origin: .init(cpu: "made up", kernel: "none", threads: 2, date: "2025-01-02T03:04:05Z", model: "nano"),
            probe: 1e-4,
            limits: PhysicalLimits(
                flopsPerSecond: flops, bytesPerSecond: 1e10, cacheBytesPerSecond: 1e11, cacheBytes: 1e6),
            products: [.forward: surface, .weightGradient: surface], heads: .init(queryWidth: 64, kvWidth: 32),
            attention: plane, attentionBackward: plane, decodeAttention: plane, passes: [.norm: line],
            corrections: [
                .decode: .init(
                    rows: [1, 8], contexts: [16, 64], scales: [factor, 1, 3, factor],
                    firstScales: [2 * factor, 2, 5, 6],
                    overhead: 0),
                .backward: .init(scale: factor, overhead: overhead),
            ])
    }

    @Test func onePassIsItself() {
        let only = Self.pass(1, second: 2, spread: 0.1)
        #expect(HardwareProfile.median(of: [only]) == only)
    }

    @Test func everyPointIsTheMedianOfThePasses() throws {
        let profile = HardwareProfile.median(of: [
            Self.pass(1, second: 7, spread: 0.3, overhead: 0.5, flops: 1e11), Self.pass(1.5, second: 8, flops: 3e11),
            Self.pass(1.1, second: 6, overhead: 0.1, flops: 2e11),
        ])
        let surfaces = Array(profile.products.values) + Array(profile.passes.values)
        for surface in surfaces + [profile.attention, profile.attentionBackward, profile.decodeAttention] {
            #expect(surface.seconds == [1.1, 7])
            // Within the first pass the first point spread more than between the passes; the second only between them.
            #expect(surface.spread == [0.3, 0.1429])
        }
        let decode = try #require(profile.corrections[.decode])
        #expect(decode.scales == [1.1, 1, 3, 1.1] && decode.firstScales == [2.2, 2, 5, 6])
        #expect(decode.rows == [1, 8] && decode.contexts == [16, 64])
        #expect(profile.corrections[.backward] == .init(scale: 1.1, overhead: 0.1))
        #expect(profile.limits.flopsPerSecond == 3e11)
    }

    @Test func twoPassesGiveTheirMeans() {
        let profile = HardwareProfile.median(of: [Self.pass(1, second: 2), Self.pass(3, second: 2)])
        #expect(profile.attention.seconds == [2, 2])
        #expect(profile.attention.spread == [0.5, 0])
    }

    /// Work in place that is faster than the sum of its operators raises the limits, and only as long as it is.
    @Test func limitsAllowForTheFastestWorkInPlace() {
        var profile = Self.pass(1, second: 2, flops: 1e11)
        for (scale, flops) in [(0.5, 2e11), (0.8, 1.25e11), (3, 1e11)] {
            profile.setCorrections([.loss: .init(scale: scale, overhead: 0), .forward: .init(scale: 2, overhead: 0)])
            #expect(abs(profile.limits.flopsPerSecond / flops - 1) < 1e-12)
            #expect(abs(profile.limits.bytesPerSecond / (flops / 10) - 1) < 1e-12)
            #expect(profile.limits.cacheBytes == 1e6)
        }
    }

    /// The passes' own allowances do not add up: what they reached by themselves counts.
    @Test func limitsOfPassesAreWhatOperatorsReached() {
        let passes = [0.5, 1, 1].map { scale in
            var pass = Self.pass(1, second: 2, flops: 1e11)
            pass.setCorrections([.loss: .init(scale: scale, overhead: 0)])
            return pass
        }
        #expect(passes[0].limits.flopsPerSecond == 2e11)
        #expect(HardwareProfile.median(of: passes).limits.flopsPerSecond == 1e11)
    }
}
