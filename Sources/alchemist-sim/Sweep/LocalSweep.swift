import AlchemistSim
import Foundation
import Results
import Simulator

/// A sweep on this machine: workers side by side, then the merge.
struct LocalSweep {
    private let session: SweepSession
    private let jobs: Int
    private let threads: Int?
    private let allowsSharing: Bool

    init(_ session: SweepSession, jobs: Int, threads: Int?, allowsSharing: Bool) {
        self.threads = threads
        self.allowsSharing = allowsSharing
        var session = session
        let open = Self.threads(threads, of: session.experiment, jobs: jobs)
        session.conditions = .here(threads: open, isSharing: allowsSharing)
        self.session = session
        self.jobs = jobs
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
        try failures.conclude(in: session.folder)
    }

    private func runRemaining(_ state: SweepState, _ lock: FolderLock) throws -> FailedPoints {
        let remaining = state.remaining
        guard !remaining.isEmpty else { return FailedPoints() }
        // Workers wait for their turn, but have nobody to tell.
        if session.experiment.isMeasured, !allowsSharing, let holder = try MachineLock.holder() {
            SweepSession.warnOfMeasuring(holder)
        }
        let pool = WorkerPool(
            workerCommand, jobs: min(jobs, remaining.count), points: remaining, in: session.folder,
            seconds: { point in
                guard case .whole(let seconds)? = try? session.state(ofOne: point) else { return nil }
                return seconds
            })
        let line = SweepProgress(total: state.points.count, whole: state.whole, isShown: !session.quiet)
        var failures = FailedPoints()
        var isGone = false
        let isComplete = try pool.run(
            { event in
                switch event {
                case .whole: line.count()
                case .failed(let point, let code, let message):
                    failures.add(point, code: code, message: message)
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
        if let failure = failures.all.first(where: { $0.code == ExitStatus.inputOutput.rawValue }) ?? failures.all.last,
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
        if allowsSharing { command.append("--allow-sharing") }
        return command
    }

    /// Threads that each worker's points are told to use; nil leaves them to the scenario.
    static func threads(_ given: Int?, of experiment: SweepExperiment, jobs: Int) -> Int? {
        let share = max(1, ProcessInfo.processInfo.activeProcessorCount / jobs)
        return given ?? (experiment.isMeasured && experiment.threads == nil ? share : nil)
    }
}
