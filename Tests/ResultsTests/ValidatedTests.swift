import Results
import Simulator
import Testing

@Suite struct ValidatedTests {
    private static func log(predicted: [Int64], durations: [Int64], kind: QuantumRecord.Kind = .train) -> ArmLog {
        var log = Fixture.training(forward: 50)
        log.quanta = BoundedLog(
            zip(predicted, durations).map {
                QuantumRecord(
                    kind: kind, start: at(200), duration: ms($1), predicted: ms($0), shape: 1, version: 0, waiting: 0)
            })
        return log
    }

    /// Errors are of prices over durations; the bias is of their sums.
    @Test func errorsOfQuantaAreThoseOfTheirPrices() throws {
        let measured = Self.log(predicted: [11, 8, 30, 40], durations: [10, 10, 30, 80])
        let arm = ValidatedArm(name: "recompute", measured: [measured], modelled: measured, trace: Fixture.trace)
        #expect(arm.quantumErrors.map(\.kind) == ["train", "all"])
        let errors = try #require(arm.quantumErrors.first)
        #expect(errors.count == 4)
        #expect(abs(errors.median - 0.15) < 1e-12)
        #expect(abs(errors.bias - (89.0 / 130 - 1)) < 1e-12)
    }

    @Test func figuresStandBesideEachOther() throws {
        let measured = [50, 60, 70].map { Fixture.training(forward: $0) }
        let arm = ValidatedArm(
            name: "recompute", measured: measured, modelled: Fixture.training(forward: 66), trace: Fixture.trace)
        let pair = try #require(arm.pairs(["forward_seconds"]).first)
        #expect(abs(pair.measured - 0.12) < 1e-12 && abs(pair.modelled - 0.132) < 1e-12)
        #expect(abs(pair.error - 0.1) < 1e-12)
        #expect(arm.pairs(["loss_first", "host_peak_bytes"]).count == 2)
        let load = ValidatedLoad(load: 0.3, trace: Fixture.trace, arms: [arm])
        #expect(load.markdown().contains("### Load 0.30"))
        #expect(load.markdown().contains("| recompute | `forward_seconds` | 0.120 | 0.132 | 10.0 % |"))
    }

    /// The machine against itself: the same quanta by what they took another time, and figures of another run.
    @Test func theMachineStandsBesideItself() throws {
        let measured = Self.log(predicted: [11, 8, 30, 40], durations: [10, 10, 30, 80])
        let again = ValidatedArm.Again(log: Fixture.training(forward: 75), durations: [10, 12, 33, 40].map { ms($0) })
        let arm = ValidatedArm(
            name: "recompute", measured: [measured], modelled: measured, again: again, trace: Fixture.trace)
        let errors = try #require(arm.quantumErrors.first?.again)
        #expect(abs(errors.median - 0.15) < 1e-12)
        #expect(abs(errors.bias - (95.0 / 130 - 1)) < 1e-12)
        let pair = try #require(arm.pairs(["forward_seconds"]).first)
        #expect(abs((pair.difference ?? 0) - 0.5) < 1e-12)
        let text = ValidatedLoad(load: 0.3, trace: Fixture.trace, arms: [arm]).markdown()
        #expect(text.contains("| recompute | train | 4 | 15.0 % | 41.0 % | -31.5 % | 15.0 % |"))
        #expect(text.contains("| recompute | `forward_seconds` | 0.100 | 0.100 | 0.0 % | 0.150 | 50.0 % |"))
    }
}
