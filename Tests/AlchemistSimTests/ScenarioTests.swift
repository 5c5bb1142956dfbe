import AlchemistSim
import Foundation
import Simulator
import Testing

@Suite struct ScenarioTests {
    @Test func theResolvedScenarioReadsBackAsItself() throws {
        var scenario = Scenario()
        for (path, value) in [
            ("seed", "42"), ("model", "micro"), ("device.memory", "1536MiB"), ("device.link_bandwidth", "12.5GB/s"),
            ("training.staleness", "bounded(3)"), ("training.quantum_max", "2500us"), ("training.lora_targets", "q,v"),
            ("training.learning_rate", "0.0003"), ("recording.offload", "none"),
        ] { try scenario.set(path, to: value, at: .option("--set")) }
        try scenario.selectArms(["reuse", "recompute"], at: .option("--arms"))
        let again = try Scenario(yaml: scenario.yaml, path: "resolved")
        #expect(again == scenario)
        var full = Scenario()
        try full.set("training.tuning", to: "full", at: .option("--set"))
        #expect(try Scenario(yaml: full.yaml, path: "resolved") == full)
    }

    @Test func everyFieldWritesWhatItReads() throws {
        let defaults = Scenario()
        for field in ScenarioField.all {
            var scenario = Scenario()
            try scenario.set(field.path, to: field.value(in: defaults), at: .option("--set"))
            #expect(scenario == defaults, "\(field.path)")
        }
    }

    @Test(arguments: [
        (
            "model: mini\ntraining:\n  lerning_rate: 1\n",
            "s.yaml:3: field `training.lerning_rate`: there is no such field; did you mean `training.learning_rate`?"
        ),
        ("layers: 2\nhidden: 64\n", "s.yaml: is a model, not a scenario; a scenario's `model` names it"),
        (
            "format: 1\nkind: accelerator\nfigures: {}\n",
            "s.yaml: is an accelerator, not a scenario; a scenario's `backend` names it"
        ),
        (
            "format: 1\nproducts: {}\n",
            "s.yaml: is a hardware profile, not a scenario; a scenario's `backend` names it"
        ),
        ("modle: mini\n", "s.yaml:1: field `modle`: there is no such field; did you mean `model`?"),
        (
            "model: huge\n",
            "s.yaml:1: field `model`: found `huge`, expected a model that `alchemist-sim models` "
                + "lists, or the path of a folder, a config.json or a file in YAML"
        ),
        ("repeats: 0\n", "s.yaml:1: field `repeats`: found `0`, expected a whole number from 1 to 1000"),
        ("repeats: 1.5\n", "s.yaml:1: field `repeats`: found `1.5`, expected a whole number from 1 to 1000"),
        (
            "device:\n  memory: 4 apples\n",
            "s.yaml:2: field `device.memory`: found `4 apples`, expected an amount of memory such as 4GiB, 1.5GB or 4096"
        ),
        (
            "device: {memory: -1GiB}\n",
            "s.yaml:1: field `device.memory`: found `-1GiB`, expected an amount of memory such as 4GiB, 1.5GB or 4096"
        ),
        (
            "device: {link_bandwidth: 25GB}\n",
            "s.yaml:1: field `device.link_bandwidth`: found `25GB`, expected a bandwidth such as 25GB/s or 64GiB/s"
        ),
        (
            "training: {learning_rate: nan}\n",
            "s.yaml:1: field `training.learning_rate`: found `nan`, expected a number from 0 to 1000"
        ),
        (
            "training: {staleness: bounded(-1)}\n",
            "s.yaml:1: field `training.staleness`: found `bounded(-1)`, expected exact, bounded(K) with a whole number K, or any"
        ),
        (
            "training: {quantum_max: 0ms}\n",
            "s.yaml:1: field `training.quantum_max`: found `0ms`, expected a time of at least 1ns such as 10ms or 2s"
        ),
        (
            "training: {lora_targets: [q, x]}\n",
            "s.yaml:1: field `training.lora_targets`: found `q,x`, expected one of q, k, v, o, gate, up, down"
        ),
        (
            "training: {tuning: full, lora_rank: 4}\n",
            "s.yaml:1: field `training.lora_rank`: found `4`, expected no adapters, because training.tuning is full"
        ),
        (
            "arms: [serve-only, rescompute]\n",
            "s.yaml:1: field `arms`: found `rescompute`, expected one of serve-only, recompute, reuse, separate, shared-prompt; did you mean `recompute`?"
        ),
        (
            "arms:\n  reuse: {model: micro}\n",
            "s.yaml:2: field `model`: belongs to the whole run, an arm can not change it"
        ),
        (
            "arms:\n  mine: {recording: {offload: none}}\n",
            "s.yaml:2: field `arms`: arm `mine` needs `arm`, one of serve-only, recompute, reuse, separate, shared-prompt, to start from"
        ),
        ("arms: []\n", "s.yaml:1: field `arms`: expected at least one arm"),
        ("arms:\n  a/b: {}\n", "s.yaml:2: field `arms`: found `a/b`, expected a name of letters, digits, `-` and `_`"),
        ("arms: [reuse, reuse]\n", "s.yaml:1: field `arms`: arm `reuse` is there twice"),
        ("- 1\n", "s.yaml:1: expected fields, as in `model: mini`"),
    ]) func mistakesAreNamedWithTheirPlace(yaml: String, message: String) {
        let error = #expect(throws: ScenarioError.self) { _ = try Scenario(yaml: yaml, path: "s.yaml") }
        #expect(error?.description == message)
    }

    @Test(arguments: ["model: [", "a: b: c", "model: mini\nmodel: mini\n", "\u{0}"]) func whatIsNotYAMLIsRefused(
        yaml: String
    ) {
        let error = #expect(throws: ScenarioError.self) { _ = try Scenario(yaml: yaml, path: "s.yaml") }
        #expect(error?.description.hasPrefix("s.yaml") == true)
        #expect(error?.description.contains("\n") == false)
    }

    @Test func armsCarryTheirOwnSettings() throws {
        let scenario = try Scenario(
            yaml: """
                training: {learning_rate: 0.5}
                arms:
                  serve-only: {}
                  kept: {arm: reuse, recording: {offload: none}, training.staleness: exact}
                """, path: "s.yaml")
        #expect(scenario.arms.map(\.name) == ["serve-only", "kept"])
        let kept = try scenario.configuration(of: scenario.arms[1])
        #expect(kept.training.enabled && kept.training.reuse && kept.training.staleness == .exact)
        #expect(kept.recording.scope == .prefill && kept.recording.offload == .none)
        #expect(kept.training.learningRate == 0.5)
        let serve = try scenario.configuration(of: scenario.arms[0])
        #expect(!serve.training.enabled && serve.recording.scope == .none)
    }

    @Test(arguments: ["./here", "/a/b c: #d", "../x\"y\\z", "a/ünï", "/", "dir/-1", "a/\u{7}b", "yes/no"])
    func pathsReadBack(path: String) throws {
        var scenario = Scenario()
        try scenario.set("model", to: path, at: .option("--set"))
        try scenario.set("training.adapter", to: path, at: .option("--set"))
        let again = try Scenario(yaml: scenario.yaml, path: "resolved")
        #expect(again == scenario && again.model == path && again.adapter == path)
    }

    @Test(arguments: ["full", "boundary", "lean, full,boundary"]) func plansReadBack(text: String) throws {
        var scenario = Scenario()
        try scenario.set("recording.plan", to: text, at: .option("--set"))
        let plans = text.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
        #expect(scenario.base.recording.plan.given.map(\.rawValue) == plans)
        #expect(try Scenario(yaml: scenario.yaml, path: "resolved") == scenario)
    }

    @Test(arguments: ["", "all", "full,", "full;lean"]) func otherPlansAreRefused(text: String) {
        var scenario = Scenario()
        let error = #expect(throws: ScenarioError.self) {
            try scenario.set("recording.plan", to: text, at: .option("--set"))
        }
        #expect(error?.description.hasSuffix("expected one of full, lean, boundary, or auto") == true)
    }

    @Test func anAdapterBelongsToTheWholeRun() {
        let error = #expect(throws: ScenarioError.self) {
            _ = try Scenario(yaml: "arms:\n  reuse: {training: {adapter: ./a}}\n", path: "s.yaml")
        }
        #expect(
            error?.description
                == "s.yaml:2: field `training.adapter`: belongs to the whole run, an arm can not change it")
    }

    /// What a results file keeps must be read back as the same arms, however often.
    @Test(arguments: [
        "arms: [serve-only, recompute, separate, reuse]",
        "arms: {mine: {arm: separate, training: {sharing: share}}, kept: {arm: reuse, recording: {offload: none}}}",
    ]) func writtenArmsAreReadAgain(text: String) throws {
        let scenario = try Scenario(yaml: text, path: "s.yaml")
        let again = try Scenario(yaml: scenario.yaml, path: "resolved")
        #expect(again == scenario)
        #expect(again.yaml == scenario.yaml)
    }

    /// docs/scenario.md is generated; ALCHEMIST_UPDATE=1 writes it anew.
    @Test func theReferenceIsCurrent() throws {
        let path = Repository.root + "/docs/scenario.md"
        if ProcessInfo.processInfo.environment["ALCHEMIST_UPDATE"] == "1" {
            try ScenarioField.reference.write(toFile: path, atomically: true, encoding: .utf8)
        }
        #expect(try String(contentsOfFile: path, encoding: .utf8) == ScenarioField.reference)
    }
}

enum Repository {
    /// The checkout that the tests were built from.
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path
}
