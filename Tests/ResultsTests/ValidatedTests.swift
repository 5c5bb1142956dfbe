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
        #expect(abs(errors.single.median - 0.15) < 1e-12)
        #expect(abs(errors.single.bias - (89.0 / 130 - 1)) < 1e-12)
        #expect(errors.ofMedians == nil && errors.machine == nil)
    }

    @Test func figuresStandBesideEachOther() throws {
        let measured = [50, 60, 70].map { Fixture.training(forward: $0) }
        let arm = ValidatedArm(
            name: "recompute", measured: measured, modelled: Fixture.training(forward: 66), trace: Fixture.trace)
        let pair = try #require(arm.pairs(["forward_seconds"]).first)
        #expect(abs(pair.measured.median - 0.12) < 1e-12 && abs(pair.modelled - 0.132) < 1e-12)
        #expect(abs(pair.error - 0.1) < 1e-12)
        #expect(arm.pairs(["loss_first", "host_peak_bytes"]).count == 2)
        let load = ValidatedLoad(load: 0.3, trace: Fixture.trace, arms: [arm])
        #expect(load.markdown().contains("### Load 0.30"))
        let row = "| recompute | `forward_seconds` | 0.120 | 0.132 | 10.0 % | -16.7 % | 16.7 % |"
        #expect(load.markdown().contains(row))
    }

    /// Quanta of the first run that are executed again are held against the median of all their executions, and one half
    /// of these against the other.
    @Test func quantaAreHeldAgainstTheMediansOfTheirExecutions() throws {
        let first = Self.log(predicted: [11, 8, 30, 40], durations: [10, 10, 30, 80])
        let second = Self.log(predicted: [20, 20], durations: [10, 10])
        let arm = ValidatedArm(
            name: "recompute", measured: [first, second], modelled: first,
            executions: [[10, 12, 33, 40], [11, 8, 30, 42]].map { $0.map { ms($0) } }, trace: Fixture.trace)
        let errors = try #require(arm.quantumErrors.first)
        #expect(errors.count == 6)
        // Medians are 10, 10, 30 and 42; prices are off by 10, 20, 0 and 4.8 %.
        let medians = try #require(errors.ofMedians)
        #expect(abs(medians.median - (0.1 + 2.0 / 42) / 2) < 1e-12)
        #expect(abs(medians.bias - (89.0 / 92 - 1)) < 1e-12)
        // Means of the second and the third time, 10.5, 10, 31.5 and 41, against the first: 10, 10, 30 and 80.
        let machine = try #require(errors.machine)
        #expect(abs(machine.median - 0.05) < 1e-12)
        #expect(abs(machine.bias - (93.0 / 130 - 1)) < 1e-12)
        let text = ValidatedLoad(load: 0.3, trace: Fixture.trace, arms: [arm]).markdown()
        #expect(text.contains(" | -3.3 % | 5.0 % | "))
    }

    /// Prices of a profile that was finished after the runs stand in place of what was predicted in them, and beside it.
    @Test func pricesCanBeOfALaterProfile() throws {
        let runs = [[10, 10], [20, 40]].map { Self.log(predicted: [9, 12], durations: $0) }
        let arm = ValidatedArm(
            name: "recompute", measured: runs, modelled: Fixture.training(forward: 55),
            first: Fixture.training(forward: 45), prices: [[11, 12], [26, 56]].map { $0.map { ms($0) } },
            executions: [[ms(10), ms(10)]], trace: Fixture.trace)
        let errors = try #require(arm.quantumErrors.first)
        #expect(abs(errors.single.median - 0.25) < 1e-12)
        #expect(abs((errors.ofMedians?.median ?? 0) - 0.15) < 1e-12)
        #expect(abs((errors.first?.bias ?? 0) - 0.05) < 1e-12)
        let text = ValidatedLoad(load: 0.3, trace: Fixture.trace, arms: [arm]).markdown()
        #expect(text.contains("| first calibration against medians: median |"))
        // Two steps of 50 ms of forward passes were measured, 55 and 45 are modelled.
        #expect(text.contains("| recompute | `forward_seconds` | 0.100 | 0.110 | 10.0 % | 0.0 % | 0.0 % | -10.0 % |"))
    }

    /// Rounds alternate in the order of arms, and each half of the executions has both orders.
    @Test func halvesHaveBothOrders() throws {
        let first = Self.log(predicted: [1], durations: [1])
        let arm = ValidatedArm(
            name: "recompute", measured: [first], modelled: first, executions: [2, 2, 1].map { [ms($0)] },
            trace: Fixture.trace)
        #expect(arm.quantumErrors.first?.machine?.bias == 1)
    }

    /// A list of executions that was cut off counts as far as it goes.
    @Test func executionsMayEndEarly() throws {
        let first = Self.log(predicted: [10, 10], durations: [10, 10])
        let arm = ValidatedArm(
            name: "recompute", measured: [first], modelled: first, executions: [[ms(20)]], trace: Fixture.trace)
        let errors = try #require(arm.quantumErrors.first)
        #expect(abs((errors.machine?.bias ?? 0) - 1) < 1e-12)
        #expect(abs((errors.ofMedians?.bias ?? 0) - (20.0 / 25 - 1)) < 1e-12)
    }

    /// The speed-up is that of each repeat, not a quotient of medians.
    @Test func theSpeedupIsThatOfEachRepeat() throws {
        func arm(_ name: String, _ forward: [Int64]) -> ValidatedArm {
            let logs = forward.map { Fixture.training(forward: $0) }
            return ValidatedArm(name: name, measured: logs, modelled: logs[0], trace: Fixture.trace)
        }
        // Steps take 50 ms beside their forward pass: 1.33, 1.71 and 1.00, where the medians' quotient is 1.47.
        let arms = [arm("recompute", [50, 70, 60]), arm("reuse", [25, 20, 60])]
        let text = ValidatedLoad(load: 0.3, trace: Fixture.trace, arms: arms).markdown()
        #expect(text.contains("| reuse / recompute | training speed-up | 1.33 | 1.33 | 0.0 % | -25.0 % | 28.6 % |"))
    }
}
