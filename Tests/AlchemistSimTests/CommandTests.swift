import AlchemistSim
import Foundation
import Results
import Simulator
import Testing

/// The program from outside: what it prints, what it writes, how it ends.
@Suite(.serialized) struct CommandTests {
    // MARK: What it prints and writes

    @Test func jsonHasTheArmsAndTheirComparison() throws {
        let folder = try Folder()
        let trace = try SmallRun.trace(folder)
        let outcome = try Program.run(
            ["run", trace, "--json", "-o", folder.path("r.h5"), "--repeats", "2"] + SmallRun.settings)
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.errors.isEmpty)
        let object = try #require(
            JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
        let arms = try #require(object["arms"] as? [String: Any])
        #expect(Set(arms.keys) == ["serve-only", "recompute", "reuse"])
        let comparison = try #require(object["comparison"] as? [String: Any])
        #expect(comparison["baseline"] as? String == "recompute")
        #expect(comparison["candidate"] as? String == "reuse")
        for key in [
            "training_speedup", "training_peak_memory_ratio", "ttft_p50_ratio", "ttft_p90_ratio", "itl_p99_ratio",
            "reused_token_fraction", "gradient_rounding_error", "gradient_staleness_error", "host_peak_bytes",
        ] {
            let value = try #require(comparison[key] as? Double, "\(key)")
            #expect(value.isFinite && value > 0, "\(key) is \(value)")
        }
        let rounding = try #require(comparison["gradient_rounding_error"] as? Double)
        #expect(rounding <= 1e-5)
        let reused = try #require(comparison["reused_token_fraction"] as? Double)
        #expect(reused > 0.2 && reused < 1)
    }

    @Test func theResultsFileSaysWhereItComesFrom() throws {
        let folder = try Folder()
        let trace = try SmallRun.trace(folder)
        let outcome = try Program.run(["run", trace, "-o", folder.path("r.h5"), "--seed", "9"] + SmallRun.settings)
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output.contains("reuse against recompute"))
        #expect(folder.names == ["r.h5", "trace.jsonl"], "something was left behind")
        let file = try ResultsFile(reading: folder.path("r.h5"))
        #expect(try file.status == .complete)
        #expect(try file.provenance.seed == 9)
        #expect(try file.provenance.blasKernel.isEmpty == false)
        #expect(try file.provenance.threads >= 1)
        #expect(try file.provenance.commandLine.contains("--seed 9"))
        #expect(try file.attribute("trace_sha256", of: "/").count == 64)
        let scenario = try Scenario(yaml: file.scenario, path: "stored")
        #expect(scenario.base.seed == 9 && scenario.model == "nano")
        let digest = try file.verifyDigest()
        #expect(digest.written == digest.found)
    }

    @Test func generatedTracesAreTheSameFileForTheSameSeed() throws {
        let folder = try Folder()
        let options = ["trace", "generate", "--requests", "50", "--target-p", "0.8"]
        for (name, seed) in [("a", "1"), ("b", "1"), ("c", "2")] {
            let outcome = try Program.run(options + ["--seed", seed, "-o", folder.path(name)])
            #expect(outcome.status == 0, "\(outcome.errors)")
        }
        let read = { (name: String) in FileManager.default.contents(atPath: name) }
        #expect(read(folder.path("a")) == read(folder.path("b")))
        #expect(read(folder.path("a")) != read(folder.path("c")))
    }

    /// A measured run estimates by a profile that is given, and leaves it in its results; one that is not of this run's
    /// threads and kernels, or that nothing would estimate by, is refused before anything is written.
    @Test func aMeasuredRunEstimatesByAGivenProfile() throws {
        let folder = try Folder()
        let trace = try SmallRun.trace(folder)
        #expect(try Program.run(["run", trace, "-o", folder.path("live.h5")] + SmallRun.settings).status == 0)
        let live = try ResultsFile(reading: folder.path("live.h5"))
        var profile = ProfileTests.nano()
        profile.origin.threads = try live.provenance.threads
        profile.origin.kernel = try live.provenance.blasKernel
        profile.origin.cpu = try live.provenance.runCPU
        let own = try folder.file("own.yaml", profile.yaml)
        profile.origin.threads += 1
        let foreign = try folder.file("foreign.yaml", profile.yaml)
        let arguments = ["run", trace, "-o", folder.path("r.h5")] + SmallRun.settings

        for (options, part) in [
            (["--profile", foreign], ", \(profile.origin.threads) threads and kernels"),
            (["--profile", own, "--set", "backend=" + own], "set `backend` to measured"),
        ] {
            let refused = try Program.run(arguments + options)
            #expect(refused.status == 64 && refused.errors.contains(part), "\(refused.errors)")
            #expect(!folder.names.contains("r.h5"))
        }
        let outcome = try Program.run(arguments + ["--profile", own])
        #expect(outcome.status == 0, "\(outcome.errors)")
        let file = try ResultsFile(reading: folder.path("r.h5"))
        for arm in try file.arms { #expect(try file.profile(of: arm) == String(contentsOfFile: own, encoding: .utf8)) }
        #expect(try live.profile(of: "reuse") != file.profile(of: "reuse"))
    }

    // MARK: Bad input

    @Test(
        arguments: [
            (
                "{\"id\": 1, \"arrival\": 0, \"prompt_tokens\": -3, \"output_tokens\": 2}\n", 65,
                "field `prompt_tokens`: found `-3`"
            ),
            ("", 65, "no requests"),
            (
                "{\"id\": 1, \"arrival\": 0, \"prompt_tokens\": 4000, \"output_tokens\": 500}\n", 65,
                "field `prompt_tokens`"
            ),
            ("{\"id\": 1, \"arrival\": 0, \"prompt_to", 65, "truncated"),
        ] as [(String, Int32, String)]) func badTracesAreNamedInOneLine(text: String, status: Int32, part: String)
        throws
    {
        let folder = try Folder()
        let trace = try folder.file("bad.jsonl", text)
        let outcome = try Program.run(["run", trace, "-o", folder.path("r.h5")] + SmallRun.settings)
        #expect(outcome.status == status)
        #expect(outcome.errors.contains(part), "\(outcome.errors)")
        #expect(outcome.errors.contains("bad.jsonl"))
        #expect(outcome.errors.split(separator: "\n").count == 1)
        #expect(folder.names == ["bad.jsonl"])
    }

    @Test(
        arguments: [
            (["--set", "training.lerning_rate=1"], 64, "did you mean `training.learning_rate`?"),
            (["--set", "nonsense"], 64, "expected field=value"),
            (["--set", "device.memory=1MiB"], 75, "arm serve-only: the device has 1.00 MiB but"),
            (["--set", "device.host_memory=1KiB"], 75, "arm reuse: the host has 1.00 KiB but"),
            (["--arms", ""], 64, "expected at least one arm"),
            (["--arms", "resue"], 64, "did you mean `reuse`?"),
            (["--scenario", "missing.yaml"], 74, "missing.yaml"),
            (["--repeats", "0"], 64, "found `0`, expected a whole number from 1 to 1000"),
            (["--bogus"], 64, "--bogus"),
        ] as [([String], Int32, String)]) func badOptionsAreNamed(options: [String], status: Int32, part: String) throws
    {
        let folder = try Folder()
        let trace = try SmallRun.trace(folder)
        let outcome = try Program.run(
            ["run", trace, "-o", folder.path("r.h5")] + SmallRun.settings + options, in: folder.url)
        #expect(outcome.status == status, "\(outcome.errors)")
        #expect(outcome.errors.contains(part), "\(outcome.errors)")
        #expect(folder.names == ["trace.jsonl"])
    }

    // MARK: Trouble

    @Test(arguments: [SIGINT, SIGTERM]) func anInterruptedRunLeavesAWholeFileMarkedSo(signal: Int32) throws {
        let folder = try Folder()
        let trace = try SmallRun.trace(folder)
        let outcome = try Program.run(
            ["run", trace, "-o", folder.path("r.h5"), "--repeats", "1000"] + SmallRun.settings,
            meanwhile: { process in
                Self.waitForWork(in: folder)
                kill(process, signal)
            })
        #expect(outcome.status == 130, "\(outcome.errors)")
        #expect(outcome.errors.contains("interrupted"))
        #expect(folder.names == ["r.h5", "trace.jsonl"])
        let file = try ResultsFile(reading: folder.path("r.h5"))
        #expect(try file.status == .interrupted)
        let digest = try file.verifyDigest()
        #expect(digest.written == digest.found)
    }

    @Test func anInterruptedValidationLeavesNothing() throws {
        let folder = try Folder()
        let trace = try SmallRun.trace(folder)
        let scenario = try folder.file("s.yaml", "model: nano\n")
        let profile = try folder.file("p.yaml", ProfileTests.nano().yaml)
        var name = ""
        let outcome = try Program.run(
            ["validate", scenario, trace, "--profile", profile, "--repeats", "1000", "-o", folder.url.path],
            meanwhile: { process in
                usleep(3_000_000)
                name = (try? String(contentsOfFile: "/proc/\(process)/comm", encoding: .utf8)) ?? ""
                kill(process, SIGTERM)
            })
        // It may have executed itself again, with other kernels.
        #expect(name == "alchemist-sim\n")
        #expect(outcome.status == 130, "\(outcome.errors)")
        #expect(outcome.errors.contains("interrupted; nothing is written"))
        #expect(folder.names == ["p.yaml", "s.yaml", "trace.jsonl"])
    }

    @Test func aKilledRunLeavesEarlierResultsAlone() throws {
        let folder = try Folder()
        let trace = try SmallRun.trace(folder)
        let arguments = ["run", trace, "-o", folder.path("r.h5"), "--arms", "serve-only"] + SmallRun.settings
        #expect(try Program.run(arguments).status == 0)
        let before = FileManager.default.contents(atPath: folder.path("r.h5"))
        let outcome = try Program.run(
            arguments + ["--repeats", "1000"],
            meanwhile: { process in
                Self.waitForWork(in: folder)
                kill(process, SIGKILL)
            })
        #expect(outcome.status == 128 + SIGKILL)
        #expect(FileManager.default.contents(atPath: folder.path("r.h5")) == before)
    }

    @Test func aClosedOutputIsAnErrorAndTheResultsAreKept() throws {
        let folder = try Folder()
        let trace = try SmallRun.trace(folder)
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        close(ends[0])
        defer { close(ends[1]) }
        let outcome = try Program.run(
            ["run", trace, "-o", folder.path("r.h5"), "--arms", "serve-only"] + SmallRun.settings,
            output: ends[1])
        #expect(outcome.status == 74)
        #expect(outcome.errors.contains("standard output"))
        #expect(try ResultsFile(reading: folder.path("r.h5")).status == .complete)
    }

    @Test func resultsThatCanNotBeWrittenAreRefusedBeforeAnyWork() throws {
        let folder = try Folder()
        let trace = try SmallRun.trace(folder)
        let outcome = try Program.run(["run", trace, "-o", "/proc/nowhere/r.h5"] + SmallRun.settings)
        #expect(outcome.status == 74)
        #expect(outcome.errors.contains("/proc/nowhere"))
    }

    /// The repository, where traces and profiles lie.
    private static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    @Test(arguments: ["serve-only", "serve-only,reuse"])
    func aBrokenLawEndsTheRunWithItsStateBesideTheResults(arms: String) throws {
        let folder = try Folder()
        let trace = try SmallRun.trace(folder)
        // A machine that measured work as faster than it says that work can be.
        let sound = Self.repository.appendingPathComponent("experiments/profiles/epyc-2-cores.yaml")
        let text = try String(contentsOf: sound, encoding: .utf8)
            .replacing(/flops_per_second: [0-9.e]+/, with: "flops_per_second: 1e6")
        let profile = try folder.file("contradicts.yaml", text)
        let outcome = try Program.run(
            ["run", trace, "-o", folder.path("r.h5"), "--arms", arms, "--set", "backend=" + profile] + SmallRun.settings
        )
        #expect(outcome.status == 70)
        #expect(outcome.errors.contains("arm serve-only: broken law: "), "\(outcome.errors)")
        #expect(outcome.errors.contains("its state is in \(folder.path("r.state.txt"))\n"), "\(outcome.errors)")
        #expect(outcome.errors.split(separator: "\n").count == 1)
        #expect(folder.names == ["contradicts.yaml", "r.state.txt", "trace.jsonl"])
        let state = try String(contentsOfFile: folder.path("r.state.txt"), encoding: .utf8)
        for part in ["law `serve", "arm serve-only", "ledger in bytes", "of 40 requests open", "arrives"] {
            #expect(state.contains(part), "\(part) in\n\(state)")
        }
    }

    /// Waits until a run has opened its results, which it does when it starts to work, and a little longer.
    private static func waitForWork(in folder: borrowing Folder) {
        for _ in 0..<3000 where !folder.names.contains(where: { $0.contains("partial") }) { usleep(10_000) }
        usleep(500_000)
    }

    // MARK: Help

    @Test(arguments: [
        ["--help"], ["run", "--help"], ["trace", "generate", "--help"], ["verify", "--help"], ["--version"],
    ])
    func helpAndVersionAreThere(arguments: [String]) throws {
        let outcome = try Program.run(arguments)
        #expect(outcome.status == 0)
        #expect(!outcome.output.isEmpty && outcome.errors.isEmpty)
    }
}
