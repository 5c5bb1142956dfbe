import AlchemistSim
import Foundation
import Results
import Simulator
import Testing

/// What is set is what runs: nothing is overridden without a word.
@Suite(.serialized) struct SettingsTests {
    private static let lean = """
        model: llama-3-8b
        backend: a100-80g
        arms:
          serve-only: {}
          lean: {arm: reuse, recording.plan: lean}
          rich:
            arm: reuse
            recording.plan: full

        """

    /// Of a file, the lines on which arms set a field; of standard arms, that this is what they are.
    @Test(
        "what every arm sets itself can not be set for all",
        arguments: [
            (
                "arms: [recompute, reuse]", "recording.record",
                ["recompute by its definition", "reuse by its definition"]
            ),
            (lean, "recording.plan", ["lean at s.yaml:5", "rich at s.yaml:8"]),
            // An arm that trains nothing takes no part in how.
            ("arms: [serve-only, reuse]", "training.reuse", ["reuse by its definition"]),
            ("arms: [serve-only, recompute]", "training.reuse", ["recompute by its definition"]),
        ])
    func ignoredSettings(text: String, field: String, places: [String]) throws {
        let scenario = try Scenario(yaml: text, path: "s.yaml")
        let error = #expect(throws: ScenarioError.self) { try scenario.requireEffect(of: field, at: .option("--set")) }
        let message = error?.description ?? ""
        let arm = places[0].prefix { $0 != " " }
        #expect(message.hasPrefix("--set: field `\(field)`: every arm sets this field itself ("), "\(message)")
        for place in places { #expect(message.contains(place), "\(message)") }
        #expect(message.hasSuffix("expected arms.NAME.\(field), as in arms.\(arm).\(field)"), "\(message)")
    }

    @Test(
        "what makes a difference to one arm can be set",
        arguments: [
            ("arms: [serve-only, reuse]", "recording.offload"), (lean, "training.update_every"),
            ("arms: [serve-only]", "training.learning_rate"),
            ("arms: {reuse: {}, lean: {arm: reuse, recording.plan: lean}}", "recording.plan"),
        ])
    func usedSettings(text: String, field: String) throws {
        try Scenario(yaml: text, path: "s.yaml").requireEffect(of: field, at: .option("--set"))
    }

    @Test func anArmsOwnFieldIsSet() throws {
        var scenario = try Scenario(yaml: Self.lean, path: "s.yaml")
        try scenario.set("arms.rich.recording.plan", to: "boundary", at: .option("--set"))
        try scenario.set("arms.rich.recording.record", to: "all", at: .option("--set"))
        try scenario.set("arms.rich.training.staleness", to: "any", at: .option("--set"))
        try scenario.set("arms.rich.training.staleness", to: "exact", at: .option("--set"))
        let rich = try scenario.configuration(of: scenario.arms[2])
        #expect(rich.recording.plan.given.map(\.rawValue) == ["boundary"] && rich.recording.scope == .all)
        #expect(rich.training.staleness == .exact)
        #expect(try scenario.configuration(of: scenario.arms[1]).recording.plan.given.map(\.rawValue) == ["lean"])
        // What is written into a results file is read back as the same.
        let again = try Scenario(yaml: scenario.yaml, path: "resolved")
        #expect(again == scenario && again.yaml == scenario.yaml)
    }

    @Test(
        "arms and fields that are none",
        arguments: [
            ("arms.reuse.recording.plan", "lean", "with one of this scenario's arms, serve-only, lean, rich"),
            ("arms.lean", "lean", "expected arms.NAME.FIELD"),
            ("arms.lean.model", "mini", "belongs to the whole run, an arm can not change it"),
            ("arms.lean.recording.plann", "lean", "there is no such field; did you mean `recording.plan`?"),
            ("arms.lean.recording.plan", "leen", "found `leen`, expected one of full"),
            ("arms.lean.arms.rich.recording.plan", "lean", "there is no such field"),
        ])
    func mistakenArms(field: String, value: String, message: String) throws {
        var scenario = try Scenario(yaml: Self.lean, path: "s.yaml")
        let error = #expect(throws: ScenarioError.self) {
            try scenario.set(field, to: value, at: .option("--set"))
        }
        #expect(error?.description.hasPrefix("--set: field `") == true)
        #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
    }

    @Test func runRefusesAndReaches() throws {
        let folder = try Folder()
        let trace = try SmallRun.trace(folder)
        let scenario = try folder.file("s.yaml", Self.lean)
        func run(_ options: String...) throws -> Program.Outcome {
            try Program.run(["run", trace, "--scenario", scenario, "-q", "-o", folder.path("r.h5")] + options)
        }
        let refused = try run("--set", "recording.plan=boundary")
        #expect(refused.status == 64, "\(refused.errors)")
        #expect(refused.errors.contains("lean at \(scenario):5, rich at \(scenario):8"), "\(refused.errors)")
        #expect(!folder.names.contains("r.h5"))
        let reached = try run("--set", "arms.rich.recording.plan=boundary", "--json")
        #expect(reached.status == 0, "\(reached.errors)")
        // Of the arms that are chosen.
        #expect(try run("--arms", "rich", "--set", "arms.lean.recording.plan=full").status == 64)
        #expect(try run("--arms", "lean,reuse", "--set", "recording.plan=boundary").status == 0)
    }

    @Test func sweepsRefuse() throws {
        func message(_ axes: String, _ field: String, _ value: String) throws -> String {
            var experiment = try SweepExperiment(
                yaml: """
                    trace: {generate: {requests: 5}}
                    axes: {\(axes)}
                    arms:
                      serve-only: {}
                      lean: {arm: reuse, recording.plan: lean}
                      reuse: {}
                    """, path: "x.yaml")
            do {
                try experiment.set(field, to: value, at: .option("--set"))
                return ""
            } catch { return error.description }
        }
        #expect(try message("seeds: 2", "recording.plan", "full") == "")
        #expect(try message("seeds: 2", "arms.lean.recording.plan", "full") == "")
        let record = try message("seeds: 2", "recording.record", "none")
        #expect(record.hasPrefix("--set: field `recording.record`: every arm sets this field itself"), "\(record)")
        // The last arm that did not set it itself does now, and an axis is left without effect.
        let axis = try message("recording.plan: [full, lean]", "arms.reuse.recording.plan", "full")
        #expect(
            axis.hasPrefix(
                "x.yaml:2: field `recording.plan`: every arm sets this field itself (lean at x.yaml:5, reuse by --set)"),
            "\(axis)")
    }

    /// An axis may change one arm alone.
    @Test func anAxisOfOneArm() throws {
        let experiment = try SweepExperiment(
            yaml: """
                trace: {generate: {requests: 5}}
                axes: {arms.reuse.training.staleness: [exact, any]}
                arms: [recompute, reuse]
                """, path: "x.yaml")
        #expect(experiment.mergedAxes[0].scale.name == "arms_reuse_training_staleness")
        #expect(try PointResolver(experiment).points().count == 2)
    }

    @Test(
        "a trace's setting beside an axis or a search over it",
        arguments: [
            ("axes: {trace.rate: [1, 2]}", "rate", "the axis trace_rate (x.yaml:2) sets this as well"),
            ("axes: {p: {zip: {trace.rate: [1, 2]}}}", "rate", "the axis p (x.yaml:2) sets this as well"),
            ("axes: {seeds: 2}", "seed", "the axis seed (x.yaml:2) sets this as well"),
            (
                "search: {field: trace.rate, from: 1, to: 2, objectives: [ttft_p90 <= 1s]}", "rate",
                "the search (x.yaml:2) sets this as well"
            ),
        ])
    func overriddenTraces(text: String, setting: String, message: String) throws {
        let error = #expect(throws: ScenarioError.self) {
            try SweepExperiment(yaml: "trace: {generate: {\(setting): 3}}\n\(text)\n", path: "x.yaml")
        }
        #expect(
            error?.description.hasPrefix("x.yaml:1: field `trace.\(setting)`: \(message)") == true,
            "\(error?.description ?? "")")
    }

    @Test(
        "names of a sweep that stand for nothing are told with their place",
        arguments: [
            ("scenario: {backend: a100}", "x.yaml:2: field `backend`: a100: there is no such hardware"),
            ("axes: {backend: [a100-80g, a10]}", "x.yaml:2: field `backend`: a10: there is no such hardware"),
            ("axes: {trace.lengths: [sharegpt]}", "x.yaml:2: field `trace.lengths`: found `sharegpt`, expected one of"),
            ("axes: {trace.lengths: [azure-code, sharegpt-fist]}", "did you mean `sharegpt-first`?"),
            (
                "axes: {trace.lengths: [./none.jsonl]}",
                "x.yaml:2: field `trace.lengths`: found `./none.jsonl`, which can"
            ),
            ("axes: {trace.cv: [1, 2]}", "x.yaml:2: field `trace.cv`: found without effect"),
            ("# none", "x.yaml:1: field `trace.lengths`: found `azure`, expected one of lognormal"),
        ])
    func namesOfASweep(text: String, message: String) throws {
        let lengths = text == "# none" ? "lengths: azure, " : ""
        let error = #expect(throws: ScenarioError.self) {
            let experiment = try SweepExperiment(
                yaml: "trace: {generate: {\(lengths)requests: 5}}\n\(text)\n", path: "x.yaml")
            _ = try PointResolver(experiment).points()
        }
        #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
    }

    /// What the generator finds wrong is a setting of the trace.
    @Test func anImpossibleTraceIsToldWithItsPlace() throws {
        let folder = try Folder()
        let grid = try folder.file(
            "x.yaml",
            """
            scenario: {model: llama-3-8b, backend: a100-80g}
            trace: {generate: {requests: 5, content: counts}}
            axes:
              trace.target_p: [0.9, 1.5]
            arms: [serve-only]
            """)
        let outcome = try Program.run(["sweep", grid, "-o", folder.path("out")])
        #expect(outcome.status == 65)
        #expect(
            outcome.errors.contains("\(grid):4: field `trace.target_p`: found 1.5, expected a share between 0 and 1"),
            "\(outcome.errors)")
    }

    @Test(
        "memory without a unit, or too little of it",
        arguments: [
            (
                ["device.memory=22"], 64,
                "--set: field `device.memory`: found `22`, expected an amount of memory with its unit, such as 22GiB"
            ),
            (["device.host_memory=1.5"], 64, "found `1.5`, expected an amount of memory with its unit, such as 1.5GiB"),
            (["serving.kv_memory=16"], 64, "expected auto, an amount of memory with its unit, such as 16GiB"),
            (["device.memory=80000"], 75, "the device has 70.3 KiB but this arm"),
            (["device.memory=22B"], 75, "the device has 19 B but this arm"),
            (
                ["serving.kv_memory=1MiB"], 75,
                "serving.kv_memory leaves 1.00 MiB for KV blocks but one block (serving.kv_block_tokens) needs 2.00 MiB"
            ),
        ])
    func memoryOfAScenario(settings: [String], status: Int32, message: String) throws {
        let folder = try Folder()
        let trace = try SmallRun.trace(folder)
        let outcome = try Program.run(
            ["run", trace, "-o", folder.path("r.h5"), "--arms", "serve-only"]
                + (["backend=a100-80g", "model=llama-3-8b"] + settings).flatMap { ["--set", $0] })
        #expect(outcome.status == status)
        #expect(outcome.errors.contains(message), "\(outcome.errors)")
    }

    /// Fractions of units are the nearest number of bytes, as a search tries them.
    @Test(
        arguments: [
            ("0.1GiB", 107_374_182), ("37.9473GiB", 40_745_603_118), ("1.5kB", 1500), ("4096", 4096), ("7B", 7),
        ])
    func fractionsOfMemory(text: String, bytes: Int) throws {
        var scenario = Scenario()
        try scenario.set("device.memory", to: text, at: .option("--set"))
        #expect(scenario.base.device.memory == Bytes(bytes))
        #expect(throws: ScenarioError.self) { try scenario.set("device.memory", to: "7.5B", at: .option("--set")) }
    }

    @Test func anUnknownBackendOfARunIsToldWithItsPlace() throws {
        let folder = try Folder()
        let trace = try SmallRun.trace(folder)
        let scenario = try folder.file("s.yaml", "model: llama-3-8b\nbackend: a100\n")
        let outcome = try Program.run(["run", trace, "--scenario", scenario, "-o", folder.path("r.h5")])
        #expect(outcome.status == 65)
        #expect(
            outcome.errors.contains("\(scenario):2: field `backend`: a100: there is no such hardware"),
            "\(outcome.errors)")
    }
}
