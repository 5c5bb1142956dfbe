import AlchemistSim
import Foundation
import Testing

/// Who may work beside whom: in a folder, and on a machine.
@Suite(.serialized) struct SweepLockTests {
    private static let modelled = """
        scenario: {model: llama-3-8b, backend: a100-80g}
        trace: {generate: {requests: 60, content: counts, feedback_rate: 1}}
        axes: {seeds: 12}
        arms: [recompute, reuse]
        """

    private static let measured = """
        scenario: {model: nano, training.audit_every: 0}
        trace: {generate: {requests: 12, scale: 0.2, max_context: 240, vocabulary: 512, rate: 50}}
        axes: {training.update_every: [1, 2]}
        arms: [recompute, reuse]
        """

    /// Processes of the program with these words among their arguments.
    private static func workers(_ words: String...) -> [pid_t] {
        ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).compactMap { pid_t($0) }.filter {
            process in
            let line = FileManager.default.contents(atPath: "/proc/\(process)/cmdline") ?? Data()
            let found = line.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
            return words.allSatisfy(found.contains)
        }
    }

    @Test func aSweepWaitsForWorkersOfOneThatWasKilled() throws {
        let folder = try Folder()
        let grid = try folder.file("grid.yaml", Self.modelled)
        let output = folder.path("out")
        let first = try Running(["sweep", grid, "-o", output, "--jobs", "1", "--quiet"], folder)
        var worker: pid_t?
        for _ in 0..<3000 where worker == nil && first.isRunning {
            // It has the lock when it has begun a point.
            let names = (try? FileManager.default.contentsOfDirectory(atPath: output + "/points")) ?? []
            if !names.isEmpty { worker = Self.workers(output, "--parent").first } else { usleep(2000) }
        }
        let stopped = try #require(worker, "\(first.errors)")
        kill(stopped, SIGSTOP)
        kill(first.process, SIGKILL)
        _ = first.end()
        let second = try Running(["sweep", grid, "-o", output, "--jobs", "1"], folder)
        #expect(second.waits { $0.contains("waiting for a worker of an earlier sweep, process \(stopped) on") })
        #expect(second.isRunning)
        kill(stopped, SIGCONT)
        #expect(second.end() == 0, "\(second.errors)")
        #expect(second.output.contains("merged 12 of 12 points"))
    }

    @Test func waitingForWorkersHasAnEnd() throws {
        let folder = try Folder()
        let place = SweepFolder(folder.path("out"))
        try place.make()
        let worker = try FolderLock(workersOf: place, holder: "process 1 on here")
        var told: [String] = []
        do {
            try FolderLock.awaitWorkers(of: place, patience: 0.7) { told.append($0) }
            Issue.record("did not wait")
        } catch {
            #expect("\(error)".contains("process 1 on here"))
        }
        #expect(told == ["a worker of an earlier sweep, process 1 on here"])
        withExtendedLifetime(worker) {}
    }

    @Test func mergingTakesTheFolder() throws {
        let folder = try Folder()
        let grid = try folder.file("grid.yaml", Self.modelled)
        let place = SweepFolder(folder.path("out"))
        let id = try #require(try Program.run(["sweep", grid, "--list"]).output.split(separator: "\t").first)
        #expect(try Program.run(["sweep", grid, "-o", place.path, "--point", String(id)]).status == 0)
        var lock: FolderLock? = try FolderLock(place, .shared, holder: "process 1 on here")
        let merge = try Running(["sweep", grid, "-o", place.path, "--merge"], folder)
        #expect(merge.waits { $0.contains("waiting for workers, the last of them process 1 on here") })
        #expect(!FileManager.default.fileExists(atPath: place.merged))
        withExtendedLifetime(lock) {}
        lock = nil
        #expect(merge.end() == 0, "\(merge.errors)")
        #expect(merge.output.contains("merged 1 of 12 points"))
    }

    /// Before the first point is whole, too, a merge says who is at work.
    @Test func mergingBesideASweepNamesIt() throws {
        let folder = try Folder()
        let grid = try folder.file("grid.yaml", Self.modelled)
        let place = SweepFolder(folder.path("out"))
        try place.make()
        let lock = try FolderLock(place, .alone, holder: "process 1 on here")
        let merge = try Running(["sweep", grid, "-o", place.path, "--merge"], folder)
        #expect(merge.waits { $0.contains("waiting for process 1 on here") }, "\(merge.errors)")
        kill(merge.process, SIGKILL)
        _ = merge.end()
        withExtendedLifetime(lock) {}
    }

    @Test func measuredPointsOfTwoWorkersTakeTurns() throws {
        let folder = try Folder()
        let grid = try folder.file("grid.yaml", Self.measured)
        let list = try Program.run(["sweep", grid, "--list"]).output
        let ids = list.split(separator: "\n").compactMap { $0.split(separator: "\t").first.map(String.init) }
        let (one, two) = (folder.path("one"), folder.path("two"))
        let first = try Running(["sweep", grid, "-o", one, "--point"] + ids, folder)
        // The first is stopped while it measures.
        var isStopped = false
        while !isStopped, first.isRunning {
            let holder = try MachineLock.holder()
            if holder?.contains("process \(first.process) ") == true {
                kill(first.process, SIGSTOP)
                isStopped = try MachineLock.holder() == holder
                if !isStopped { kill(first.process, SIGCONT) }
            } else {
                usleep(5000)
            }
        }
        try #require(isStopped, "\(first.errors)")
        let second = try Running(["sweep", grid, "-o", two, "--point"] + ids, folder)
        #expect(second.waits { $0.contains("waiting for process \(first.process) on") })
        #expect((try FileManager.default.contentsOfDirectory(atPath: two + "/points")).isEmpty)
        // With the user's leave it does not wait.
        let third = try Program.run(["sweep", grid, "-o", folder.path("three"), "--allow-sharing", "--point"] + ids)
        #expect(third.status == 0, "\(third.errors)")
        kill(first.process, SIGCONT)
        #expect(first.end() == 0, "\(first.errors)")
        #expect(second.end() == 0, "\(second.errors)")
        #expect(second.output.split(separator: "\n").count == ids.count)
    }

    @Test func measuredPointsOfOtherConditionsDoNotCount() throws {
        let folder = try Folder()
        let text = Self.measured.replacingOccurrences(of: "requests: 12, scale: 0.2", with: "requests: 3, scale: 0.1")
        let grid = try folder.file("grid.yaml", text.replacingOccurrences(of: "[recompute, reuse]", with: "[reuse]"))
        let output = folder.path("out")
        func sweep(_ arguments: String...) throws -> Program.Outcome {
            try Program.run(["sweep", grid, "-o", output] + arguments)
        }
        #expect(try sweep("--threads", "1").status == 0)
        #expect(try sweep("--threads", "1").errors.contains("2 points, 2 whole, 0 to run"))
        let other = try sweep("--threads", "2", "--dry-run")
        #expect(other.output.contains("0 whole, 2 outdated"), "\(other.output)")
        let threads = try sweep("--threads", "2")
        #expect(threads.errors.contains("2 of them were measured otherwise (was 1 thread, is 2)"), "\(threads.errors)")
        #expect(threads.status == 0 && threads.output.contains("merged 2 of 2 points into"))
        let sharing = try sweep("--threads", "2", "--allow-sharing", "--jobs", "2")
        #expect(sharing.errors.contains("(was alone on the machine, is beside other points)"), "\(sharing.errors)")
        #expect(sharing.status == 0)
        // Of a record from another processor, only a process that measures here knows that it does not count.
        let list = try sweep("--list").output
        let id = try #require(list.split(separator: "\t").first)
        let path = "\(output)/points/\(id).point"
        let record = try String(contentsOfFile: path, encoding: .utf8)
        let line = try #require(record.split(separator: "\n").first { $0.hasPrefix("measured\t2\tsharing\t") })
        try record.replacingOccurrences(of: line, with: "measured\t2\tsharing\tAbacus").write(
            toFile: path, atomically: true, encoding: .utf8)
        let moved = try sweep("--threads", "2", "--allow-sharing", "--dry-run")
        #expect(moved.output.contains("1 whole, 1 outdated"), "\(moved.output)")
        // A merge knows of no processor, but takes points of one only.
        let merged = try sweep("--merge")
        #expect(merged.output.contains("merged 1 of 2 points (1 outdated)"), "\(merged.output)")
    }
}
