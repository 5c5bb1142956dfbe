import AlchemistSim
import Foundation
import Results
import Testing

/// Sweeps from outside: what is run, by whom, and what is kept.
@Suite(.serialized) struct SweepCommandTests {
    @Test func jobsAndWorkersFindTheSame() throws {
        let folder = try Folder()
        let grid = try folder.file("grid.yaml", Sweeping.grid)
        let (one, two, apart) = (folder.path("one"), folder.path("two"), folder.path("apart"))
        for (output, jobs) in [(one, "1"), (two, "2")] {
            let outcome = try Sweeping.run([grid, "-o", output, "--jobs", jobs, "--quiet"])
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.output.contains("merged \(Sweeping.points) of \(Sweeping.points) points"))
            #expect(outcome.errors.isEmpty)
        }
        // As another scheduler would: chunks of a list, then the merge.
        let list = try Sweeping.run([grid, "-o", apart, "--list"]).output
        #expect(list.split(separator: "\n").count == Sweeping.points && list.contains("\tmissing\ttrace_rate=1 "))
        let file = try folder.file("ids", list)
        for chunk in ["0/2", "1/2"] {
            let outcome = try Sweeping.run([grid, "-o", apart, "--points-file", file, "--chunk", chunk])
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.output.split(separator: "\n").count == Sweeping.points / 2)
        }
        #expect(try Sweeping.run([grid, "-o", apart, "--merge"]).status == 0)
        #expect(Sweeping.merged(one) != nil)
        #expect(Sweeping.merged(one) == Sweeping.merged(two) && Sweeping.merged(one) == Sweeping.merged(apart))
        let merged = try HDF5File(reading: one + "/merged.h5")
        let status: [Int64] = try merged.numbers("/point_status")
        #expect(status.count == 12 && status.count { $0 == 1 } == Sweeping.points)
        // A point's file is a run's file.
        let id = try #require(list.split(separator: "\t").first)
        let results = try ResultsFile(reading: "\(one)/points/\(id).h5")
        #expect(try results.arms == ["recompute", "reuse"])
        let first: [Double] = try merged.numbers("/ttft_p50")
        #expect(try results.values(at: "/arms/recompute/summary/ttft_p50") == .float64([first[0]]))
    }

    @Test func aPointThatFailsDoesNotStopTheOthers() throws {
        let folder = try Folder()
        let grid = try folder.file(
            "grid.yaml",
            Sweeping.grid.replacingOccurrences(
                of: "training.update_every: [1, 2, 4]", with: "device.memory: [80GiB, 1GiB]"
            )
            .replacingOccurrences(of: "constraints: [trace.rate < 4 or training.update_every > 1]", with: ""))
        let output = folder.path("out")
        let outcome = try Sweeping.run([grid, "-o", output])
        #expect(outcome.status == 75, "\(outcome.errors)")
        #expect(outcome.errors.contains("4 points failed") && outcome.errors.contains("device_memory=1GiB"))
        #expect(outcome.output.contains("merged 4 of 8 points (4 failed)"), "\(outcome.output)")
        let listed = try Sweeping.run([grid, "-o", output, "--list"]).output.split(separator: "\n")
        let failed = listed.filter { $0.contains("\tfailed\t") }
        #expect(failed.count == 4)
        let id = try #require(failed.first?.split(separator: "\t").first)
        let log = try String(contentsOfFile: "\(output)/points/\(id).log", encoding: .utf8)
        #expect(log.contains("memory"))
        // Alone, it ends with its own code.
        #expect(try Sweeping.run([grid, "-o", output, "--point", String(id)]).status == 75)
        #expect(try Sweeping.run([grid, "-o", output, "--point", "0123456789ab"]).status == 65)
    }

    /// Lines of `--list` have their cells with them, which spares working out the rest of the grid: here that would fail.
    @Test func linesOfTheListSpareTheGrid() throws {
        let folder = try Folder()
        let traces = [folder.path("a"), folder.path("b")]
        for (seed, path) in traces.enumerated() {
            let options = ["--requests", "3", "--content", "counts", "--seed", "\(seed)", "-o", path]
            #expect(try Program.run(["trace", "generate"] + options).status == 0)
        }
        let grid = try folder.file(
            "grid.yaml",
            """
            scenario: {model: llama-3-8b, backend: a100-80g}
            trace: \(traces[0])
            axes: {trace: [\(traces.joined(separator: ", "))], training.update_every: [1, 2]}
            arms: [reuse]
            """)
        let output = folder.path("out")
        let lines = try Sweeping.run([grid, "-o", output, "--list"]).output.split(separator: "\n").map(String.init)
        #expect(lines.count == 4 && lines[1].hasSuffix("training_update_every=2\t1"))
        try FileManager.default.removeItem(atPath: traces[1])
        let file = try folder.file("points", lines[1] + "\n")
        for arguments in [["--point", lines[0]], ["--points-file", file]] {
            let outcome = try Sweeping.run([grid, "-o", output] + arguments)
            #expect(outcome.status == 0 && outcome.output.hasPrefix("whole\t"), "\(outcome.errors)")
        }
        let id = try #require(lines[0].split(separator: "\t").first.map(String.init))
        #expect(try Sweeping.run([grid, "-o", output, "--point", id]).status == 74)
    }

    /// The way to start workers by hand that docs/sweeps.md and the help show, with the tools that every system has.
    @Test func othersCanStartWorkers() throws {
        let folder = try Folder()
        let grid = try folder.file("grid.yaml", Sweeping.grid)
        let output = folder.path("out")
        func shell(_ command: String) throws -> Int32 {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/bin/sh")
            process.arguments = [
                "-c", command.replacingOccurrences(of: "SWEEP", with: "\(Program.path) sweep \(grid) -o \(output)"),
            ]
            process.standardOutput = FileHandle.nullDevice
            try process.run()
            process.waitUntilExit()
            return process.terminationStatus
        }
        #expect(try shell("SWEEP --list > \(output).txt") == 0)
        #expect(try shell("head -3 \(output).txt | xargs -d '\\n' -P2 -n1 SWEEP --point") == 0)
        #expect(Sweeping.records(output).count == 3)
        #expect(
            try shell(
                "SWEEP --points-file \(output).txt --chunk 0/2 && tail -n +4 \(output).txt | SWEEP --points-file -")
                == 0)
        #expect(Sweeping.records(output).count == Sweeping.points)
        #expect(try shell("SWEEP --merge") == 0)
    }

    @Test func tracesAreThoseOfTheGenerator() throws {
        let folder = try Folder()
        let settings = [
            ("requests", "30"), ("rate", "7"), ("target_p", "0.85"), ("turns", "2"), ("arrivals", "gamma"),
            ("cv", "1.5"),
            ("feedback_rate", "0.5"), ("feedback_delay", "0.25"), ("scale", "0.4"), ("max_context", "2000"),
            ("prefix_tokens", "40"), ("prefix_groups", "3"), ("think_time", "1.5"), ("content", "counts"),
        ]
        let text = """
            scenario: {model: llama-3-8b, backend: a100-80g}
            trace: {generate: {\(settings.map { "\($0.0): \($0.1)" }.joined(separator: ", "))}}
            axes: {seeds: [9]}
            arms: [reuse]
            """
        let grid = try folder.file("grid.yaml", text)
        let outcome = try Sweeping.run([grid, "-o", folder.path("out"), "--quiet"])
        #expect(outcome.status == 0, "\(outcome.errors)")
        let options = settings.flatMap { ["--" + $0.0.replacingOccurrences(of: "_", with: "-"), $0.1] }
        let generated = try Program.run(["trace", "generate", "-o", folder.path("t"), "--seed", "9"] + options)
        #expect(generated.status == 0, "\(generated.errors)")
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path("out/traces")).filter {
            $0.hasSuffix(".jsonl")
        }
        #expect(names.count == 1)
        #expect(
            FileManager.default.contentsEqual(atPath: folder.path("out/traces/\(names[0])"), andPath: folder.path("t")))
    }

    @Test func measuredPointsKeepToThemselves() throws {
        let folder = try Folder()
        let text = """
            scenario: {model: nano, training.audit_every: 0}
            trace: {generate: {requests: 6, scale: 0.1, max_context: 120, vocabulary: 512, rate: 50}}
            axes: {training.update_every: [1, 2]}
            arms: [recompute, reuse]
            """
        let grid = try folder.file("grid.yaml", text)
        let refused = try Sweeping.run([grid, "-o", folder.path("out"), "--jobs", "2"])
        #expect(refused.status == 64 && refused.errors.contains("--allow-sharing"), "\(refused.errors)")
        #expect(folder.names == ["grid.yaml"])
        let alone = try Sweeping.run([grid, "-o", folder.path("out"), "--quiet"])
        #expect(alone.status == 0, "\(alone.errors)")
        let merged = try HDF5File(reading: folder.path("out/merged.h5"))
        #expect(try merged.numbers("/paired/training_speedup", as: Double.self).allSatisfy(\.isFinite))
    }

    @Test func theExampleOfTheDocumentationRuns() throws {
        let folder = try Folder()
        for (command, name) in [("sweep", "sweep"), ("search", "search")] {
            let path = Repository.root + "/experiments/\(name).yaml"
            let outcome = try Program.run([command, path, "-o", folder.path(name), "--quiet"])
            #expect(outcome.status == 0, "\(outcome.errors)")
        }
        let documentation = try String(contentsOfFile: Repository.root + "/docs/sweeps.md", encoding: .utf8)
        let example = try String(contentsOfFile: Repository.root + "/experiments/sweep.yaml", encoding: .utf8)
        let body = example.split(separator: "\n").filter { !$0.hasPrefix("#") }.joined(separator: "\n")
        #expect(documentation.contains(body), "docs/sweeps.md shows another example than experiments/sweep.yaml")
    }
}
