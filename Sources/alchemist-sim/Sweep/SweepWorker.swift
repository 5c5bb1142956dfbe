import AlchemistSim
import Foundation
import Results

/// Runs the points it is told, one after the other, and says on standard output what became of each: `whole`, the id and
/// the seconds it took, or `failed`, the id, an exit code and the reason, between tabs.
struct SweepWorker {
    private let session: SweepSession
    private let options: WorkerOptions
    private let threads: Int?

    init(_ session: SweepSession, _ options: WorkerOptions, threads: Int?, allowsSharing: Bool) {
        var session = session
        session.conditions = .here(threads: threads, isSharing: allowsSharing)
        self.session = session
        self.options = options
        self.threads = threads
    }

    func run() throws {
        let lock = try lock()
        defer { withExtendedLifetime(lock) {} }
        let finder = PointFinder(session.resolver, in: session.folder)
        let runner = session.runner(in: session.folder, threads: threads)
        var failures: [(id: String, failure: Failure)] = []
        let next = try lines()
        while let line = next() {
            if shouldStop() { throw Failure("interrupted", .interrupted) }
            let point = try finder.point(line)
            do {
                let seconds = try known(point) ?? runner.run(point, shouldStop: shouldStop).seconds
                try Terminal.print("whole\t\(point.id)\t\(seconds)\n")
            } catch {
                let failure = Failure(error)
                if failure.code == .interrupted { throw failure }
                failures.append((point.id, failure))
                let message = failure.message.replacingOccurrences(of: "\n", with: " ")
                try Terminal.print("failed\t\(point.id)\t\(failure.code.rawValue)\t\(message)\n")
            }
        }
        guard options.parent == nil,
            let worst = failures.max(by: { $0.failure.code.rawValue < $1.failure.code.rawValue })
        else { return }
        throw Failure(
            "\(failures.count) points failed; point \(worst.id): \(worst.failure.message)", worst.failure.code)
    }

    /// The sweep that this works for holds the folder; its workers are told apart, because they may outlive it. If it is
    /// gone by now, that is noticed before anything is done.
    private func lock() throws -> FolderLock {
        if options.parent != nil { return try FolderLock(workersOf: session.folder, holder: SweepSession.holder) }
        try session.folder.make()
        return try session.lock(.shared)
    }

    /// The seconds that the point took, if it is whole already.
    private func known(_ point: SweepPoint) throws -> Double? {
        guard case .whole(let seconds) = try session.state(ofOne: point) else { return nil }
        return seconds
    }

    /// Asked often: by the user, or because the sweep that this works for is gone.
    private func shouldStop() -> Bool {
        Interrupt.isRequested || options.parent.map { getppid() != $0 } ?? false
    }

    /// The lines that name points, one by one.
    private func lines() throws -> () -> String? {
        guard let file = options.pointsFile else {
            var rest = options.point[...]
            return { rest.popFirst() }
        }
        if file == "-", options.chunk == nil {
            return {
                while let line = readLine() { if !line.isEmpty { return line } }
                return nil
            }
        }
        var all: [String] = []
        if file == "-" {
            while let line = readLine() { if !line.isEmpty { all.append(line) } }
        } else {
            all = try PointsFile.lines(of: file)
        }
        if let chunk = options.chunk { all = try PointsFile.chunk(chunk, of: all) }
        var rest = all[...]
        return { rest.popFirst() }
    }
}
