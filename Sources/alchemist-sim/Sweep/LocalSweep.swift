import AlchemistSim
import Foundation
import Results
import Simulator

/// A sweep on this machine: workers side by side, then the merge.
struct LocalSweep {
    private let session: SweepSession
    private let jobs: Int
    private let threads: Int?

    init(_ session: SweepSession, jobs: Int, threads: Int?) {
        self.session = session
        self.jobs = jobs
        self.threads = threads
    }

    func run(_ points: [SweepPoint]) throws {
        try session.folder.make()
        let lock = try session.lock(.alone)
        session.folder.removeRemains()
        try PointsFile.write(points, to: session.folder.pointsFile)
        let state = try session.state(of: points)
        try session.describe(state)
        let failures = try runRemaining(state, lock)
        try session.merge(points)
        guard let worst = failures.max(by: { $0.code < $1.code }) else { return }
        throw Failure(
            "\(failures.count) \(failures.count == 1 ? "point" : "points") failed; the first is \(failures[0].point.id), \(failures[0].message); "
                + "\(session.folder.path)/points/ID.log says why for each",
            ExitStatus(rawValue: worst.code) ?? .software)
    }

    private struct FailedPoint {
        let point: SweepPoint
        let code: Int32
        let message: String
    }

    private func runRemaining(_ state: SweepState, _ lock: FolderLock) throws -> [FailedPoint] {
        let remaining = state.remaining
        guard !remaining.isEmpty else { return [] }
        let pool = WorkerPool(
            workerCommand, jobs: min(jobs, remaining.count), points: remaining, in: session.folder,
            seconds: { point in
                guard case .whole(let seconds)? = try? session.state(ofOne: point) else { return nil }
                return seconds
            })
        let line = SweepProgress(total: state.points.count, whole: state.whole, isShown: !session.quiet)
        var failures: [FailedPoint] = []
        var isGone = false
        let isComplete = try pool.run(
            { event in
                switch event {
                case .whole: line.count()
                case .failed(let point, let code, let message):
                    failures.append(FailedPoint(point: point, code: code, message: message))
                    line.fail("point \(point.id) (\(point.name)): \(message)")
                case .idle: line.show()
                }
            },
            shouldStop: {
                if !isGone, !lock.isThere { isGone = true }
                return isGone || Interrupt.isRequested
            })
        line.clear()
        if isComplete { return failures }
        if isGone {
            throw Failure(
                "\(session.folder.path): the folder is gone, or another was put in its place; nothing more was run",
                .inputOutput)
        }
        if let failure = failures.first(where: { $0.code == ExitStatus.inputOutput.rawValue }) ?? failures.last,
            !Interrupt.isRequested
        {
            throw Failure(
                "\(failure.message); the sweep was ended there, points that are whole stay so, and the same command goes on",
                ExitStatus(rawValue: failure.code) ?? .software)
        }
        throw Failure(
            "interrupted; \(line.whole) of \(state.points.count) points are whole, and the same command goes on",
            .interrupted)
    }

    /// The same program, even if another was built in its place meanwhile.
    private var workerCommand: [String] {
        var command =
            ["/proc/\(getpid())/exe"] + session.options.arguments(in: session.folder.path)
            + ["--points-file", "-", "--parent", "\(getpid())", "--quiet"]
        if session.trusted == nil { command.append("--any-build") }
        if let threads = Self.threads(threads, of: session.experiment, jobs: jobs) {
            command += ["--threads", "\(threads)"]
        }
        return command
    }

    /// Threads that each worker's points are told to use; nil leaves them to the scenario.
    static func threads(_ given: Int?, of experiment: SweepExperiment, jobs: Int) -> Int? {
        let share = max(1, ProcessInfo.processInfo.activeProcessorCount / jobs)
        return given ?? (experiment.isMeasured && experiment.threads == nil ? share : nil)
    }
}

/// One line on standard error: how many points are whole, how fast they come, when the last will. Silent, but for points
/// that fail, unless standard error is a terminal.
final class SweepProgress {
    private(set) var whole: Int
    private let total: Int
    private let isShown: Bool
    private let start = Date()
    private var done = 0
    private var failed = 0
    private var lastShown = Date.distantPast

    init(total: Int, whole: Int, isShown: Bool) {
        self.total = total
        self.whole = whole
        self.isShown = isShown && Terminal.errorIsTerminal
    }

    func count() {
        whole += 1
        done += 1
        show()
    }

    func fail(_ message: String) {
        failed += 1
        done += 1
        clear()
        Terminal.warn("alchemist-sim: \(message)\n")
        show()
    }

    func show() {
        let now = Date()
        guard isShown, now.timeIntervalSince(lastShown) >= 0.1 else { return }
        lastShown = now
        let elapsed = now.timeIntervalSince(start)
        let rate = elapsed > 0 ? Double(done) / elapsed : 0
        let left = rate > 0 ? Double(total - whole - failed) / rate : 0
        let failures = failed > 0 ? ", \(failed) failed" : ""
        let eta = rate > 0 ? ", \(rate.formatted(decimals: 1))/s, \(SweepEstimate.time(left)) left" : ""
        Terminal.warn("\r\u{1B}[K\(whole)/\(total) points\(failures)\(eta)")
    }

    func clear() {
        if isShown { Terminal.warn("\r\u{1B}[K") }
    }
}
