import Foundation
import Results
import Testing

/// docs/json.md, held to what the commands print.
@Suite(.serialized) struct JSONDocumentationTests {
    /// The fields of a section's table, cut at dots.
    private static func documented(_ section: String) throws -> [[String]] {
        let text = try String(contentsOfFile: Repository.root + "/docs/json.md", encoding: .utf8)
        let parts = text.components(separatedBy: "\n## ")
        let body = try #require(parts.first { $0.hasPrefix(section + "\n") }, "no section \(section)")
        var fields: [[String]] = []
        for line in body.split(separator: "\n") where line.hasPrefix("| `") {
            let cells = line.split(separator: "|", omittingEmptySubsequences: false).map {
                $0.trimmingCharacters(in: .whitespaces)
            }
            #expect(cells.count >= 4 && !cells[2].isEmpty, "no unit: \(line)")
            for field in cells[1].split(separator: ",") {
                fields.append(field.filter { $0 != "`" && $0 != " " }.components(separatedBy: "."))
            }
        }
        return fields
    }

    /// The paths of all values in a document; of empty lists and objects none.
    private static func written(_ value: Any, _ path: [String] = []) -> Set<[String]> {
        switch value {
        case let object as [String: Any]:
            object.reduce(into: []) { $0.formUnion(written($1.value, path + [$1.key])) }
        case let list as [Any]:
            list.reduce(into: []) { $0.formUnion(written($1, path.dropLast() + [(path.last ?? "") + "[]"])) }
        default: [path]
        }
    }

    private static let metrics: Set<String> = {
        let names = ArmSummary.metrics.map(\.name) + Comparison.metrics.map(\.name)
        return Set(names.flatMap { [$0, $0 + "_min", $0 + "_max"] })
    }()

    private static func matches(_ field: [String], _ path: [String]) -> Bool {
        field.count == path.count
            && zip(field, path).allSatisfy { word, name in
                if word == "METRIC" { return metrics.contains(name) }
                return word == name || word.allSatisfy { $0.isUppercase }
            }
    }

    private static func check(_ section: String, _ arguments: [String], leftOut: Set<String> = []) throws {
        let outcome = try Program.run(arguments)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let document = try JSONSerialization.jsonObject(with: Data(outcome.output.utf8))
        let (fields, paths) = (try documented(section), written(document))
        for path in paths {
            #expect(
                fields.contains { matches($0, path) }, "\(section): \(path.joined(separator: ".")) is not documented")
        }
        for field in fields where !leftOut.contains(field.joined(separator: ".")) {
            #expect(
                paths.contains { matches(field, $0) }, "\(section): \(field.joined(separator: ".")) is not written")
        }
    }

    @Test func run() throws {
        let folder = try Folder()
        let trace = try SmallRun.trace(folder)
        try Self.check("run", ["run", trace, "--json", "-o", folder.path("r.h5")] + SmallRun.settings)
    }

    @Test func search() throws {
        let folder = try Folder()
        let path = try folder.file(
            "s.yaml",
            """
            scenario: {model: llama-3-8b, backend: a100-80g}
            trace: {generate: {requests: 5, content: counts}}
            axes: {seeds: 1}
            arms: [serve-only]
            results: summary
            search: {field: device.memory, from: 18GiB, to: 80GiB, tolerance: 0.3, objectives: [kv_blocks <= 10000]}
            """)
        try Self.check("search", ["search", path, "--json", "-o", folder.path("out")])
    }

    @Test func plan() throws {
        try Self.check(
            "plan",
            [
                "plan", "--tokens", "2048", "--recorded", "0.9", "--recorded-rate", "1000", "--set", "backend=a100-80g",
                "--set", "model=llama-3-8b", "--json", "--all",
            ])
    }

    @Test(arguments: ["models", "hardware"]) func registry(command: String) throws {
        try Self.check(command, [command, "--json"])
    }

    @Test func models() throws {
        let folder = try Folder()
        try Self.check("verify", ["verify", "nano", "--length", "32", "--json"])
        try Self.check(
            "pretrain",
            [
                "pretrain", "nano", "--steps", "2", "--sequences", "1", "--length", "16", "--json", "-q", "-o",
                folder.path("base"),
            ])
    }

    @Test func traces() throws {
        let folder = try Folder()
        try Self.check(
            "trace stats",
            [
                "trace", "stats", Repository.root + "/traces/assistants.jsonl", "--against", "azure-conversation",
                "--json",
            ])
        let source = try folder.file(
            "s.csv", "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,0,3\n2023-11-16 18:15:46.68,5,3\n"
        )
        try Self.check("trace import", ["trace", "import", source, "--json", "-o", folder.path("t.jsonl")])
    }
}
