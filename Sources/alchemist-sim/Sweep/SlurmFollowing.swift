import AlchemistSim
import Foundation

/// Waits for the jobs of a submission, merges, and ends as a sweep on this machine does.
struct SlurmFollowing {
    /// How long Slurm may give no answer.
    private static let patience = 600.0

    private let session: SweepSession
    private let folder: SweepFolder

    init(_ session: SweepSession, _ folder: SweepFolder) {
        self.session = session
        self.folder = folder
    }

    func follow(_ submission: SlurmSubmission, _ points: [SweepPoint]) throws {
        try wait(for: submission, points)
        // Also when the job that should have merged was cancelled, or died. Otherwise it finds the same once more.
        try session.mergeLocked(points)
        try conclude(submission, points)
    }

    private func wait(for submission: SlurmSubmission, _ points: [SweepPoint]) throws {
        let clock = SweepSession.clock
        var lastAnswer = 0.0
        var shown = ""
        let line = SweepProgress(
            total: points.count, whole: try session.state(of: points).whole, isShown: !session.quiet)
        defer { line.clear() }
        while true {
            if let states = try submission.states() {
                lastAnswer = clock()
                if states.isEmpty { return }
                line.note = states.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key.lowercased())" }
                    .joined(separator: ", ")
                line.set(whole: try session.state(of: points).whole)
                if line.note != shown, !line.isShown, !session.quiet { Terminal.warn("\(line.text)\n") }
                shown = line.note
            } else if clock() - lastAnswer > Self.patience {
                throw Failure(
                    "Slurm has not answered for \(Int(Self.patience)) s; the jobs may still go on", .inputOutput)
            }
            // Rarer as it lasts: all who wait ask the same controller.
            let next = clock() + min(30, max(1, clock() / 10))
            while clock() < next {
                if Interrupt.isRequested {
                    throw Failure(
                        "interrupted; jobs \(submission.words) go on without this (scancel ends them, --slurm --wait "
                            + "follows them again)", .interrupted)
                }
                Thread.sleep(forTimeInterval: 0.1)
            }
        }
    }

    /// What points left in their logs decides, as the answers of workers on this machine do.
    private func conclude(_ submission: SlurmSubmission, _ points: [SweepPoint]) throws {
        let state = try session.state(of: points)
        var failures = FailedPoints()
        var missing = 0
        for (point, stage) in zip(points, state.stages) {
            switch stage {
            case .whole: continue
            case .failed:
                let failure = session.failure(of: point)
                failures.add(point, code: failure.code, message: failure.message)
            case .missing, .outdated, .measuredOtherwise, .damaged: missing += 1
            }
        }
        if missing > 0 {
            let logs = "the logs of the tasks in \(submission.place) say why"
            let failed = failures.all.isEmpty ? "" : ", and \(failures.all.count) failed"
            let code = max(ExitStatus.inputOutput.rawValue, failures.all.map(\.code).max() ?? 0)
            throw Failure(
                "\(missing) of \(points.count) points were not run to their end\(failed); \(logs), and the same command "
                    + "goes on", ExitStatus(rawValue: code) ?? .inputOutput)
        }
        try failures.conclude(in: session.folder)
    }
}
