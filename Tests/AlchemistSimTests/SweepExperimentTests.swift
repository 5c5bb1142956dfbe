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
                "axes:\n  trace.cv: [1, 2]",
                "x.yaml: field `trace.cv`: found without effect, expected only with arrivals: gamma"
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
}
