import AlchemistSim
import Foundation
import Simulator

/// What the rest of a sweep would take, and what that is known from.
struct SweepEstimate {
    private static let mostTimed = 3
    /// How many are tried for these, as some may fail.
    private static let mostTried = 12
    /// Seconds after which a point that is timed is cut off, and its rest extrapolated.
    private static let limit = 10.0

    private let session: SweepSession
    private let points: [SweepPoint]
    private let layout: Layout
    private let threads: Int?

    /// Where points are run.
    enum Layout {
        /// In so many processes on this machine.
        case jobs(Int)
        /// In tasks of an array, with so many points each if that is said.
        case tasks(pointsEach: Int?)
    }

    /// - Parameter threads: of each measured point, as its worker would have; nil leaves them to the scenario.
    init(_ session: SweepSession, _ points: [SweepPoint], _ layout: Layout, threads: Int?) {
        self.session = session
        self.points = points
        self.layout = layout
        self.threads = threads
    }

    func show() throws {
        let state = try session.state(of: points)
        let remaining = state.remaining
        var text =
            "\(points.count) points of \(session.experiment.cells) cells: \(state.whole) whole, \(state.outdated) outdated, "
            + "\(state.failed) failed before, \(remaining.count) to run\n"
        if !remaining.isEmpty {
            let (seconds, basis) = try basis(state.times, remaining)
            text +=
                "about \(spread(remaining.count, of: seconds)), \(Self.time(seconds * Double(remaining.count))) of work: "
                + "\(Self.time(seconds)) a point, \(basis)\n"
        }
        try Terminal.print(text)
    }

    /// How long points of so many seconds keep whoever runs them.
    private func spread(_ points: Int, of seconds: Double) -> String {
        switch layout {
        case .jobs(let jobs):
            let time = Self.time(seconds * Double(points) / Double(min(jobs, points)))
            return "\(time) with \(jobs) \(jobs == 1 ? "job" : "jobs")"
        case .tasks(let pointsEach):
            let tasks = SlurmArray.tasks(for: points, pointsEach: pointsEach)
            let most = (points + tasks - 1) / tasks
            return
                "\(Self.time(seconds * Double(most))) a task, in \(tasks) \(tasks == 1 ? "task" : "tasks") of at most "
                + "\(most) \(most == 1 ? "point" : "points")"
        }
    }

    private func basis(_ times: [Double], _ remaining: [SweepPoint]) throws -> (Double, String) {
        if !times.isEmpty {
            let mean = times.reduce(0, +) / Double(times.count)
            return (
                mean,
                "the mean of \(times.count) earlier points, from \(Self.time(times.min() ?? 0)) to "
                    + Self.time(times.max() ?? 0)
            )
        }
        let scratch = SweepFolder(NSTemporaryDirectory() + "/alchemist-dry-\(getpid())")
        try scratch.make()
        defer { try? FileManager.default.removeItem(atPath: scratch.path) }
        let runner = session.runner(in: scratch, threads: threads)
        var seconds: [Double] = []
        var failures: [String] = []
        var isCut = false
        for index in Self.samples(of: remaining.count) where seconds.count < Self.mostTimed {
            let timed: (seconds: Double, share: Double)
            do {
                timed = try runner.time(remaining[index]) { Interrupt.isRequested || $0 > Self.limit }
            } catch {
                let failure = Failure(error)
                // Of a disk that fails there is nothing to be learnt from others.
                if failure.code == .inputOutput { throw failure }
                failures.append(failure.message)
                continue
            }
            if Interrupt.isRequested { throw Failure("interrupted", .interrupted) }
            isCut = isCut || timed.share < 1
            guard timed.share > 0 else {
                return (
                    .infinity,
                    "because one was not a thousandth done after \(Self.time(Self.limit)); run a few points first"
                )
            }
            seconds.append(timed.seconds / timed.share)
        }
        let tried = seconds.count + failures.count
        let failed = failures.isEmpty ? "" : "; \(failures.count) of \(tried) that were tried failed: \(failures[0])"
        guard !seconds.isEmpty else { return (.infinity, "because none could be timed" + failed) }
        return (
            seconds.reduce(0, +) / Double(seconds.count),
            "timed on \(seconds.count) of them without writing results"
                + (isCut ? ", extrapolated from their beginnings" : "") + failed
        )
    }

    /// Which points to time: the first, the last and the one between, then others, evenly spread, if these fail.
    private static func samples(of count: Int) -> [Int] {
        var samples: [Int] = []
        for parts in [mostTimed, mostTried] {
            for index in 0..<parts {
                let sample = index * (count - 1) / (parts - 1)
                if samples.count < mostTried, !samples.contains(sample) { samples.append(sample) }
            }
        }
        return samples
    }

    static func time(_ seconds: Double) -> String {
        switch seconds {
        case ..<1: "\((seconds * 1000).formatted(decimals: 0)) ms"
        case ..<120: "\(seconds.formatted(decimals: 1)) s"
        case ..<7200: "\((seconds / 60).formatted(decimals: 1)) min"
        case ..<Double.infinity: "\((seconds / 3600).formatted(decimals: 1)) h"
        default: "an unknown time"
        }
    }
}
