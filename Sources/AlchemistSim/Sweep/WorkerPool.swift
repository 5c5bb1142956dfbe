internal import Foundation

/// Runs points in worker processes side by side. Points go out one by one, so that all workers are busy until the end.
public final class WorkerPool {
    public enum Event {
        case whole(SweepPoint, seconds: Double)
        /// The point failed with a message and an exit code.
        case failed(SweepPoint, code: Int32, message: String)
        /// Nothing happened for a while.
        case idle
    }

    /// Points that a worker has at hand, so that it need not wait for the next.
    private static let ahead = 2
    /// The exit code of failed input or output: other points would meet the same.
    private static let inputOutput: Int32 = 74

    private let command: [String]
    private let folder: SweepFolder
    private let seconds: (SweepPoint) -> Double?
    private let jobs: Int
    private var waiting: [SweepPoint]
    private var workers: [WorkerProcess] = []
    private var started = 0
    private var isStopping = false
    /// Whether what is under way was to end, too.
    private var isInterrupted = false

    /// - Parameters:
    ///   - command: the worker's program and arguments.
    ///   - seconds: what a point took, if it is whole.
    public init(
        _ command: [String], jobs: Int, points: [SweepPoint], in folder: SweepFolder,
        seconds: @escaping (SweepPoint) -> Double?
    ) {
        self.seconds = seconds
        self.command = command
        self.jobs = jobs
        self.folder = folder
        waiting = points.reversed()
    }

    /// Runs all points. Ends early when asked to, or when the disk fails; points that were not begun are left out then.
    ///
    /// - Returns: whether every point was begun.
    public func run(_ event: (Event) -> Void, shouldStop: () -> Bool) throws -> Bool {
        defer { for worker in workers { kill(worker.process, SIGTERM) } }
        while !waiting.isEmpty || !workers.isEmpty {
            if shouldStop(), !isInterrupted { stop(signal: SIGTERM) }
            while !isStopping, workers.count < jobs, !waiting.isEmpty { try start() }
            var polled = workers.map { pollfd(fd: $0.output, events: Int16(POLLIN), revents: 0) }
            guard !polled.isEmpty else { break }
            let ready = poll(&polled, nfds_t(polled.count), 100)
            if ready <= 0 {
                event(.idle)
                continue
            }
            for (worker, entry) in zip(workers, polled) where entry.revents != 0 { handle(worker, event) }
        }
        return waiting.isEmpty && !isStopping
    }

    private func start() throws {
        let errors = folder.path + "/.worker-\(started).log"
        let worker = try WorkerProcess(command, errors: errors)
        started += 1
        workers.append(worker)
        for _ in 0..<Self.ahead { feed(worker) }
    }

    private func feed(_ worker: WorkerProcess) {
        guard !worker.isFinishing else { return }
        // The last points are left for whoever is first done with what it has.
        if !worker.pending.isEmpty, waiting.count < jobs { return }
        if let point = waiting.popLast() {
            worker.give(point)
        } else if worker.pending.isEmpty {
            worker.finish()
        }
    }

    private func handle(_ worker: WorkerProcess, _ event: (Event) -> Void) {
        guard let answers = worker.read() else {
            conclude(worker, event)
            return
        }
        for answer in answers {
            switch answer {
            case .whole(let point, let seconds): event(.whole(point, seconds: seconds))
            case .failed(let point, let code, let message):
                event(.failed(point, code: code, message: message))
                if code == Self.inputOutput { stop(signal: nil) }
            }
            feed(worker)
        }
    }

    /// A worker's output has ended. What it was at has failed, unless it was asked to stop; the rest goes to others.
    private func conclude(_ worker: WorkerProcess, _ event: (Event) -> Void) {
        workers.removeAll { $0 === worker }
        let rest = worker.takeBack()
        let end = worker.end()
        waiting += rest.reversed()
        guard let point = worker.pending.first else { return }
        if isInterrupted { return }
        if end.isInterrupted {
            stop(signal: SIGTERM)
            return
        }
        // It may have been killed between its last act and its word of it.
        if let taken = seconds(point) {
            event(.whole(point, seconds: taken))
            return
        }
        // A worker that could not even begin would not the next time.
        let code = end.code == Self.inputOutput ? end.code : 70
        try? FailureLog.write(end.text, of: point, code: code, to: folder.log(of: point.id))
        event(.failed(point, code: code, message: end.text))
        if end.code != 0 { stop(signal: nil) }
    }

    /// Hands out nothing more; with a signal, what is under way ends, too.
    private func stop(signal: Int32?) {
        isStopping = true
        if signal != nil { isInterrupted = true }
        for worker in workers {
            worker.finish()
            waiting += worker.takeBack().reversed()
            if let signal { kill(worker.process, signal) }
        }
    }

    deinit {
        for index in 0..<started { unlink(folder.path + "/.worker-\(index).log") }
    }
}
