import AlchemistSim
import Foundation
import Results
import Testing

/// Sweeps from outside: what is run, what is kept, and what is not run again.
@Suite(.serialized) struct SweepCommandTests {
    private static let grid = """
        scenario: {model: llama-3-8b, backend: a100-80g, training.staleness: any}
        trace: {generate: {requests: 8, content: counts, feedback_rate: 1}}
        axes:
          trace.rate: [1, 4]
          training.update_every: [1, 2, 4]
          seeds: 2
        constraints: [trace.rate < 4 or training.update_every > 1]
        arms: [recompute, reuse]

        """
    private static let points = 10

    private static func run(_ arguments: [String], meanwhile: (pid_t) -> Void = { _ in }) throws -> Program.Outcome {
        try Program.run(["sweep"] + arguments, meanwhile: meanwhile)
    }

    private static func merged(_ folder: String) -> Data? {
        FileManager.default.contents(atPath: folder + "/merged.h5")
    }

    /// Names and dates of the records of whole points.
    private static func records(_ folder: String) -> [String: Date] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder + "/points")) ?? []
        return Dictionary(
            uniqueKeysWithValues: names.filter { $0.hasSuffix(".point") }.map { name in
                let attributes = try? FileManager.default.attributesOfItem(atPath: folder + "/points/" + name)
                return (name, attributes?[.modificationDate] as? Date ?? .distantPast)
            })
    }

    /// Whether a process of ours is over, which nobody has waited for yet.
    private static func hasEnded(_ process: pid_t) -> Bool {
        var information = siginfo_t()
        return waitid(P_PID, id_t(process), &information, WEXITED | WNOHANG | WNOWAIT) != 0
            || information.si_signo == SIGCHLD
    }

    @Test func jobsAndWorkersFindTheSame() throws {
        let folder = try Folder()
        let grid = try folder.file("grid.yaml", Self.grid)
        let (one, two, apart) = (folder.path("one"), folder.path("two"), folder.path("apart"))
        for (output, jobs) in [(one, "1"), (two, "2")] {
            let outcome = try Self.run([grid, "-o", output, "--jobs", jobs, "--quiet"])
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.output.contains("merged \(Self.points) of \(Self.points) points"))
            #expect(outcome.errors.isEmpty)
        }
        // As another scheduler would: chunks of a list, then the merge.
        let list = try Self.run([grid, "-o", apart, "--list"]).output
        #expect(list.split(separator: "\n").count == Self.points && list.contains("\tmissing\ttrace_rate=1 "))
        let file = try folder.file("ids", list)
        for chunk in ["0/2", "1/2"] {
            let outcome = try Self.run([grid, "-o", apart, "--points-file", file, "--chunk", chunk])
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.output.split(separator: "\n").count == Self.points / 2)
        }
        #expect(try Self.run([grid, "-o", apart, "--merge"]).status == 0)
        #expect(Self.merged(one) != nil)
        #expect(Self.merged(one) == Self.merged(two) && Self.merged(one) == Self.merged(apart))
        let merged = try HDF5File(reading: one + "/merged.h5")
        let status: [Int64] = try merged.numbers("/point_status")
        #expect(status.count == 12 && status.count { $0 == 1 } == Self.points)
        // A point's file is a run's file.
        let id = try #require(list.split(separator: "\t").first)
        let results = try ResultsFile(reading: "\(one)/points/\(id).h5")
        #expect(try results.arms == ["recompute", "reuse"])
        let first: [Double] = try merged.numbers("/ttft_p50")
        #expect(try results.values(at: "/arms/recompute/summary/ttft_p50") == .float64([first[0]]))
    }

    @Test func wholePointsAreNotRunAgainAndOthersAre() throws {
        let folder = try Folder()
        let grid = try folder.file("grid.yaml", Self.grid)
        let output = folder.path("out")
        #expect(try Self.run([grid, "-o", output, "--quiet"]).status == 0)
        let before = Self.records(output)
        let reference = Self.merged(output)
        let victims = before.keys.sorted().prefix(3)
        for name in victims { try FileManager.default.removeItem(atPath: output + "/points/" + name) }
        // A results file without its record, and a record without its results file, are not whole either.
        let fourth = try #require(before.keys.sorted().dropFirst(3).first)
        try FileManager.default.removeItem(atPath: output + "/points/" + fourth.dropLast(5) + "h5")
        let again = try Self.run([grid, "-o", output])
        #expect(again.status == 0, "\(again.errors)")
        #expect(again.errors.contains("\(Self.points) points, \(Self.points - 4) whole, 4 to run"), "\(again.errors)")
        let after = Self.records(output)
        #expect(before.filter { after[$0.key] == $0.value }.count == Self.points - 4)
        #expect(after.count == Self.points && Self.merged(output) == reference)
        // A change of the scenario is told, with what changed; the points of before are left alone.
        let changed = try Self.run([grid, "-o", output, "--set", "training.learning_rate=0.5"])
        #expect(changed.status == 0)
        #expect(changed.errors.contains("\(Self.points) points in the folder are none of this experiment"))
        #expect(changed.errors.contains("\(Self.points): training.learning_rate: was"), "\(changed.errors)")
        // And so is another build, here one that left its name in a record.
        let name = try #require(after.keys.min())
        let path = output + "/points/" + name
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("program\t") })
        try text.replacingOccurrences(of: line, with: "program\t00\told build").write(
            toFile: path, atomically: true, encoding: .utf8)
        let listed = try Self.run([grid, "-o", output, "--list"])
        #expect(listed.output.contains("\(name.dropLast(6))\toutdated\t"))
        let rerun = try Self.run([grid, "-o", output])
        #expect(rerun.errors.contains("1 of them were run by another build, old build"), "\(rerun.errors)")
        #expect(Self.merged(output) == reference)
    }

    @Test func aPointThatFailsDoesNotStopTheOthers() throws {
        let folder = try Folder()
        let grid = try folder.file(
            "grid.yaml",
            Self.grid.replacingOccurrences(of: "training.update_every: [1, 2, 4]", with: "device.memory: [80GiB, 1GiB]")
                .replacingOccurrences(of: "constraints: [trace.rate < 4 or training.update_every > 1]", with: ""))
        let output = folder.path("out")
        let outcome = try Self.run([grid, "-o", output])
        #expect(outcome.status == 75, "\(outcome.errors)")
        #expect(outcome.errors.contains("4 points failed") && outcome.errors.contains("device_memory=1GiB"))
        #expect(outcome.output.contains("merged 4 of 8 points (4 failed)"), "\(outcome.output)")
        let listed = try Self.run([grid, "-o", output, "--list"]).output.split(separator: "\n")
        let failed = listed.filter { $0.contains("\tfailed\t") }
        #expect(failed.count == 4)
        let id = try #require(failed.first?.split(separator: "\t").first)
        let log = try String(contentsOfFile: "\(output)/points/\(id).log", encoding: .utf8)
        #expect(log.contains("memory"))
        // Alone, it ends with its own code.
        #expect(try Self.run([grid, "-o", output, "--point", String(id)]).status == 75)
        #expect(try Self.run([grid, "-o", output, "--point", "0123456789ab"]).status == 65)
    }

    @Test func twoSweepsDoNotShareAFolder() throws {
        let folder = try Folder()
        let grid = try folder.file("grid.yaml", Self.grid)
        let output = folder.path("out")
        var second: Program.Outcome?
        var holder: pid_t = 0
        // Workers, that read points as they come, hold the folder while they wait.
        let pipe = Pipe()
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Program.path)
        process.arguments = ["sweep", grid, "-o", output, "--points-file", "-"]
        process.standardInput = pipe
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        holder = process.processIdentifier
        for _ in 0..<200 where FileManager.default.contents(atPath: output + "/.lock")?.isEmpty ?? true {
            Thread.sleep(forTimeInterval: 0.05)
        }
        second = try Self.run([grid, "-o", output])
        try pipe.fileHandleForWriting.close()
        process.waitUntilExit()
        #expect(second?.status == 74)
        #expect(
            second?.errors.contains(
                "another sweep is at work in this folder: workers, the last of them process \(holder)") == true,
            "\(second?.errors ?? "")")
        #expect(try Self.run([grid, "-o", output, "--quiet"]).status == 0)
    }

    /// The long form, with fifty kills, is `make test-kills`.
    @Test func killedSweepsAreResumed() throws {
        let folder = try Folder()
        let grid = try folder.file("grid.yaml", Self.grid)
        let (undisturbed, output) = (folder.path("undisturbed"), folder.path("out"))
        #expect(try Self.run([grid, "-o", undisturbed, "--quiet"]).status == 0)
        var before: [String: Date] = [:]
        for points in [2, 4, 7] {
            let outcome = try Self.run([grid, "-o", output, "--jobs", "2", "--quiet"]) { process in
                while Self.records(output).count < points, !Self.hasEnded(process) { usleep(2000) }
                kill(process, SIGKILL)
            }
            #expect(outcome.status == 137 || outcome.status == 0, "\(outcome.errors)")
            let now = Self.records(output)
            #expect(before.allSatisfy { now[$0.key] == $0.value }, "whole points were run again")
            before = now
        }
        // Workers of the last one that was killed may be at their last point.
        usleep(300_000)
        before = Self.records(output)
        let last = try Self.run([grid, "-o", output, "--quiet"])
        #expect(last.status == 0, "\(last.errors)")
        let after = Self.records(output)
        #expect(before.allSatisfy { after[$0.key] == $0.value } && after.count == Self.points)
        #expect(Self.merged(output) == Self.merged(undisturbed))
    }

    @Test func aDryRunWritesNothingAndSaysWhatItRestsOn() throws {
        let folder = try Folder()
        let grid = try folder.file("grid.yaml", Self.grid)
        let output = folder.path("out")
        let first = try Self.run([grid, "-o", output, "--dry-run"])
        #expect(first.status == 0, "\(first.errors)")
        #expect(
            first.output.contains("\(Self.points) points of 12 cells: 0 whole")
                && first.output.contains("timed on 3 of them"))
        #expect(!FileManager.default.fileExists(atPath: output))
        let id = try #require(try Self.run([grid, "-o", output, "--list"]).output.split(separator: "\t").first)
        #expect(try Self.run([grid, "-o", output, "--point", String(id)]).status == 0)
        #expect(try Self.run([grid, "-o", output, "--dry-run"]).output.contains("the mean of 1 earlier points"))
    }

    /// Points that do not fit their memory do not keep others from being timed.
    @Test func aDryRunTakesOtherSamples() throws {
        let folder = try Folder()
        let text = Self.grid.replacingOccurrences(
            of: "constraints: [trace.rate < 4 or training.update_every > 1]", with: "")
        for (memory, basis) in [
            (
                "[1GiB, 80GiB]",
                "timed on 3 of them without writing results; 2 of 5 that were tried failed: arm recompute"
            ),
            ("[1GiB, 2GiB]", "about an unknown time with 1 job, "),
        ] {
            let grid = try folder.file(
                "grid.yaml",
                text.replacingOccurrences(of: "training.update_every: [1, 2, 4]", with: "device.memory: \(memory)"))
            let outcome = try Self.run([grid, "-o", folder.path("out"), "--dry-run", "--jobs", "1"])
            #expect(outcome.status == 0 && outcome.output.contains(basis), "\(outcome.output) \(outcome.errors)")
        }
    }

    /// A record that a crash or a failing disk left in pieces costs its own point, and no more.
    @Test func damagedRecordsAreRunAgain() throws {
        let folder = try Folder()
        let grid = try folder.file("grid.yaml", Self.grid)
        let output = folder.path("out")
        #expect(try Self.run([grid, "-o", output, "--quiet"]).status == 0)
        let reference = Self.merged(output)
        let names = Self.records(output).keys.sorted()
        func path(_ index: Int) -> String { output + "/points/" + names[index] }
        let whole = try Data(contentsOf: URL(fileURLWithPath: path(1)))
        try Data().write(to: URL(fileURLWithPath: path(0)))
        // Its head is there, its end is not.
        try whole.prefix(whole.count - 100).write(to: URL(fileURLWithPath: path(1)))
        let text = try String(contentsOfFile: path(2), encoding: .utf8)
        try text.replacingOccurrences(of: "alchemist-sim point 1\n", with: "alchemist-sim point 9\n").write(
            toFile: path(2), atomically: true, encoding: .utf8)
        let problems = ["it is empty", "it is cut off after \(whole.count - 100) bytes", "it is of version 9"]
        let listed = try Self.run([grid, "-o", output, "--list"])
        #expect(listed.status == 0 && listed.output.components(separatedBy: "\tdamaged\t").count == 4)
        let merged = try Self.run([grid, "-o", output, "--merge"])
        #expect(
            merged.status == 0
                && merged.output.contains("merged \(Self.points - 3) of \(Self.points) points (3 missing)"))
        for (index, problem) in problems.enumerated() {
            #expect(merged.errors.contains("\(names[index]): this record of a point can not be read: \(problem)"))
        }
        let again = try Self.run([grid, "-o", output])
        #expect(again.status == 0 && again.errors.contains("\(Self.points - 3) whole, 3 to run"), "\(again.errors)")
        for problem in problems { #expect(again.errors.contains(problem) && again.errors.contains("is run again")) }
        #expect(Self.merged(output) == reference)
    }

    /// Listing, merging and resuming agree on what is whole.
    @Test func whatIsWholeIsSoEverywhere() throws {
        let folder = try Folder()
        let grid = try folder.file("grid.yaml", Self.grid)
        let output = folder.path("out")
        #expect(try Self.run([grid, "-o", output, "--quiet"]).status == 0)
        let ids = Self.records(output).keys.sorted().map { $0.dropLast(6) }
        try FileManager.default.removeItem(atPath: "\(output)/points/\(ids[0]).h5")
        // It was run again since, for whatever reason, and failed.
        try "no luck\n".write(toFile: "\(output)/points/\(ids[1]).log", atomically: true, encoding: .utf8)
        let listed = try Self.run([grid, "-o", output, "--list"]).output
        #expect(listed.contains("\(ids[0])\tmissing\t") && listed.contains("\(ids[1])\tfailed\t"))
        let merged = try Self.run([grid, "-o", output, "--merge"]).output
        #expect(
            merged.contains("merged \(Self.points - 2) of \(Self.points) points (1 missing, 1 failed)"), "\(merged)")
        let again = try Self.run([grid, "-o", output])
        #expect(again.errors.contains("\(Self.points - 2) whole, 1 failed before, 2 to run"), "\(again.errors)")
        #expect(again.output.contains("merged \(Self.points) of \(Self.points) points into"))
    }

    @Test(
        "options that would be ignored are refused",
        arguments: [
            (["--points-per-task", "2"], "--points-per-task: expected only with --slurm"),
            (["--partition", "short"], "--partition: expected only with --slurm"),
            (["--wait"], "--wait: expected only with --slurm"), (["--time", "5"], "--time: expected only"),
            (["--memory", "4G"], "--memory: expected only"), (["--template", "x"], "--template: expected only"),
            (["--processors", "2"], "--processors: expected only"),
            (["--list", "--processors", "2"], "--processors: --list makes no use of it"),
            (["--slurm", "--jobs", "2"], "--jobs: --slurm makes no use of it"),
            (["--merge", "--jobs", "2"], "--jobs: --merge makes no use of it"),
            (["--list", "--jobs", "2"], "--jobs: --list makes no use of it"),
            (["--slurm", "--processors", "0"], "--processors 0: expected at least 1"),
            (["--chunk", "0/2"], "--chunk: expected only with --points-file"),
            (["--list", "--print-template"], "--list and --print-template exclude each other"),
            (["--set", "trace.rate=9"], "--set: field `trace.rate`: the axis trace_rate"),
        ])
    func optionsWithoutEffect(options: [String], message: String) throws {
        let folder = try Folder()
        let grid = try folder.file("grid.yaml", Self.grid)
        let outcome = try Self.run([grid, "-o", folder.path("out")] + options)
        #expect(outcome.status == 64 && outcome.errors.contains(message), "\(outcome.errors)")
        #expect(folder.names == ["grid.yaml"])
    }

    @Test func theTemplateIsPrintedWithoutAnExperiment() throws {
        let folder = try Folder()
        let alone = try Self.run(["--print-template"])
        #expect(alone.status == 0 && alone.output.hasPrefix("#!/bin/bash\n#SBATCH --job-name={{name}}"))
        // Nothing of an experiment is looked at.
        let broken = try folder.file("broken.yaml", "axes: {")
        #expect(try Self.run([broken, "--slurm", "--print-template"]).output == alone.output)
        let missing = try Self.run(["--list"])
        #expect(missing.status == 64 && missing.errors.contains("Missing expected argument '<experiment>'"))
    }

    @Test func foldersThatAreNone() throws {
        let folder = try Folder()
        let grid = try folder.file("grid.yaml", Self.grid)
        let file = try Self.run([grid, "-o", grid])
        #expect(file.status == 74 && file.errors.contains("grid.yaml: cannot make this folder: Not a directory"))
        let empty = try Self.run([grid, "-o", folder.path("none"), "--merge"])
        #expect(empty.status == 65 && empty.errors.contains("none of the \(Self.points) points is whole"))
        #expect(folder.names == ["grid.yaml"])
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
        let lines = try Self.run([grid, "-o", output, "--list"]).output.split(separator: "\n").map(String.init)
        #expect(lines.count == 4 && lines[1].hasSuffix("training_update_every=2\t1"))
        try FileManager.default.removeItem(atPath: traces[1])
        let file = try folder.file("points", lines[1] + "\n")
        for arguments in [["--point", lines[0]], ["--points-file", file]] {
            let outcome = try Self.run([grid, "-o", output] + arguments)
            #expect(outcome.status == 0 && outcome.output.hasPrefix("whole\t"), "\(outcome.errors)")
        }
        let id = try #require(lines[0].split(separator: "\t").first.map(String.init))
        #expect(try Self.run([grid, "-o", output, "--point", id]).status == 74)
    }

    /// The way to start workers by hand that docs/sweeps.md and the help show, with the tools that every system has.
    @Test func othersCanStartWorkers() throws {
        let folder = try Folder()
        let grid = try folder.file("grid.yaml", Self.grid)
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
        #expect(Self.records(output).count == 3)
        #expect(
            try shell(
                "SWEEP --points-file \(output).txt --chunk 0/2 && tail -n +4 \(output).txt | SWEEP --points-file -")
                == 0)
        #expect(Self.records(output).count == Self.points)
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
        let outcome = try Self.run([grid, "-o", folder.path("out"), "--quiet"])
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

    @Test func measuredPointsKeepToThemselves() throws {
        let folder = try Folder()
        let text = """
            scenario: {model: nano, training.audit_every: 0}
            trace: {generate: {requests: 6, scale: 0.1, max_context: 120, vocabulary: 512, rate: 50}}
            axes: {training.update_every: [1, 2]}
            arms: [recompute, reuse]
            """
        let grid = try folder.file("grid.yaml", text)
        let refused = try Self.run([grid, "-o", folder.path("out"), "--jobs", "2"])
        #expect(refused.status == 64 && refused.errors.contains("--allow-sharing"), "\(refused.errors)")
        #expect(folder.names == ["grid.yaml"])
        let alone = try Self.run([grid, "-o", folder.path("out"), "--quiet"])
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
