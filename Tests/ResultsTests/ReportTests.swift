import Foundation
import Results
import Simulator
import Testing

@Suite("Reports")
struct ReportTests {
    private func object(_ run: RunResult) throws -> [String: Any] {
        let json = try RunReport(run).json()
        return try #require(try JSONSerialization.jsonObject(with: json) as? [String: Any])
    }

    @Test("JSON has exactly these keys")
    func keys() throws {
        let root = try object(Fixture.run())
        #expect(Set(root.keys) == ["arms", "comparison", "comparisons", "paired"])
        let arms = try #require(root["arms"] as? [String: [String: Any]])
        #expect(Set(arms.keys) == ["serve-only", "recompute", "reuse"])
        let arm = Set(try #require(arms["reuse"]).keys)
        let metrics = ArmSummary.metrics.flatMap { [$0.name, $0.name + "_min", $0.name + "_max"] }
        #expect(arm == Set(metrics + ["status", "repeats"]))
        let comparison = try #require(root["comparison"] as? [String: Any])
        let names = [
            "training_speedup", "training_speedup_wall", "training_speedup_bound", "training_peak_memory_ratio",
            "ttft_p50_ratio", "ttft_p90_ratio", "itl_p50_ratio", "itl_p99_ratio", "ttft_p90_change",
            "itl_p99_change", "longest_trainer_quantum", "reused_token_fraction", "gradient_rounding_error",
            "gradient_staleness_error", "host_peak_bytes",
        ]
        let spreads = names.flatMap { [$0, $0 + "_min", $0 + "_max"] }
        #expect(Set(comparison.keys) == Set(spreads + ["baseline", "candidate", "reference"]))
        #expect(comparison["baseline"] as? String == "recompute")
        #expect(comparison["candidate"] as? String == "reuse")
        #expect(comparison["training_peak_memory_ratio"] as? Double == 0.5)
        #expect((root["comparisons"] as? [Any])?.count == 1)
    }

    @Test("what does not apply is null, whether missing or not a number")
    func nulls() throws {
        var run = Fixture.run()
        run.arms[1].repeats[0].steps[1].loss = .nan
        run.comparisons = []
        let root = try object(run)
        #expect(root["comparison"] is NSNull)
        let arms = try #require(root["arms"] as? [String: [String: Any]])
        #expect(arms["serve-only"]?["training_steps"] is NSNull)
        #expect(arms["recompute"]?["loss_last"] is NSNull)
        #expect(arms["recompute"]?["loss_first"] as? Double == 3)
    }

    @Test("equal reports give equal bytes, and whole numbers stay whole")
    func deterministic() throws {
        let json = try RunReport(Fixture.run(repeats: 2)).json()
        #expect(try RunReport(Fixture.run(repeats: 2)).json() == json)
        #expect(String(decoding: json, as: UTF8.self).contains("\"trained_tokens\" : 200,"))
    }

    @Test("three arms fit in 100 columns")
    func width() throws {
        var run = Fixture.run(repeats: 3)
        run.arms[2].name = "reuse with a name that goes on and on"
        run.comparisons[0].candidate = run.arms[2].name
        let table = try RunReport(run).table()
        for line in table.split(separator: "\n") { #expect(line.count <= 100, "\(line)") }
    }

    @Test("the table shows figures with units, and no line of zeros")
    func table() throws {
        let table = try RunReport(Fixture.run()).table()
        let lines = table.split(separator: "\n").map { line in
            line.split(separator: " ", omittingEmptySubsequences: true).joined(separator: " ")
        }
        #expect(lines.contains("serve-only recompute reuse"))
        #expect(lines.contains("TTFT p50 20.0 ms 20.0 ms 20.0 ms"))
        #expect(lines.contains("requests refused 1 1 1"))
        #expect(lines.contains("weights 500 B 500 B 500 B"))
        #expect(lines.contains("training memory 0 B 300 B 150 B"))
        #expect(lines.contains("loss first -> last - 3.00 -> 2.00 3.00 -> 2.00"))
        #expect(lines.contains("reused tokens - 0.0 % 80.0 %"))
        #expect(lines.contains("training speed-up, busy time 1.667x"))
        #expect(lines.contains("gradient rounding error 1.00e-7"))
        #expect(lines.contains { $0.hasPrefix("reuse against recompute") })
        #expect(!table.contains("optimizer"), "no arm has bytes of it")
        #expect(!table.contains("status"), "all arms are complete")
    }

    @Test("with repeats the table shows the extremes; an interrupted repeat says so and is not compared")
    func repeats() throws {
        var run = Fixture.run(repeats: 4)
        run.arms[2].repeats[3].status = .interrupted
        let table = try RunReport(run).table()
        #expect(table.contains("training speed-up, busy time   1.683x    1.667x .. 1.700x"))
        #expect(table.contains("interrupted"))
    }

    @Test("rows of what happened are there where it did")
    func occurrences() throws {
        func rows(_ run: RunResult) throws -> [String] {
            try RunReport(run).table().split(separator: "\n").map { line in
                line.split(separator: " ", omittingEmptySubsequences: true).joined(separator: " ")
            }
        }
        let labels = [
            "preemptions", "tokens prefilled again", "swapped", "prefix cache hits", "expired tokens", "paused tokens",
            "stale tokens", "edited tokens", "unlinked tokens", "link", "host full", "evicted",
        ]
        let plain = try rows(Fixture.run())
        for label in labels { #expect(!plain.contains { $0.hasPrefix(label + " ") }, "\(label)") }
        #expect(plain.contains("device full 2 2 2"))
        var run = Fixture.run()
        run.arms[2].repeats[0].requests[0].preemptions = 3
        run.arms[2].repeats[0].requests[0].recomputedTokens = 17
        run.arms[2].repeats[0].requests[0].swappedBytes = Bytes(2048)
        run.arms[2].repeats[0].requests[0].cachedTokens = 5
        for (index, reason) in LossReason.allCases.enumerated() where reason != .deviceFull {
            run.arms[2].repeats[0].requests[0].lost[reason] = 10 + index
        }
        let found = try rows(run)
        for row in [
            "preemptions - - 3", "tokens prefilled again - - 17", "swapped - - 2.00 KiB",
            "prefix cache hits - - 16.7 %",
            "link - - 11", "host full - - 12", "evicted - - 13", "expired tokens - - 14", "stale tokens - - 15",
            "edited tokens - - 16", "unlinked tokens - - 17", "paused tokens - - 18", "dropped tokens 2 2 38",
        ] { #expect(found.contains(row), "\(row) in \(found)") }
    }

    @Test("an interrupted run says when it was interrupted, and what is known")
    func interruption() throws {
        var run = Fixture.run()
        run.arms[1].repeats[0].status = .interrupted
        run.arms[1].repeats[0].requests[1].outcome = .unfinished
        run.arms[2].repeats = []
        let table = try RunReport(run).table()
        #expect(
            table.contains(
                "interrupted: serve-only is whole; recompute at 400 ms of virtual time, 1 of 3 requests finished, "
                    + "2 training steps; reuse was not begun\n"), "\(table)")
        #expect(table.contains("reuse against recompute: no repeat has both of them whole"))
        #expect(!table.contains("training speed-up"))
        #expect(try !RunReport(Fixture.run()).table().contains("interrupted"))
    }

    @Test("figures have three significant digits and a unit that fits")
    func figures() throws {
        var run = Fixture.run()
        run.comparisons = []
        run.arms.removeFirst()
        run.arms[0].repeats[0].tokenGaps = [TokenGap(request: 0, gap: SimDuration(nanoseconds: 1_234_567))]
        run.arms[1].repeats[0].tokenGaps = [TokenGap(request: 0, gap: SimDuration(nanoseconds: 999_960))]
        run.arms[0].repeats[0].steps[1].audit?.stalenessError = 0.023456
        run.arms[1].repeats[0].steps[1].audit?.stalenessError = 0.000234
        let lines = try RunReport(run).table().split(separator: "\n").map { line in
            line.split(separator: " ", omittingEmptySubsequences: true).joined(separator: " ")
        }
        #expect(lines.contains("ITL p50 1.23 ms 1.00 ms"))
        #expect(lines.contains("gradient staleness error 0.0235 2.34e-4"))
    }

    @Test("a run without a finished request has a table")
    func empty() throws {
        let run = RunResult(
            provenance: Fixture.provenance, scenario: "", trace: Trace(source: "", requests: []),
            arms: [ArmResult(name: "serve-only", repeats: [ArmLog()]), ArmResult(name: "reuse", repeats: [])])
        #expect(try RunReport(run).table().contains("requests finished"))
    }
}
