import AlchemistSim
import Results
import Simulator
import Testing

@Suite struct ValidationTests {
    private static func validation(repeats: Int) throws -> Validation {
        let folder = try Folder()
        var scenario = try Scenario(yaml: "model: nano\narms: [serve-only, recompute]\n", path: "s.yaml")
        for (field, value) in [("repeats", "\(repeats)"), ("training.audit_every", "0")] {
            try scenario.set(field, to: value, at: .option("--set"))
        }
        let model = try ScenarioModel(of: scenario)
        let trace = try TraceFile.read(try SmallRun.trace(folder), for: model)
        return try Validation(scenario: scenario, model: model, trace: trace, profile: ProfileTests.nano())
    }

    /// The nano profile, with decoding `factor` times as dear.
    private static func profile(decoding factor: Double) -> HardwareProfile {
        var profile = ProfileTests.nano()
        profile.corrections[.decode] = profile.corrections[.decode]?.scaled(by: factor)
        return profile
    }

    /// There is a calibration before each run of an arm; what was measured is held against the medians, which the first
    /// alone was not.
    @Test func pricesAreTheMediansOfAllCalibrations() throws {
        // Of 2 arms, 2 loads and 3 rounds; with the first one's 1, the median is 4.
        var further = [1, 9, 4, 9, 4, 1, 9, 4, 9, 1, 9, 4].map(Self.profile)
        let validation = try Self.validation(repeats: 3)
        let plan = Validation.Plan(loads: [0.5, 2], capacity: try validation.capacity(), again: true) {
            further.removeFirst()
        }
        let outcome = try #require(try validation.run(plan))
        #expect(further.isEmpty)
        #expect(outcome.profile == Self.profile(decoding: 4))
        #expect(outcome.loads.map(\.load) == [0.5, 2])
        for arm in outcome.loads.flatMap(\.arms) {
            #expect(arm.measured.count == 3 && arm.executions.count == 2)
            let prices = try #require(arm.prices)
            for (log, prices) in zip(arm.measured, prices) {
                #expect(log.quanta.count == prices.count)
                // A few tokens of prompts may be rows like those of decoding.
                for (quantum, price) in zip(log.quanta, prices) where !(1...8).contains(quantum.prefillTokens) {
                    let factor = quantum.kind == .serve && quantum.prefillTokens == 0 ? 4.0 : 1
                    #expect(abs(price.seconds - factor * quantum.predicted.seconds) < 1e-7)
                }
            }
            // The modelled side is the medians' too.
            #expect(arm.modelled.quanta.allSatisfy { abs($0.predicted.seconds - $0.duration.seconds) < 1e-7 })
        }
        let run = validation.result(
            of: outcome.loads[0], by: outcome.profile, commandLine: "test", created: "2026-01-01T00:00:00Z")
        #expect(run.arms.map(\.profile) == [0, 1, 0, 1] && run.profiles.count == 2)
    }

    @Test func aGivenProfileIsWhatIsValidated() throws {
        let validation = try Self.validation(repeats: 2)
        let outcome = try #require(try validation.run(.init(loads: [1], capacity: try validation.capacity())))
        #expect(outcome.profile == ProfileTests.nano())
        #expect(outcome.loads[0].arms.allSatisfy { $0.prices == nil && $0.executions.isEmpty })
    }

    @Test func whatWasStoppedIsLeftOut() throws {
        let validation = try Self.validation(repeats: 3)
        let plan = Validation.Plan(loads: [1], capacity: try validation.capacity(), again: true)
        var runs = 0
        let outcome = try validation.run(
            plan,
            progress: { if case .running(_, let round, _) = $0.stage { runs = max(runs, round) } },
            shouldStop: { runs > 0 })
        #expect(outcome == nil)
    }
}
