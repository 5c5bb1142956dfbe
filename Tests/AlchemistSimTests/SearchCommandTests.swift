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
