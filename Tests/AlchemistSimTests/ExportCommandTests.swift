import Foundation
import Simulator
import Testing

@Suite struct ExportCommandTests {
    /// Results of a small priced run with all arms: no clock, well under a second.
    private static func results(_ folder: borrowing Folder) throws -> String {
        var options = TraceGeneratorOptions()
        options.requests = 30
        options.scale = 0.1
        options.maxContext = 256
        options.content = .counts
        options.arrivals = .poisson(rate: 20)
        options.feedback = TraceGeneratorOptions.FeedbackModel(rate: 0.9, meanDelay: 0.1)
        try TraceWriter.write(TraceGenerator(options).generate(), to: folder.path("trace.jsonl"))
        let outcome = try Program.run([
            "run", folder.path("trace.jsonl"), "--set", "backend=a100-80g", "--set", "model=llama-3-8b", "--arms",
            "serve-only,recompute,reuse,separate", "-o", folder.path("r.h5"),
        ])
        #expect(outcome.status == 0, "\(outcome.errors)")
        return folder.path("r.h5")
    }

    @Test func writesTablesATimeLineAndAPage() throws {
        let folder = try Folder()
        let results = try Self.results(folder)
        let export = try Program.run([
            "export", results, "--csv", folder.path("csv"), "--perfetto", folder.path("t.json"),
        ])
        #expect(export.status == 0, "\(export.errors)")
        let report = try Program.run(["report", results])
        #expect(report.status == 0, "\(report.errors)")
        #expect(folder.names == ["csv", "r.h5", "r.html", "t.json", "trace.jsonl"])
        let requests = try String(
            contentsOfFile: folder.path("csv/arms/separate/repeat_000/requests.csv"), encoding: .utf8)
        #expect(requests.split(separator: "\n").count == 31)
        let data = try Data(contentsOf: URL(fileURLWithPath: folder.path("t.json")))
        let root = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        let events = try #require(root["traceEvents"] as? [[String: Any]])
        for arm in ["serve-only", "recompute", "reuse", "separate"] {
            #expect(events.contains { ($0["args"] as? [String: Any])?["name"] as? String == arm })
        }
        try Self.expectTracksInOrder(events)
    }

    /// On every track each span begins after the one before it has ended, or lies within one that is open.
    private static func expectTracksInOrder(_ events: [[String: Any]]) throws {
        var open: [[Int]: [(start: Int64, end: Int64)]] = [:]
        var spans = 0
        for event in events where event["ph"] as? String == "X" {
            func nanoseconds(_ key: String) throws -> Int64 {
                Int64((try #require(event[key] as? NSNumber).doubleValue * 1000).rounded())
            }
            let track = [event["pid"] as? Int ?? -1, event["tid"] as? Int ?? -1]
            let start = try nanoseconds("ts")
            let end = start + (try nanoseconds("dur"))
            var stack = open[track] ?? []
            while let outer = stack.last, outer.end <= start, !(outer.start == start && outer.end == end) {
                stack.removeLast()
            }
            if let outer = stack.last { #expect(outer.start <= start && end <= outer.end, "\(event)") }
            open[track] = stack + [(start, end)]
            spans += 1
        }
        #expect(spans > 1000)
    }

    @Test(arguments: [
        (["export", "r.h5"], "--csv DIRECTORY", Int32(64)),
        (["export", "r.h5", "--csv", "d", "--arms", "reuse"], "--perfetto", 64),
        (["export", "r.h5", "--perfetto", "t", "--from", "3", "--to", "2"], "end before it begins", 64),
        (["export", "r.h5", "--perfetto", "t", "--from=-1"], "expected seconds", 64),
        (["export", "r.h5", "--perfetto", "t", "--arms", "nobody"], "there is no arm \"nobody\"", 74),
        (["export", "r.h5", "--perfetto", "t", "--repeat", "3"], "no repeat 3", 74),
        (["export", "r.h5", "--perfetto", "r.h5"], "would be lost", 64),
        (["export", "r.h5", "--csv", "trace.jsonl"], "would be lost", 74),
        (["export", "gone.h5", "--csv", "d"], "gone.h5", 74),
        (["report", "r.h5", "-o", "r.h5"], "would be lost", 64),
        (["report", "r.h5", "-o", "trace.jsonl"], "would be lost", 74),
        (["report", "trace.jsonl"], "not an HDF5 file", 74),
    ])
    func saysWhatIsWrongAndWritesNothing(_ arguments: [String], _ expected: String, _ status: Int32) throws {
        let folder = try Folder()
        _ = try Self.results(folder)
        let before = folder.names
        let outcome = try Program.run(arguments, in: folder.url)
        #expect(outcome.status == status, "\(outcome.errors)")
        #expect(outcome.errors.contains(expected), "\(outcome.errors)")
        #expect(folder.names == before)
    }
}
