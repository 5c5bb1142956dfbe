import AlchemistSim
import Foundation
import Results
import Simulator
import Testing

/// The planner's choice against the simulation: what it says of a step is only worth something if whole runs agree.
@Suite struct PlanTests {
    private static let profile = Repository.root + "/experiments/profiles/epyc-2-cores.yaml"

    private static func scenario(link: String, offload: String = "eager") throws -> Scenario {
        var scenario = try Scenario(contentsOf: Repository.root + "/experiments/plan.yaml")
        for (field, value) in [
            ("backend", profile), ("device.link_bandwidth", link), ("recording.offload", offload),
        ] { try scenario.set(field, to: value, at: .option("--set")) }
        return scenario
    }

    /// Speed-up against recomputing, by arm.
    private static func speedUps(_ scenario: Scenario) throws -> (byArm: [String: Double], result: RunResult) {
        let model = try ScenarioModel(of: scenario)
        let trace = try TraceFile.read(Repository.root + "/traces/sample.jsonl", for: model)
        let experiment = try Experiment(scenario: scenario, model: model, trace: trace)
        let (result, failure) = try experiment.run(commandLine: "test", created: "2026-01-01T00:00:00Z")
        #expect(failure == nil)
        let report = try RunReport(result)
        let document = try JSONSerialization.jsonObject(with: report.json()) as? [String: Any]
        let comparisons = try #require(document?["comparisons"] as? [[String: Any]])
        var speedUps: [String: Double] = [:]
        for comparison in comparisons {
            let name = try #require(comparison["candidate"] as? String)
            speedUps[name] = try #require(comparison["training_speedup"] as? Double)
        }
        return (speedUps, result)
    }

    @Test(arguments: ["100MB/s", "200MB/s", "300MB/s", "450MB/s", "600MB/s", "1200MB/s", "25GB/s"])
    func noFixedPlanTrainsMuchFaster(link: String) throws {
        let (speedUps, _) = try Self.speedUps(try Self.scenario(link: link))
        let planned = try #require(speedUps["planned"])
        let fixed = try SavePlan.allCases.map { try #require(speedUps[$0.rawValue]) }
        // The planner knows a mean sample and an idle server; the run has samples of all lengths beside serving.
        #expect(planned >= 0.97 * (fixed.max() ?? 0), "\(speedUps)")
    }

    @Test func aProfileIsRefusedWhereNothingIsMeasured() throws {
        let outcome = try Program.run(
            ["plan", "--tokens", "512", "--recorded", "0.5", "--set", "backend=a100-80g", "--profile", Self.profile])
        #expect(outcome.status == 64 && outcome.output.isEmpty)
        #expect(outcome.errors.contains("--profile: it is for the measured backend"), "\(outcome.errors)")
    }

    /// Somewhere between the plans that suit a slow and a fast link a mixture beats both.
    @Test func aMixtureBeatsEveryFixedPlan() throws {
        let (speedUps, result) = try Self.speedUps(try Self.scenario(link: "300MB/s"))
        let planned = try #require(speedUps["planned"])
        for plan in SavePlan.allCases {
            #expect(planned > 1.02 * (try #require(speedUps[plan.rawValue])), "\(speedUps)")
        }
        // The results say what was chosen: a list, in place of `auto`.
        let resolved = try Scenario(yaml: result.scenario, path: "results")
        let arm = try #require(resolved.arms.first { $0.name == "planned" })
        let configuration = try resolved.configuration(of: arm)
        #expect(!configuration.recording.choosesPlan)
        #expect(Set(configuration.recording.plan.given).count > 1)
    }

    @Test func aPlanPerLayerIsPrintedAndTaken() throws {
        let outcome = try Program.run([
            "plan", "--tokens", "2048", "--recorded", "0.9", "--set", "backend=a100-80g", "--set", "model=llama-3-8b",
            "--set", "device.link_bandwidth=12GB/s", "--json",
        ])
        #expect(outcome.status == 0 && outcome.errors.isEmpty)
        let document = try #require(
            try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
        let plans = try #require(document["plans"] as? [[String: Any]])
        #expect(plans.compactMap { $0["name"] as? String } == ["none", "full", "lean", "boundary", "planned"])
        let expected = try plans.map { try #require($0["expected_seconds"] as? Double) }
        #expect(expected.last == expected.min())
        let layers = try #require(plans.last?["layers"] as? [String])
        #expect(layers.count == 32)
        var scenario = Scenario()
        try scenario.set("recording.plan", to: layers.joined(separator: ","), at: .option("--set"))
        #expect(scenario.base.recording.plan.given.map(\.rawValue) == layers)
    }

    /// More memory never makes the planned step slower, and less memory means that fewer requests are recorded.
    @Test func memoryIsABudget() throws {
        var before = Double.infinity
        var shares: [Double] = []
        for memory in ["1GiB", "10GiB", "40GiB", "100GiB"] {
            let outcome = try Program.run([
                "plan", "--tokens", "2048", "--recorded", "0.9", "--set", "backend=a100-80g", "--set",
                "model=llama-3-8b", "--held-tokens", "30000", "--record-memory", memory, "--json",
            ])
            let document = try #require(
                try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
            let best = try #require((document["plans"] as? [[String: Any]])?.last)
            let seconds = try #require(best["expected_seconds"] as? Double)
            #expect(seconds <= before)
            before = seconds
            let share = try #require(best["recorded_share"] as? Double)
            let bytes = try #require(best["bytes_per_token"] as? Double)
            let allowed = try #require(document["record_memory_bytes"] as? Double) / 30_000
            #expect(abs(share - min(1, allowed / bytes)) < 1e-9)
            shares.append(share)
        }
        #expect(shares.first ?? 1 < 1 && shares.last == 1)
    }

    /// Pairs and groups are planned for as they are trained on: with all answers, the prompt's record read by each, and the
    /// reference model's pass, which no record spares.
    @Test func pairsAndGroupsAreMoreWorkForTheSameRecord() throws {
        func plan(_ objective: String, shares: Bool = false) throws -> [[String: Any]] {
            let outcome = try Program.run([
                "plan", "--tokens", "2048", "--recorded", "0.8", "--set", "backend=a100-80g", "--set",
                "model=llama-3-8b", "--set", "training.objective=\(objective)", "--set", "feedback.group_size=2",
                "--set",
                "training.update_every=1", "--set", "training.micro_batch_tokens=16384", "--set",
                "training.shared_prompts=\(shares)", "--json",
            ])
            let document = try #require(
                try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
            return try #require(document["plans"] as? [[String: Any]])
        }
        func figure(_ plans: [[String: Any]], _ name: String, _ key: String) throws -> Double {
            try #require(plans.first { $0["name"] as? String == name }?[key] as? Double)
        }
        let plans = try (
            single: plan("sft"), group: plan("group"), pair: plan("dpo"), shared: plan("group", shares: true)
        )
        let recomputed = try [plans.single, plans.group, plans.pair, plans.shared].map {
            try figure($0, "none", "step_seconds")
        }
        // Two answers are twice the work, a pair a reference pass more; sharing spares the second prompt, 0.8 of an answer.
        #expect(recomputed[1] > 1.9 * recomputed[0] && recomputed[1] < 2.1 * recomputed[0], "\(recomputed)")
        #expect(recomputed[2] > 1.2 * recomputed[1] && recomputed[3] < 0.75 * recomputed[1], "\(recomputed)")
        // The record is the prompt's, once.
        for name in ["full", "boundary"] {
            let bytes = try figure(plans.single, name, "bytes_per_token")
            #expect(try figure(plans.group, name, "bytes_per_token") == bytes)
            #expect(try figure(plans.pair, name, "bytes_per_token") == bytes)
        }
        // What recording spares is the same work for groups and pairs, of less work in all.
        #expect(try figure(plans.group, "planned", "speed_up") > figure(plans.pair, "planned", "speed_up"))
    }

    static let mistakes: [(arguments: [String], status: Int32, message: String)] = [
        (["plan"], 64, "Give a trace, or --tokens and --recorded."),
        (["plan", "--tokens", "100"], 64, "Give a trace, or --tokens and --recorded."),
        (["plan", "--tokens", "1", "--recorded", "0.5"], 64, "--tokens 1: expected a whole number from 2"),
        (["plan", "--tokens", "100", "--recorded", "1"], 64, "--recorded 1.0: expected a share above 0 and below 1"),
        (
            ["plan", "--tokens", "100", "--recorded", "0.5", "--record-memory", "lots"], 64,
            "--record-memory: found `lots`, expected an amount of memory such as 4GiB"
        ),
        (
            ["plan", "--tokens", "100", "--recorded", "0.5", "--arm", "serve-only", "--set", "backend=h100"], 65,
            "the arm records nothing that it trains on"
        ),
        (
            ["plan", "--tokens", "100000", "--recorded", "0.5", "--set", "backend=h100"], 65,
            "found a sample of 100000 tokens, expected fewer than the model's context"
        ),
    ]
    @Test(arguments: mistakes) func mistakesAreNamed(arguments: [String], status: Int32, message: String) throws {
        let outcome = try Program.run(arguments)
        #expect(outcome.status == status)
        #expect(outcome.errors.contains(message), "\(outcome.errors)")
        #expect(outcome.output.isEmpty)
    }
}
