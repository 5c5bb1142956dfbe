import AlchemistSim
import Foundation
import Results
import Testing

/// Searches from outside.
@Suite(.serialized) struct SearchCommandTests {
    @Test func aSearchFindsTheEdgeAndKeepsItsTrail() throws {
        let folder = try Folder()
        let text = """
            scenario: {model: llama-3-8b, backend: a100-80g}
            trace: {generate: {requests: 40, content: counts, lengths: azure-conversation}}
            axes: {seeds: 2}
            arms: [serve-only]
            results: summary
            search: {field: trace.rate, from: 0.1, to: 100, tolerance: 0.1, objectives: [OBJECTIVE]}
            """
        func search(_ objective: String, _ output: String) throws -> Program.Outcome {
            let path = try folder.file("s.yaml", text.replacingOccurrences(of: "OBJECTIVE", with: objective))
            return try Program.run(["search", path, "-o", folder.path(output)])
        }
        let found = try search("serve-only.ttft_p90 <= 600ms", "out")
        #expect(found.status == 0, "\(found.errors)")
        struct Outcome: Decodable {
            struct Trial: Decodable {
                var value: Double
                var meets: Bool
                var wasKnown: Bool
                var figures: [String: Double?]
            }
            var highest: Double?
            var lowestFailing: Double?
            var trail: [Trial]
        }
        func outcomes(_ name: String) throws -> [Outcome] {
            try JSONDecoder().decode(
                [Outcome].self, from: Data(contentsOf: URL(fileURLWithPath: folder.path(name + "/search.json"))))
        }
        let first = try outcomes("out")
        #expect(first.count == 2)
        for outcome in first {
            let (highest, failing) = (try #require(outcome.highest), try #require(outcome.lowestFailing))
            #expect(highest < failing && failing / highest <= 1.1)
            for trial in outcome.trail {
                let figure = try #require(trial.figures["serve-only.ttft_p90"] ?? nil)
                #expect(trial.meets == (figure <= 0.6) && !trial.wasKnown)
            }
        }
        let file = try HDF5File(reading: folder.path("out/search.h5"))
        #expect(try file.numbers("/found/highest", as: Double.self) == first.compactMap(\.highest))
        // What was tried is not run again, and nothing else comes of it.
        let again = try search("serve-only.ttft_p90 <= 600ms", "out")
        #expect(again.status == 0)
        let second = try outcomes("out")
        #expect(second.map(\.highest) == first.map(\.highest) && second.allSatisfy { $0.trail.allSatisfy(\.wasKnown) })
        #expect(try search("ttft_p90 <= 1h", "none").status == 65)
        #expect(try search("ttft_p90 <= 1ns", "none").output.contains("not even the lowest"))
        #expect(try search("ttft_p90 <= 100000s", "all").output.contains("the end of the range"))
    }

    /// What the trail says has its unit.
    @Test func figuresHaveUnits() throws {
        let folder = try Folder()
        let path = try folder.file(
            "s.yaml",
            """
            scenario: {model: llama-3-8b, backend: a100-80g}
            trace: {generate: {requests: 8, content: counts}}
            arms: [serve-only]
            results: summary
            search:
              {field: device.memory, from: 40GiB, to: 80GiB, objectives: [ttft_p90 <= 1ns and output_throughput > 0 and requests_refused == 0]}
            """)
        let found = try Program.run(["search", path, "-o", folder.path("out")])
        #expect(found.status == 0, "\(found.errors)")
        let line = try #require(found.output.split(separator: "\n").first)
        #expect(line.contains(/ttft_p90 = [0-9.e-]+ s(,|$)/), "\(line)")
        #expect(line.contains(/output_throughput = [0-9.e+]+ tokens\/s, requests_refused = 0,/), "\(line)")
        let json = try JSONSerialization.jsonObject(
            with: Data(contentsOf: URL(fileURLWithPath: folder.path("out/search.json"))))
        let trial = try #require(((json as? [[String: Any]])?.first?["trail"] as? [[String: Any]])?.first)
        #expect(
            trial["units"] as? [String: String]
                == ["ttft_p90": "s", "output_throughput": "tokens/s", "requests_refused": "1"])
        // The value that fails has the field's unit.
        let edge = try folder.file(
            "e.yaml",
            String(contentsOfFile: path, encoding: .utf8).replacingOccurrences(of: "from: 40GiB", with: "from: 1GiB")
                .replacingOccurrences(of: "ttft_p90 <= 1ns", with: "kv_blocks <= 20000"))
        let edged = try Program.run(["search", edge, "-o", folder.path("edge"), "--quiet"])
        #expect(edged.output.contains("not even the lowest") || edged.output.contains(/fails at [0-9.]+GiB/))
    }

    @Test(
        "objectives whose units do not fit",
        arguments: [
            (
                "ttft_p90 <= 1",
                "the same unit on both sides of `<=`, not a time and a number without a unit: write a time"
            ),
            ("1 > reuse.ttft_p90", "not a number without a unit and a time: write a time as 500ms or 2s"),
            ("device_peak_bytes < 4", "not an amount of memory and a number without a unit: write memory as 4GiB"),
            ("requests_finished >= 1s", "not a figure without a unit and a time"),
            ("ttft_p90 < device_peak_bytes", "not a time and an amount of memory"),
            ("ttft_p90 + 1 < 2s", "the same unit on both sides of `+`"),
            ("output_throughput > 10%", "not a figure in tokens/s and a share"),
            ("trained_tokens / busy_seconds > 10 and tpot_p90 < 0.1", "not a time and a number without a unit"),
            ("ttft_p90", "a comparison, such as `ttft_p90 <= 1s`"),
            ("ttft_p90 <= 1s and kv_blocks", "comparisons on both sides of `and`"),
            ("ttft_p90 == 'fast'", "numbers and figures, no text"),
        ])
    func objectivesWithUnits(objective: String, message: String) throws {
        let folder = try Folder()
        let path = try folder.file("s.yaml", Self.objective(objective))
        let outcome = try Program.run(["search", path, "-o", folder.path("out")])
        #expect(outcome.status == 65)
        let place = "\(path):7: field `objectives`: found `\(objective)`, expected "
        #expect(outcome.errors.contains(place) && outcome.errors.contains(message), "\(outcome.errors)")
        #expect(!outcome.output.contains("trace.rate ="))
    }

    @Test(
        "objectives whose units fit",
        arguments: [
            "ttft_p90 <= 1s", "ttft_p90 * 2 <= ttft_p99 + 500ms", "requests_refused == 0 and ttft_p90 > 0",
            "device_peak_bytes < 80GiB", "prefix_cache_hit_rate >= 10%", "kv_utilisation_peak < 0.9",
            "output_throughput >= 100", "ttft_p90 / tpot_p90 < 1000000", "comparison.training_speedup > 0.5",
            "not (ttft_p90 > 60s)", "trained_tokens / busy_seconds > 10",
        ])
    func objectivesThatFit(objective: String) throws {
        let folder = try Folder()
        let path = try folder.file("s.yaml", Self.objective(objective))
        let outcome = try Program.run(["search", path, "-o", folder.path("out"), "--quiet"])
        #expect(outcome.status == 0, "\(outcome.errors)")
    }

    private static func objective(_ text: String) -> String {
        """
        scenario: {model: llama-3-8b, backend: a100-80g}
        trace: {generate: {requests: 5, content: counts, feedback_rate: 1}}
        arms: [recompute, reuse]
        results: summary
        search: {field: trace.rate, from: 1, to: 1.01, objectives: OBJECTIVES}
        """.replacingOccurrences(of: "OBJECTIVES}", with: "\n  [\n    \"\(text)\"]}")
    }

    /// The end that would be tried second is looked at first.
    @Test(
        "searches with an end that can not run",
        arguments: [
            (
                "{field: hardware.tensor_parallel, from: 1, to: 64, whole: true}",
                "hardware.tensor_parallel = 64 can not be run",
                "shares the 32 heads"
            ),
            ("{field: trace.target_p, from: 0.5, to: 1.5}", "trace.target_p = 1.5 can not be run", "between 0 and 1"),
            (
                "{field: trace.max_context, from: 100, to: 9000, whole: true}",
                "trace.max_context = 9000 can not be run",
                "the context of llama-3-8b; "
            ),
        ])
    func endsThatCanNotRun(search: String, found: String, reason: String) throws {
        let folder = try Folder()
        let objectives = search.replacingOccurrences(of: "}", with: ", objectives: [ttft_p90 <= 1s]}")
        let path = try folder.file(
            "s.yaml",
            """
            scenario: {model: llama-3-8b, backend: a100-80g}
            trace: {generate: {requests: 60, content: counts, scale: 8}}
            arms: [serve-only]
            results: summary
            search: \(objectives)
            """)
        let outcome = try Program.run(["search", path, "-o", folder.path("out")])
        #expect(outcome.status == 65)
        #expect(outcome.errors.contains("\(path):5: field `search`: \(found)"), "\(outcome.errors)")
        #expect(outcome.errors.contains(reason), "\(outcome.errors)")
        #expect(outcome.output.isEmpty && Sweeping.records(folder.path("out")).isEmpty)
    }

    /// Whole numbers are tried until they are neighbours, nearer than the share at which other searches end.
    @Test func aSearchOverWholeNumbers() throws {
        let folder = try Folder()
        let path = try folder.file(
            "s.yaml",
            """
            scenario: {model: llama-3-8b, backend: a100-80g}
            trace: {generate: {content: counts, scale: 0.05, rate: 50}}
            arms: [serve-only]
            results: summary
            search: {field: trace.requests, from: 100, to: 128, whole: true, objectives: [requests_finished <= 117]}
            """)
        let found = try Program.run(["search", path, "-o", folder.path("out"), "--quiet"])
        #expect(found.output == "highest trace.requests: 117, fails at 118\n", "\(found.output) \(found.errors)")
    }

    /// What does not fit the simulated memory meets no objective, and is not tried again.
    @Test func aSearchKeepsWhatDoesNotFit() throws {
        let folder = try Folder()
        let path = try folder.file(
            "s.yaml",
            """
            scenario: {model: llama-3-8b, backend: a100-80g}
            trace: {generate: {requests: 5, content: counts}}
            arms: [serve-only]
            results: summary
            search: {field: device.memory, from: 1GiB, to: 80GiB, objectives: [ttft_p90 <= 1000s]}
            """)
        func search() throws -> Program.Outcome { try Program.run(["search", path, "-o", folder.path("out")]) }
        let first = try search()
        #expect(
            first.output.contains("device.memory = 1GiB: fails (arm serve-only: "), "\(first.output) \(first.errors)")
        #expect(!first.output.contains("; known"))
        let second = try search()
        #expect(
            second.output.contains("device.memory = 1GiB: fails (arm serve-only: ") && second.output.contains("; known")
        )
    }
}
