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

    /// A calibration that finds decoding four times as dear as the first pass did, and notes when it was at work.
    private final class FourTimesAsDear: ContinuedCalibration {
        let first = ProfileTests.nano()
        var stages: [String] = []

        func observe() { stages.append("calibrating") }

        var profile: HardwareProfile {
            var profile = first
            profile.corrections[.decode] = first.corrections[.decode]?.scaled(by: 4)
            return profile
        }
    }

    /// There is some calibrating before each run of an arm, every second round in the opposite order; what was measured is
    /// held against all of it, and against the first pass alone.
    @Test func pricesAreOfTheWholeCalibration() throws {
        let calibration = FourTimesAsDear()
        let validation = try Self.validation(repeats: 3)
        let plan = Validation.Plan(
            loads: [0.5, 2], capacity: try validation.capacity(), again: true, calibration: calibration)
        let outcome = try #require(
            try validation.run(plan) { progress in
                guard case .running(let arm, let round, _) = progress.stage else { return }
                let stage = "\(arm) \(round)"
                if calibration.stages.last != stage { calibration.stages.append(stage) }
            })
        #expect(outcome.profile == calibration.profile)
        let forth = ["calibrating", "serve-only 0", "calibrating", "recompute 0"]
        #expect(Array(calibration.stages.prefix(8)) == forth + forth)
        let back = ["calibrating", "recompute 1", "calibrating", "serve-only 1"]
        #expect(Array(calibration.stages.dropFirst(8).prefix(8)) == back + back)
        #expect(calibration.stages.count == 24)
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
            // The modelled side is of all of it, too; beside it stands what the first pass alone would have said.
            let first = try #require(arm.first)
            #expect(arm.modelled.end > first.end)
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
