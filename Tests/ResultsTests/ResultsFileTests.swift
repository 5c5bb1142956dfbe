import Foundation
import Results
import Simulator
import Testing

@Suite("Results files")
struct ResultsFileTests {
    @Test("what is written is read back")
    func roundTrip() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("run.h5")
        let run = Fixture.run(repeats: 2)
        let digest = try run.write(to: path)
        #expect(try directory.contents == ["run.h5"])

        let file = try ResultsFile(reading: path)
        #expect(try file.provenance == Fixture.provenance)
        #expect(try file.scenario == run.scenario)
        #expect(try file.status == .complete)
        #expect(try file.attribute("trace_source", of: "/") == "three.jsonl")
        #expect(try file.attribute("trace_sha256", of: "/") == "ab12")
        #expect(try file.arms == ["recompute", "reuse", "serve-only"])
        #expect(try file.repeats(of: "reuse") == ["repeat_000", "repeat_001"])
        let digests = try file.verifyDigest()
        #expect(digests.written == digest)
        #expect(digests.found == digest)

        #expect(try file.values(at: "/trace/id") == .text(["a", "b", "c"]))
        #expect(try file.values(at: "/trace/conversation") == .text(["c", "c", ""]))
        #expect(try file.values(at: "/trace/previous_turn") == .int64([-1, 0, -1]))
        #expect(try file.values(at: "/trace/feedback") == .int32([1, 2, 0]))
        #expect(try file.values(at: "/trace/feedback_delay") == .int64([-1, 7_000_000, -1]))
        #expect(try file.values(at: "/arms/reuse/repeat_001/requests/outcome") == .int32([0, 0, 1]))
        #expect(
            try file.values(at: "/arms/reuse/repeat_001/requests/first_token") == .int64([10_000_000, 180_000_000, -1]))
        #expect(try file.values(at: "/arms/reuse/repeat_001/requests/in_window") == .int32([1, 1, 1]))
        #expect(try file.values(at: "/arms/reuse/repeat_000/lost_records/start") == .int64([0, 100_000_000]))
        #expect(try file.values(at: "/arms/reuse/repeat_000/lost_records/device_full") == .int64([0, 21]))
        #expect(try file.values(at: "/arms/reuse/repeat_000/lost_records/expired") == .int64([5, 0]))
        #expect(try file.values(at: "/arms/reuse/summary/dropped_bytes") == .float64([21]))
        #expect(try file.values(at: "/arms/reuse/repeat_000/itl/gap") == .int64([15_000_000, 25_000_000]))
        #expect(try file.values(at: "/arms/reuse/repeat_000/training/loss") == .float64([3, 2]))
        #expect(try file.values(at: "/arms/reuse/repeat_000/transfers/direction") == .int32([0, 1]))
        #expect(try file.values(at: "/arms/reuse/repeat_000/memory/training_peak") == .int64([150]))
        #expect(
            try file.values(at: "/arms/reuse/repeat_000/memory/device/series/weights") == .int64([500, 500, 500, 500]))
        #expect(try file.values(at: "/arms/reuse/repeat_000/memory/device/series/kv") == .int64([0, 0, 0, 100]))
        let iterations = "/arms/serve-only/repeat_000/iterations"
        #expect(try file.values(at: iterations + "/start") == .int64([4_000_000]))
        #expect(try file.values(at: iterations + "/duration") == .int64([6_000_000]))
        #expect(try file.values(at: iterations + "/predicted") == .int64([5_000_000]))
        #expect(try file.values(at: iterations + "/prefill_tokens") == .int64([10]))
        #expect(try file.values(at: iterations + "/recorded_tokens") == .int64([8]))
        #expect(try file.values(at: "/arms/recompute/summary/trained_tokens") == .float64([200]))
        #expect(try file.values(at: "/comparison/baseline") == .text(["recompute"]))
        #expect(try file.values(at: "/comparison/reused_token_fraction_min") == .float64([0.8]))
    }

    @Test("requests outside the window of serving's figures are told apart")
    func window() throws {
        let directory = try TemporaryDirectory()
        var run = Fixture.run()
        run.window = MetricsWindow(warmup: .share(0.34), length: .share(0.34))
        try run.write(to: directory.file("run.h5"))
        let file = try ResultsFile(reading: directory.file("run.h5"))
        #expect(try file.values(at: "/arms/reuse/repeat_000/requests/in_window") == .int32([0, 1, 0]))
        #expect(try file.values(at: "/arms/reuse/summary/requests_finished") == .float64([1]))
    }

    @Test("the replay table comes back, and iterations point into it")
    func costs() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("run.h5")
        try Fixture.run(repeats: 2).write(to: path)
        let file = try ResultsFile(reading: path)
        let costs = try file.costs
        #expect(
            costs.map(\.arm) == ["serve-only", "serve-only"] + Array(repeating: "recompute", count: 4)
                + Array(repeating: "reuse", count: 4))
        #expect(costs.map(\.repeatIndex) == [0, 1, 0, 0, 1, 1, 0, 0, 1, 1])
        #expect(costs[3].shape.key == "backward 100")
        #expect(costs[3].shape.kind == .train)
        #expect(costs[3].shape.count == 1)
        #expect(costs[3].shape.total == ms(9))
        guard case .int64(let rows) = try file.values(at: "/arms/reuse/repeat_001/iterations/shape") else {
            Issue.record("shapes are not integers")
            return
        }
        #expect(rows.map { costs[Int($0)].shape.key } == ["prefill 10", "backward 100"])
        #expect(rows.allSatisfy { costs[Int($0)].arm == "reuse" && costs[Int($0)].repeatIndex == 1 })
    }

    @Test("every dataset has a unit and a description, and docs/results.md names it")
    func described() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("run.h5")
        try Fixture.run().write(to: path)
        let file = try ResultsFile(reading: path)
        let units = Set(MetricUnit.allCases.map(\.rawValue))
        let docs = try Documentation.text("results.md") + Documentation.text("metrics.md")
        for dataset in try file.datasets {
            #expect(units.contains(try file.attribute("units", of: dataset)), "\(dataset)")
            #expect(try !file.attribute("description", of: dataset).isEmpty, "\(dataset)")
            let name = try #require(dataset.split(separator: "/").last)
            let isExtreme = dataset.hasSuffix("_min") || dataset.hasSuffix("_max")
            let isOwner = dataset.contains("peak_bytes_") || dataset.contains("/series/")
            if !isExtreme && !isOwner { #expect(docs.contains("`\(name)`"), "\(dataset) is not documented") }
        }
    }

    @Test("every metric is documented with its unit")
    func metricsDocumented() throws {
        let lines = try Documentation.text("metrics.md").split(separator: "\n")
        let owners = Set(MemoryOwner.allCases.map(\.name))
        func check(_ name: String, _ unit: MetricUnit) {
            let row = lines.first { $0.hasPrefix("| `\(name)`") }
            #expect(row?.contains("| \(unit.rawValue) |") == true, "\(name) in \(unit.rawValue)")
        }
        for metric in ArmSummary.metrics where !owners.contains(where: { metric.name.hasSuffix("_bytes_" + $0) }) {
            check(metric.name, metric.unit)
        }
        for metric in Comparison.metrics { check(metric.name, metric.unit) }
    }

    @Test("an interrupted run says so, at the root, the arm and the repeat")
    func interrupted() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("run.h5")
        var run = Fixture.run(repeats: 2)
        run.arms[1].repeats[1].status = .interrupted
        run = RunResult(provenance: run.provenance, scenario: run.scenario, trace: run.trace, arms: run.arms)
        #expect(run.status == .interrupted)
        try run.write(to: path)
        let file = try ResultsFile(reading: path)
        #expect(try file.status == .interrupted)
        #expect(try file.attribute("status", of: "/arms/recompute") == "interrupted")
        #expect(try file.attribute("status", of: "/arms/recompute/repeat_000") == "complete")
        #expect(try file.attribute("status", of: "/arms/recompute/repeat_001") == "interrupted")
        #expect(try file.attribute("status", of: "/arms/reuse") == "complete")
    }

    @Test("odd characters survive in names, ids and texts")
    func oddCharacters() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("ünï ☃ '\".h5")
        var run = Fixture.run()
        let odd = ["", "naïve ☃", "tab\tquote\"\u{1F9EA} e\u{301}\n"]
        for index in odd.indices { run.trace.requests[index].id = odd[index] }
        run.arms[0].name = "größe 100 % ☃"
        run.comparisons = []
        run.provenance.commandLine = "run 'a b' \"ü\""
        run.provenance.checkpoint = CheckpointOrigin(path: "models/ü", sha256: "ab")
        run.scenario = String(repeating: "# a long scenario ☃\n", count: 5_000)
        try run.write(to: path)
        let file = try ResultsFile(reading: path)
        #expect(try file.values(at: "/trace/id") == .text(odd))
        #expect(try file.arms.contains("größe 100 % ☃"))
        #expect(try file.values(at: "/arms/größe 100 % ☃/repeat_000/itl/request") == .int32([0, 0]))
        #expect(try file.provenance == run.provenance)
        #expect(try file.scenario == run.scenario)
    }

    @Test("a run of nothing is a file too")
    func empty() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("run.h5")
        let run = RunResult(
            provenance: Fixture.provenance, scenario: "", trace: Trace(source: "", requests: []),
            arms: [ArmResult(name: "none", repeats: []), ArmResult(name: "empty", repeats: [ArmLog()])])
        try run.write(to: path)
        let file = try ResultsFile(reading: path)
        #expect(try file.scenario == "")
        #expect(try file.values(at: "/trace/id") == .text([]))
        #expect(try file.values(at: "/arms/empty/repeat_000/requests/finish") == .int64([]))
        #expect(try file.costs.isEmpty)
        guard case .float64(let values) = try file.values(at: "/arms/none/summary/ttft_p50") else {
            Issue.record("a summary is not a number")
            return
        }
        #expect(values.count == 1 && values[0].isNaN)
    }

    @Test("a long log comes back whole")
    func long() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("run.h5")
        var log = ArmLog()
        log.tokenGaps = TokenGapLog(
            (0..<50_000).map { TokenGap(request: Int32($0 % 7), gap: SimDuration(nanoseconds: $0 * $0)) })
        let requests = (0..<20_000).map {
            Request(id: "request-\($0)", arrival: at(Int64($0)), promptTokens: $0, outputTokens: 1)
        }
        let run = RunResult(
            provenance: Fixture.provenance, scenario: "", trace: Trace(source: "", requests: requests),
            arms: [ArmResult(name: "long", repeats: [log])])
        try run.write(to: path)
        let file = try ResultsFile(reading: path)
        #expect(try file.values(at: "/trace/id") == .text(requests.map(\.id)))
        #expect(try file.values(at: "/trace/prompt_tokens") == .int64((0..<20_000).map { $0 }))
        #expect(try file.values(at: "/arms/long/repeat_000/itl/request") == .int32((0..<50_000).map { $0 % 7 }))
        #expect(try file.values(at: "/arms/long/repeat_000/itl/gap") == .int64((0..<50_000).map { $0 * $0 }))
        let digests = try file.verifyDigest()
        #expect(digests.written == digests.found)
    }

    @Test("h5dump opens it", .enabled(if: FileManager.default.isExecutableFile(atPath: h5dump)))
    func dump() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("run.h5")
        try Fixture.run().write(to: path)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Self.h5dump)
        process.arguments = ["-d", "/arms/reuse/repeat_000/training/loss", path]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let text = String(decoding: try #require(try output.fileHandleForReading.readToEnd()), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        #expect(text.contains("(0): 3, 2"))
        #expect(text.contains("\"nats\""))
    }

    private static let h5dump = "/usr/bin/h5dump"
}

/// The project's documentation, read from the source tree.
enum Documentation {
    static func text(_ name: String) throws -> String {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return try String(contentsOf: root.appendingPathComponent("docs/" + name), encoding: .utf8)
    }
}
