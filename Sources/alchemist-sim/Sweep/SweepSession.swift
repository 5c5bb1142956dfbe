import AlchemistSim
import Foundation
import Results

/// An experiment, the folder it fills, and the program that fills it.
struct SweepSession {
    let options: SweepOptions
    let experiment: SweepExperiment
    let folder: SweepFolder
    let resolver: PointResolver
    let program: PointRecord.Program
    /// The program whose points count; nil for any.
    let trusted: PointRecord.Program?
    let quiet: Bool
    /// What measured points must have been run under to count, as far as it is known here.
    var conditions = MeasuredConditions()

    /// Seconds that workers of a sweep that was killed have for their end.
    static let patience = 10.0

    init(_ options: SweepOptions, anyBuild: Bool = false, quiet: Bool) throws {
        self.options = options
        self.quiet = quiet
        experiment = try options.read()
        folder = SweepFolder(options.output ?? "results/\(experiment.name)")
        resolver = PointResolver(experiment)
        program = try PointRunner.program()
        trusted = anyBuild ? nil : program
    }

    static var clock: () -> Double {
        let start = ContinuousClock.now
        return { (ContinuousClock.now - start) / .seconds(1) }
    }

    /// Who is at work, for others who come to the same folder.
    static var holder: String {
        "process \(getpid()) on \(ProcessInfo.processInfo.hostName), since \(Date().ISO8601Format())"
    }

    /// Takes the folder. Alone in it, this waits for workers of a sweep that was killed.
    ///
    /// - Parameter patience: seconds to wait for others that are there.
    func lock(_ mode: FolderLock.Mode, patience: Double = 0) throws -> FolderLock {
        let waiting = { (holder: String) in
            Terminal.warn("alchemist-sim: \(folder.path): waiting for \(holder)\n")
        }
        let lock = try FolderLock(folder, mode, holder: Self.holder, patience: patience, waiting: waiting)
        if lock.isUnsupported {
            Terminal.warn(
                "alchemist-sim: \(folder.path): this file system can not lock; let one sweep at a time work in it\n")
        }
        if mode == .alone {
            try FolderLock.awaitWorkers(of: folder, patience: Self.patience, waiting: waiting)
        }
        return lock
    }

    func runner(in folder: SweepFolder, threads: Int?) -> PointRunner {
        var setting = PointRunner.Setting(
            commandLine: "alchemist-sim " + options.arguments(in: folder.path).joined(separator: " "),
            created: Date().ISO8601Format(), program: program, threads: threads, clock: Self.clock)
        setting.isSharing = conditions.isSharing ?? false
        setting.holder = Self.holder
        setting.waiting = Self.warnOfMeasuring
        setting.exitCode = { Failure($0).code.rawValue }
        return PointRunner(resolver, in: folder, setting)
    }

    /// Says for whom measured points wait.
    static func warnOfMeasuring(_ holder: String) {
        Terminal.warn(
            "alchemist-sim: waiting for \(holder), which measures on this machine (with --allow-sharing a sweep does not wait)\n"
        )
    }

    func state(of points: [SweepPoint]) throws -> SweepState {
        try SweepState(
            of: points, in: folder, keepsFiles: experiment.keepsFiles, program: trusted, conditions: conditions)
    }

    /// What became of a single point.
    func state(ofOne point: SweepPoint) throws -> SweepState.Stage {
        try SweepState.stage(
            of: point, in: folder, keepsFiles: experiment.keepsFiles, program: trusted, conditions: conditions)
    }

    func list(_ points: [SweepPoint]) throws {
        let state = try state(of: points)
        var text = ""
        for (point, stage) in zip(state.points, state.stages) {
            let word =
                switch stage {
                case .missing: "missing"
                case .whole: "whole"
                case .outdated, .measuredOtherwise: "outdated"
                case .failed: "failed"
                }
            text += "\(point.id)\t\(word)\t\(point.name)\n"
        }
        try Terminal.print(text)
    }

    /// Merges while nobody else is at work in the folder.
    func mergeAlone(_ points: [SweepPoint]) throws {
        try folder.make()
        // The last workers of a cluster may be about to end.
        let lock = try lock(.alone, patience: Self.patience)
        defer { withExtendedLifetime(lock) {} }
        try merge(points)
    }

    /// Merges what is whole, and says what is not.
    func merge(_ points: [SweepPoint]) throws {
        // What is not known of the conditions, most points decide.
        let conditions = experiment.isMeasured ? try state(of: points).conditions : conditions
        let (sweep, digest) = try SweepMerge.merge(
            points, of: experiment, in: folder, program: trusted, conditions: conditions)
        var rest: [String] = []
        for status in [PointStatus.missing, .failed, .outdated] where sweep.count(of: status) > 0 {
            rest.append("\(sweep.count(of: status)) \(status)")
        }
        let lacking = rest.isEmpty ? "" : " (\(rest.joined(separator: ", ")))"
        try Terminal.print(
            "merged \(sweep.count(of: .whole)) of \(points.count) points\(lacking) into \(folder.merged), digest "
                + "\(digest.prefix(16))\n")
    }

    /// What an earlier sweep left in the folder, in words; what does not count is named with the reason.
    func describe(_ state: SweepState) throws {
        guard !quiet else { return }
        var parts = ["\(state.whole) whole"]
        if state.failed > 0 { parts.append("\(state.failed) failed before") }
        Terminal.warn(
            "\(folder.path): \(state.points.count) points, \(parts.joined(separator: ", ")), \(state.remaining.count) to run\n"
        )
        for other in state.otherPrograms {
            Terminal.warn(
                "  \(other.points) of them were run by another build, \(other.program); this is \(program.name), so they "
                    + "are run again (--any-build counts them)\n")
        }
        for other in state.otherConditions {
            Terminal.warn(
                "  \(other.points) of them were measured otherwise (\(other.difference)), so they are run again\n")
        }
        let strange = try StrangePoints(in: folder, besides: state.points, resolver)
        guard strange.count > 0 else { return }
        Terminal.warn(
            "  \(strange.count) points in the folder are none of this experiment as it is now; they are left alone\n")
        for change in strange.changes.prefix(10) { Terminal.warn("    \(change.points): \(change.text)\n") }
    }
}
