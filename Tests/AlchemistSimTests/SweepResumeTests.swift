import AlchemistSim
import Foundation
import Results
import Testing

/// Sweeps from outside: what counts as whole, and is not run again.
@Suite(.serialized) struct SweepResumeTests {
    /// Whether a process of ours is over, which nobody has waited for yet.
    private static func hasEnded(_ process: pid_t) -> Bool {
        var information = siginfo_t()
        return waitid(P_PID, id_t(process), &information, WEXITED | WNOHANG | WNOWAIT) != 0
            || information.si_signo == SIGCHLD
    }

    @Test func wholePointsAreNotRunAgainAndOthersAre() throws {
        let folder = try Folder()
        let grid = try folder.file("grid.yaml", Sweeping.grid)
        let output = folder.path("out")
        #expect(try Sweeping.run([grid, "-o", output, "--quiet"]).status == 0)
        let before = Sweeping.records(output)
        let reference = Sweeping.merged(output)
        let victims = before.keys.sorted().prefix(3)
        for name in victims { try FileManager.default.removeItem(atPath: output + "/points/" + name) }
        // A results file without its record, and a record without its results file, are not whole either.
        let fourth = try #require(before.keys.sorted().dropFirst(3).first)
        try FileManager.default.removeItem(atPath: output + "/points/" + fourth.dropLast(5) + "h5")
        let again = try Sweeping.run([grid, "-o", output])
        #expect(again.status == 0, "\(again.errors)")
        #expect(
            again.errors.contains("\(Sweeping.points) points, \(Sweeping.points - 4) whole, 4 to run"),
            "\(again.errors)")
        let after = Sweeping.records(output)
        #expect(before.filter { after[$0.key] == $0.value }.count == Sweeping.points - 4)
        #expect(after.count == Sweeping.points && Sweeping.merged(output) == reference)
        // A change of the scenario is told, with what changed; the points of before are left alone.
        let changed = try Sweeping.run([grid, "-o", output, "--set", "training.learning_rate=0.5"])
        #expect(changed.status == 0)
        #expect(changed.errors.contains("\(Sweeping.points) points in the folder are none of this experiment"))
        #expect(changed.errors.contains("\(Sweeping.points): training.learning_rate: was"), "\(changed.errors)")
        // And so is another build, here one that left its name in a record.
        let name = try #require(after.keys.min())
        let path = output + "/points/" + name
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("program\t") })
        try text.replacingOccurrences(of: line, with: "program\t00\told build").write(
            toFile: path, atomically: true, encoding: .utf8)
        let listed = try Sweeping.run([grid, "-o", output, "--list"])
        #expect(listed.output.contains("\(name.dropLast(6))\toutdated\t"))
        let rerun = try Sweeping.run([grid, "-o", output])
        #expect(rerun.errors.contains("1 of them were run by another build, old build"), "\(rerun.errors)")
        #expect(Sweeping.merged(output) == reference)
    }

    /// The long form, with fifty kills, is `make test-kills`.
    @Test func killedSweepsAreResumed() throws {
        let folder = try Folder()
        let grid = try folder.file("grid.yaml", Sweeping.grid)
        let (undisturbed, output) = (folder.path("undisturbed"), folder.path("out"))
        #expect(try Sweeping.run([grid, "-o", undisturbed, "--quiet"]).status == 0)
        var before: [String: Date] = [:]
        for points in [2, 4, 7] {
            let outcome = try Sweeping.run([grid, "-o", output, "--jobs", "2", "--quiet"]) { process in
                while Sweeping.records(output).count < points, !Self.hasEnded(process) { usleep(2000) }
                kill(process, SIGKILL)
            }
            #expect(outcome.status == 137 || outcome.status == 0, "\(outcome.errors)")
            let now = Sweeping.records(output)
            #expect(before.allSatisfy { now[$0.key] == $0.value }, "whole points were run again")
            before = now
        }
        // Workers of the last one that was killed may be at their last point.
        usleep(300_000)
        before = Sweeping.records(output)
        let last = try Sweeping.run([grid, "-o", output, "--quiet"])
        #expect(last.status == 0, "\(last.errors)")
        let after = Sweeping.records(output)
        #expect(before.allSatisfy { after[$0.key] == $0.value } && after.count == Sweeping.points)
        #expect(Sweeping.merged(output) == Sweeping.merged(undisturbed))
    }

    /// A record that a crash or a failing disk left in pieces costs its own point, and no more.
    @Test func damagedRecordsAreRunAgain() throws {
        let folder = try Folder()
        let grid = try folder.file("grid.yaml", Sweeping.grid)
        let output = folder.path("out")
        #expect(try Sweeping.run([grid, "-o", output, "--quiet"]).status == 0)
        let reference = Sweeping.merged(output)
        let names = Sweeping.records(output).keys.sorted()
        func path(_ index: Int) -> String { output + "/points/" + names[index] }
        let whole = try Data(contentsOf: URL(fileURLWithPath: path(1)))
        try Data().write(to: URL(fileURLWithPath: path(0)))
        // Its head is there, its end is not.
        try whole.prefix(whole.count - 100).write(to: URL(fileURLWithPath: path(1)))
        let text = try String(contentsOfFile: path(2), encoding: .utf8)
        try text.replacingOccurrences(of: "alchemist-sim point 2\n", with: "alchemist-sim point 9\n").write(
            toFile: path(2), atomically: true, encoding: .utf8)
        // And its results file is nothing but zeros.
        let results = String(path(0).dropLast(5) + "h5")
        try Data(count: 4096).write(to: URL(fileURLWithPath: results))
        let problems = ["it is empty", "it is cut off after \(whole.count - 100) bytes", "it is of version 9"]
        let listed = try Sweeping.run([grid, "-o", output, "--list"])
        #expect(listed.status == 0 && listed.output.components(separatedBy: "\tdamaged\t").count == 4)
        let merged = try Sweeping.run([grid, "-o", output, "--merge"])
        #expect(
            merged.status == 0
                && merged.output.contains("merged \(Sweeping.points - 3) of \(Sweeping.points) points (3 missing)"))
        for (index, problem) in problems.enumerated() {
            #expect(merged.errors.contains("\(names[index]): this record of a point can not be read: \(problem)"))
        }
        let again = try Sweeping.run([grid, "-o", output])
        #expect(again.status == 0 && again.errors.contains("\(Sweeping.points - 3) whole, 3 to run"), "\(again.errors)")
        for problem in problems { #expect(again.errors.contains(problem) && again.errors.contains("is run again")) }
        #expect(Sweeping.merged(output) == reference)
    }

    /// A results file that lost its end is none, however whole its record is.
    @Test func resultsThatAreCutOffAreRunAgain() throws {
        let folder = try Folder()
        let grid = try folder.file("grid.yaml", Sweeping.grid)
        let output = folder.path("out")
        #expect(try Sweeping.run([grid, "-o", output, "--quiet"]).status == 0)
        let reference = Sweeping.merged(output)
        let id = try #require(Sweeping.records(output).keys.min()).dropLast(6)
        let path = "\(output)/points/\(id).h5"
        let whole = try Data(contentsOf: URL(fileURLWithPath: path))
        try whole.prefix(whole.count - 1000).write(to: URL(fileURLWithPath: path))
        #expect(try Sweeping.run([grid, "-o", output, "--list"]).output.contains("\(id)\tdamaged\t"))
        let again = try Sweeping.run([grid, "-o", output])
        #expect(again.status == 0 && again.errors.contains("\(Sweeping.points - 1) whole, 1 to run"), "\(again.errors)")
        #expect(
            again.errors.contains("\(id).h5: found \(whole.count - 1000) bytes, expected \(whole.count)"),
            "\(again.errors)")
        #expect(try Data(contentsOf: URL(fileURLWithPath: path)).count == whole.count)
        #expect(Sweeping.merged(output) == reference)
    }

    /// Listing, merging and resuming agree on what is whole.
    @Test func whatIsWholeIsSoEverywhere() throws {
        let folder = try Folder()
        let grid = try folder.file("grid.yaml", Sweeping.grid)
        let output = folder.path("out")
        #expect(try Sweeping.run([grid, "-o", output, "--quiet"]).status == 0)
        let ids = Sweeping.records(output).keys.sorted().map { $0.dropLast(6) }
        try FileManager.default.removeItem(atPath: "\(output)/points/\(ids[0]).h5")
        // It was run again since, for whatever reason, and failed.
        try "no luck\n".write(toFile: "\(output)/points/\(ids[1]).log", atomically: true, encoding: .utf8)
        let listed = try Sweeping.run([grid, "-o", output, "--list"]).output
        #expect(listed.contains("\(ids[0])\tmissing\t") && listed.contains("\(ids[1])\tfailed\t"))
        let merged = try Sweeping.run([grid, "-o", output, "--merge"]).output
        #expect(
            merged.contains("merged \(Sweeping.points - 2) of \(Sweeping.points) points (1 missing, 1 failed)"),
            "\(merged)")
        let again = try Sweeping.run([grid, "-o", output])
        #expect(again.errors.contains("\(Sweeping.points - 2) whole, 1 failed before, 2 to run"), "\(again.errors)")
        #expect(again.output.contains("merged \(Sweeping.points) of \(Sweeping.points) points into"))
    }

    @Test func twoSweepsDoNotShareAFolder() throws {
        let folder = try Folder()
        let grid = try folder.file("grid.yaml", Sweeping.grid)
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
        second = try Sweeping.run([grid, "-o", output])
        try pipe.fileHandleForWriting.close()
        process.waitUntilExit()
        #expect(second?.status == 74)
        #expect(
            second?.errors.contains(
                "another sweep is at work in this folder: workers, the last of them process \(holder)") == true,
            "\(second?.errors ?? "")")
        #expect(try Sweeping.run([grid, "-o", output, "--quiet"]).status == 0)
    }

    /// Of many changes the most frequent are told, and how many others there are.
    @Test func changesAreToldUpToTen() throws {
        let folder = try Folder()
        let grid = try folder.file("grid.yaml", Sweeping.grid)
        let output = folder.path("out")
        #expect(try Sweeping.run([grid, "-o", output, "--quiet"]).status == 0)
        let settings = [
            "training.learning_rate=0.5", "training.lora_rank=4", "training.lora_alpha=8", "training.weight_decay=0.5",
            "training.clip_norm=0.5", "training.warmup_steps=1", "training.schedule_steps=50", "serving.max_batch=4",
            "serving.token_budget=64", "recording.keep_for=20s", "feedback.rate=0.5", "metrics.warmup=0.1",
        ]
        let changed = try Sweeping.run([grid, "-o", output] + settings.flatMap { ["--set", $0] })
        #expect(changed.errors.contains("\n    and 2 other changes\n"), "\(changed.errors)")
    }
}
