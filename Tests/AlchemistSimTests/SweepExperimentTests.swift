import AlchemistSim
import Foundation
import Results
import Testing

@Suite struct SweepExperimentTests {
    /// A grid of one axis, in text.
    private static func experiment(
        axes: String = "  seeds: 2", scenario: String = "{model: llama-3-8b, backend: a100-80g}", more: String = ""
    ) throws -> SweepExperiment {
        try SweepExperiment(
            yaml: """
                scenario: \(scenario)
                trace: {generate: {requests: 5, content: counts}}
                axes:
                \(axes)
                \(more)
                """, path: "x.yaml")
    }

    @Test(
        "ranges",
        arguments: [
            ("{from: 1, to: 3, steps: 3}", ["1", "2", "3"]),
            ("{from: 1, to: 64, factor: 4}", ["1", "4", "16", "64"]),
            ("{from: 1, to: 100, factor: 4}", ["1", "4", "16", "64"]),
            ("{from: 1, to: 1000, steps: 4, log: true}", ["1", "10", "100", "1000"]),
            ("{from: 1, to: 8, steps: 5, log: true, round: true}", ["1", "2", "3", "5", "8"]),
            ("{from: 2, to: 9, step: 3}", ["2", "5", "8"]),
            ("[7, 3]", ["7", "3"]),
        ])
    func ranges(text: String, values: [String]) throws {
        let experiment = try Self.experiment(axes: "  training.update_every: \(text)")
        #expect(experiment.mergedAxes[0].scale.values == .integers(values.compactMap { Int64($0) }))
        #expect(experiment.mergedAxes[0].scale.name == "training_update_every")
    }

    @Test func coordinatesKeepTheirKind() throws {
        let experiment = try Self.experiment(
            axes: """
                  trace.rate: {from: 0.1, to: 0.3, steps: 3}
                  device.memory: [70GiB, 80GiB]
                  training.quantum_max: [1ms, 10ms]
                  training.staleness: [exact, any]
                  plans: {zip: {recording.plan: [full, lean], recording.offload: [eager, none]}, labels: [rich, poor]}
                  seeds: 4
                """)
        let scales = experiment.mergedAxes.map(\.scale)
        #expect(scales[0].values == .numbers([0.1, 0.2, 0.3]))
        #expect(scales[1].values == .integers([70 << 30, 80 << 30]) && scales[1].unit == .bytes)
        #expect(scales[2].values == .numbers([0.001, 0.01]) && scales[2].unit == .seconds)
        #expect(scales[3].values == .texts(["exact", "any"]))
        #expect(scales[4].values == .texts(["rich", "poor"]))
        #expect(experiment.mergedAxes[4].others.map(\.name) == ["recording_plan", "recording_offload"])
        #expect(scales[5].name == "seed" && experiment.mergedAxes[5].isSeeds)
        #expect(experiment.cells == 3 * 2 * 2 * 2 * 2 * 4)
    }

    /// Of update_every 1, 2, 4, 8 and two kinds of staleness: how many points are left.
    @Test(
        "constraints",
        arguments: [
            ("training.update_every <= 4", 6), ("training.update_every * 2 > 4 + 1", 4),
            ("not training.update_every == 8", 6), ("training.staleness == exact", 4),
            ("training.staleness != 'exact' and training_update_every < 2", 1),
            ("training.update_every < 2 or training.update_every > 4 and training.staleness == any", 3),
            ("(training.update_every < 2 or training.update_every > 4) and training.staleness == any", 2),
            ("-training.update_every >= -2", 4), ("training.update_every / 4 == 50%", 2),
        ])
    func constraints(text: String, points: Int) throws {
        let axes = "  training.update_every: [1, 2, 4, 8]\n  training.staleness: [exact, any]"
        let experiment = try Self.experiment(axes: axes, more: "constraints: [\"\(text)\"]")
        #expect(try PointResolver(experiment).points().count == points)
    }

    @Test(
        "mistakes are named with line and field",
        arguments: [
            (
                "axes:\n  training.update_evry: [1]",
                "x.yaml:3: field `training.update_evry`: there is no such field; did"
            ),
            (
                "axes:\n  training.update_every: [1, 0.5]",
                "x.yaml:3: field `training.update_every`: found `0.5`, expected"
            ),
            (
                "axes:\n  trace.rte: [1]",
                "x.yaml:3: field `trace.rte`: there is no such setting; did you mean `trace.rate`"
            ),
            ("axes:\n  trace.rate: [fast]", "x.yaml:3: field `trace.rate`: found `fast`, expected a number"),
            ("axes:\n  trace.rate: {from: 1, to: 4}", "x.yaml:3: field `trace.rate`: found a range from 1 to 4"),
            ("axes:\n  trace.rate: {from: 0, to: 4, steps: 3, log: true}", "from above zero"),
            ("axes:\n  trace.rate: 4", "x.yaml:3: field `trace.rate`: expected a list of values, or a range"),
            ("axes:\n  trace.rate: [1, 1]", "found `1` twice"),
            (
                "axes:\n  trace.rate: [1]\n  p: {zip: {trace.rate: [1]}}",
                "x.yaml:4: field `trace.rate`: two axes change"
            ),
            ("axes:\n  p: {zip: {trace.rate: [1], trace.cv: [1, 2]}}", "found 2 values of `trace.cv`, expected 1"),
            ("axes:\n  recording.record: [all, none]", "every arm sets this field itself"),
            ("axes:\n  seeds: 0", "x.yaml:3: field `seeds`: expected how many seeds"),
            (
                "axes:\n  trace.rate: {from: 1, to: 200000, step: 1}",
                "x.yaml:3: field `trace.rate`: found a range from 1 to"
            ),
            ("axes:\n  trace.rate: {from: 1, to: 200000, step: 1}", "expected at most 100000 values"),
            ("axes:\n  trace.rate: {from: 1, to: 2, factor: 1.000001}", "expected at most 100000 values"),
            ("axes:\n  trace.rate: {from: 1, to: 9, steps: 3, log: ture}", "found `ture`, expected true or false"),
            ("axes:\n  trace.rate: {from: 1, to: 9, steps: 3, round: 1}", "found `1`, expected true or false"),
            (
                "axes:\n  p: {zip: {trace.rate: [1]}, label: [a]}",
                "x.yaml:3: field `p`: found `label`, expected `zip` and, if wanted, `labels`"
            ),
            (
                "axes:\n  training.update_every: {from: 1, to: 99999, step: 1}\n  trace.rate: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]",
                "x.yaml:4: field `trace_rate`: found a grid of 99999 x 11 cells, expected at most 1000000"
            ),
            ("axes:\n  seed: [1, 2, 3]", "x.yaml:3: field `seed`: found a field of its own, expected an axis of seeds"),
            ("axes:\n  seeds: 2\n  trace.seed: [1, 2]", "x.yaml:4: field `trace.seed`: two axes change this field"),
            ("axes:\n  ttft_p90: {zip: {trace.rate: [1]}}", "x.yaml:3: field `ttft_p90`: found the name `ttft_p90`"),
            ("axes:\n  ttft_p90_max: {zip: {trace.rate: [1]}}", "found the name `ttft_p90_max`"),
            ("axes:\n  point_id: {zip: {trace.rate: [1]}}", "found the name `point_id`, expected another"),
            ("axes:\n  arm: {zip: {trace.rate: [1]}}", "found the name `arm`, expected another"),
            ("axes:\n  over_seeds_comparison: {zip: {trace.rate: [1]}}", "the merged file has a figure or a group"),
            ("axes:\n  training_speedup: {zip: {trace.rate: [1]}}", "found the name `training_speedup`"),
            (
                "axes:\n  training_update_every: {zip: {training.update_every: [1, 2]}}",
                "x.yaml:3: field `training_update_every`: found the name `training_update_every` for the field"
            ),
            (
                "axes:\n  training.update_every: [1]\n  training_update_every: {zip: {trace.rate: [1]}}",
                "x.yaml:4: field `training_update_every`: two axes have this name"
            ),
            (
                "axes:\n  trace.cv: [1, 2]",
                "x.yaml:3: field `trace.cv`: found without effect, expected only with arrivals: gamma"
            ),
            ("axis:\n  trace.rate: [1]", "x.yaml:2: field `axis`: there is no such key"),
            (
                "constraints: [training.rate < 3]",
                "x.yaml:2: field `constraints`: found `training.rate`, expected a field"
            ),
            ("constraints: [\"trace.rate <\"]", "x.yaml:2: field `constraints`"),
            ("results: all", "x.yaml:2: field `results`: found `all`, expected full or summary"),
            ("arms: [reuze]", "did you mean `reuse`?"),
            ("axes:\n  trace: [a.jsonl]\n  trace.rate: [1]", "x.yaml:4: field `trace.rate`: found a trace from a file"),
        ])
    func mistakes(text: String, message: String) throws {
        let error = #expect(throws: ScenarioError.self) {
            let experiment = try SweepExperiment(yaml: "trace: {generate: {requests: 5}}\n" + text, path: "x.yaml")
            _ = try PointResolver(experiment).points()
        }
        #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
    }

    @Test func idsFollowWhatIsRunAndNothingElse() throws {
        func ids(_ experiment: SweepExperiment) throws -> [String] { try PointResolver(experiment).points().map(\.id) }
        let plain = try ids(Self.experiment())
        #expect(Set(plain).count == 2 && plain.allSatisfy { $0.count == 12 })
        #expect(try ids(Self.experiment(more: "# a remark\nresults: summary")) == plain)
        // What the hardware decides is no change when it is said.
        let explicit = "{model: llama-3-8b, backend: a100-80g, seed: 0, training.tuning: lora}"
        #expect(try ids(Self.experiment(scenario: explicit)) == plain)
        let others = [
            try ids(Self.experiment(scenario: "{model: llama-3-8b, backend: a100-80g, device.memory: 2GiB}")),
            try ids(Self.experiment(scenario: "{model: llama-3-8b, backend: h100}")),
            try ids(Self.experiment(axes: "  seeds: [3, 4]")),
            try ids(Self.experiment(more: "arms: [reuse]")),
        ]
        var changed = try Self.experiment()
        try changed.set("trace.rate", to: "4", at: .option("--set"))
        for other in others + [try ids(changed)] { #expect(Set(other).isDisjoint(with: plain)) }
    }

    @Test func pointsThatAreTheSameAreRefused() throws {
        let error = #expect(throws: ScenarioError.self) {
            let axes = "  p: {zip: {training.learning_rate: [0.5, 5e-1]}, labels: [a, b]}"
            _ = try PointResolver(try Self.experiment(axes: axes)).points()
        }
        #expect(error?.description.contains("the points p=a and p=b are the same") == true)
    }

    /// Over the axes of `constraints`: each of these would keep or drop every point.
    @Test(
        "constraints that no point could change are mistakes",
        arguments: [
            ("training_update_evry != 4", "found `training_update_evry`", "did you mean `training_update_every`?"),
            ("training.update_evry < 4", "found `training.update_evry`", "did you mean `training.update_every`?"),
            ("stalenes != exact", "found `stalenes`, expected a field that an axis changes", "`training.staleness`?"),
            ("staleness == exact", "found `staleness`", "did you mean `training.staleness`?"),
            (
                "training.staleness != exct", "found `exct`, expected a value of training.staleness: exact, any",
                "`exact`?"
            ),
            ("'exct' == training_staleness", "found `exct`, expected a value of training_staleness", "`exact`?"),
            ("training.staleness == 4", "found `4`, expected a value of training.staleness", "exact, any"),
            (
                "training.update_every == fast", "found `fast`, expected a value of training.update_every: 1, 2, 4, 8",
                ""
            ),
            ("training.update_every == '4'", "found `'4'`, expected numbers without quotes", ""),
            ("training.update_every < 4 and not stalenes == exact", "found `stalenes`", ""),
            ("training.update_every + every < 4", "found `every`, expected a number, or a field", ""),
            ("1 < 2", "found `a comparison of constants`, expected a field that an axis changes", ""),
        ])
    func constraintsWithoutEffect(text: String, found: String, hint: String) throws {
        let axes = "  training.update_every: [1, 2, 4, 8]\n  training.staleness: [exact, any]"
        let error = #expect(throws: ScenarioError.self) {
            try Self.experiment(axes: axes, more: "constraints: [\"\(text)\"]")
        }
        let message = error?.description ?? ""
        #expect(message.contains("x.yaml:6: field `constraints`: " + found), "\(message)")
        #expect(hint.isEmpty || message.contains(hint), "\(message)")
    }

    @Test(
        "what an axis sets can not be set for all points",
        arguments: [
            ("  trace.rate: [1, 2]", "trace.rate", "3"),
            ("  p: {zip: {training.update_every: [1, 2]}}", "training.update_every", "4"),
            ("  seeds: 2", "seed", "7"), ("  seeds: 2", "trace.seed", "7"),
        ])
    func setOfAnAxis(axes: String, field: String, value: String) throws {
        var experiment = try Self.experiment(axes: axes)
        let error = #expect(throws: ScenarioError.self) {
            try experiment.set(field, to: value, at: .option("--set"))
        }
        #expect(error?.description.hasPrefix("--set: field `\(field)`: the axis ") == true)
        #expect(error?.description.contains("(x.yaml:4) sets this field at every point") == true)
        try experiment.set("training.learning_rate", to: "0.5", at: .option("--set"))
    }

    @Test(
        "searches with mistakes",
        arguments: [
            (
                "{field: training.update_every, from: 1.5, to: 9.5, whole: true}",
                "expected whole numbers with whole: true"
            ),
            ("{field: training.update_every, from: 1, to: 9, whole: yess}", "found `yess`, expected true or false"),
            ("{field: training.update_every, from: 1, to: 9, whole: true, tolerance: 0.1}", "expected none"),
            ("{field: trace.rate, from: 1, to: 9}", "the axis trace_rate sets this field"),
            ("{field: training.update_evry, from: 1, to: 9}", "there is no such field; did you mean"),
        ])
    func searches(search: String, message: String) throws {
        let objectives = search.replacingOccurrences(of: "}", with: ", objectives: [ttft_p90 <= 1s]}")
        let error = #expect(throws: ScenarioError.self) {
            try Self.experiment(axes: "  trace.rate: [1, 2]", more: "search: \(objectives)")
        }
        #expect(error?.description.contains("x.yaml:5: ") == true, "\(error?.description ?? "")")
        #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
    }

    /// A checkpoint is known by all its bytes, however large its files.
    @Test func aCheckpointTrainedAnewIsAnotherPoint() throws {
        let folder = try Folder()
        let checkpoint = folder.url.appendingPathComponent("checkpoint")
        let weights = checkpoint.appendingPathComponent("model.safetensors")
        try FileManager.default.createDirectory(
            at: checkpoint.appendingPathComponent("optimizer"), withIntermediateDirectories: true)
        try Data("{}".utf8).write(to: checkpoint.appendingPathComponent("config.json"))
        try Data(repeating: 1, count: 2 << 20).write(to: weights)
        let experiment = try Self.experiment(scenario: "{model: \(checkpoint.path), backend: a100-80g}")
        func ids() throws -> [String] { try PointResolver(experiment).points().map(\.id) }
        let before = try ids()
        try Data(repeating: 2, count: 2 << 20).write(to: weights)
        #expect(try Set(ids()).isDisjoint(with: before))
        try Data(repeating: 1, count: 2 << 20).write(to: weights)
        #expect(try ids() == before)
    }

    /// Workers take hashes of large files from the sweep's folder, as long as the files are the same.
    @Test func hashesOfLargeFilesAreKept() throws {
        let folder = try Folder()
        let sweep = SweepFolder(folder.path("sweep"))
        try sweep.make()
        let model = try folder.file("model", String(repeating: "a", count: 1 << 20))
        let profile = try folder.file("profile", "small")
        let experiment = try Self.experiment(
            scenario: "{model: \(model), training.tuning: lora, training.adapter: \(profile), backend: a100-80g}")
        func ids(now: Double = .infinity) throws -> [String] {
            let resolver = PointResolver(experiment, in: sweep, now: { now })
            defer { resolver.keepHashes() }
            return try resolver.points().map(\.id)
        }
        // What was only just written might be written again at what counts as the same time, and is not kept.
        let first = try ids(now: Date().timeIntervalSince1970)
        #expect(!FileManager.default.fileExists(atPath: sweep.path + "/hashes.tsv"))
        #expect(try ids() == first)
        let hashes = sweep.path + "/hashes.tsv"
        let kept = try String(contentsOfFile: hashes, encoding: .utf8)
        #expect(kept.hasSuffix("\t\(model)\n") && kept.split(separator: "\n").count == 1)
        // What is kept is what is used.
        let doctored = String(repeating: "0", count: 64) + kept.dropFirst(64)
        try doctored.write(toFile: hashes, atomically: true, encoding: .utf8)
        #expect(try Set(ids()).isDisjoint(with: first))
        // Of as many bytes, and with the old time of writing: still another file.
        let date = try FileManager.default.attributesOfItem(atPath: model)[.modificationDate] as? Date
        try Data(repeating: 97, count: 1 << 20).write(to: URL(fileURLWithPath: model))
        try FileManager.default.setAttributes([.modificationDate: try #require(date)], ofItemAtPath: model)
        #expect(try ids() == first)
        #expect(try String(contentsOfFile: hashes, encoding: .utf8).hasPrefix(kept.prefix(64)))
    }
}
