import AlchemistSim
import Foundation
import Simulator

/// What the rest of a sweep would take, and what that is known from.
struct SweepEstimate {
    private static let mostTimed = 3
    /// Seconds after which a point that is timed is cut off, and its rest extrapolated.
    private static let limit = 10.0

    private let session: SweepSession
    private let points: [SweepPoint]
    private let jobs: Int

    init(_ session: SweepSession, _ points: [SweepPoint], jobs: Int) {
        self.session = session
        self.points = points
        self.jobs = jobs
    }

    func show() throws {
        let state = try session.state(of: points)
        let remaining = state.remaining
        var text =
            "\(points.count) points of \(session.experiment.cells) cells: \(state.whole) whole, \(state.outdated) outdated, "
            + "\(state.failed) failed before, \(remaining.count) to run\n"
        if !remaining.isEmpty {
            let (seconds, basis) = try basis(state.times, remaining)
            let whole = seconds * Double(remaining.count)
            text +=
                "about \(Self.time(whole / Double(min(jobs, remaining.count)))) with \(jobs) jobs, \(Self.time(whole)) of "
                + "work: \(Self.time(seconds)) a point, \(basis)\n"
        }
        try Terminal.print(text)
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
        let runner = session.runner(in: scratch, threads: nil)
        let count = min(Self.mostTimed, remaining.count)
        var seconds: [Double] = []
        var isCut = false
        for index in 0..<count {
            let point = remaining[count > 1 ? index * (remaining.count - 1) / (count - 1) : 0]
            let timed = try runner.time(point) { Interrupt.isRequested || $0 > Self.limit }
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
        return (
            seconds.reduce(0, +) / Double(seconds.count),
            "timed on \(count) of them without writing results" + (isCut ? ", extrapolated from their beginnings" : "")
        )
    }

    private static func time(_ seconds: Double) -> String {
        switch seconds {
        case ..<1: "\((seconds * 1000).formatted(decimals: 0)) ms"
        case ..<120: "\(seconds.formatted(decimals: 1)) s"
        case ..<7200: "\((seconds / 60).formatted(decimals: 1)) min"
        case ..<Double.infinity: "\((seconds / 3600).formatted(decimals: 1)) h"
        default: "an unknown time"
        }
    }
}
