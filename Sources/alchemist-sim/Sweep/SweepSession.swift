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
        resolver = PointResolver(experiment, in: folder, now: { Date().timeIntervalSince1970 })
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
        resolver.keepHashes()
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

    private var inspector: PointInspector {
        PointInspector(folder, keepsFiles: experiment.keepsFiles, program: trusted, conditions: conditions)
    }

    func state(of points: [SweepPoint]) throws -> SweepState { try SweepState(of: points, inspector) }

    /// What became of a single point.
    func state(ofOne point: SweepPoint) throws -> PointStage { try inspector.stage(of: point) }

    /// Why a point failed, and the exit code that it stands for.
    func failure(of point: SweepPoint) -> (message: String, code: Int32) { inspector.failure(of: point) }

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
                case .damaged: "damaged"
                }
            text += PointsFile.listed(point, as: word) + "\n"
        }
        try Terminal.print(text)
    }

    /// Merges what others have run.
    func mergeAlone(_ points: [SweepPoint]) throws {
        // Where nobody ever worked, nothing is left behind; elsewhere somebody may be at work, who is named first.
        if !FolderLock.isKnown(in: folder) { try requireWhole(points) }
        let lock = try lock(.alone, patience: Self.patience)
        defer { withExtendedLifetime(lock) {} }
        try requireWhole(points)
        try merge(points)
    }

    private func requireWhole(_ points: [SweepPoint]) throws {
        guard try state(of: points).whole == 0 else { return }
        throw Failure(
            "\(folder.path): none of the \(points.count) points is whole, so there is nothing to merge; is this the "
                + "folder that they were run in (-o)?", .badData)
    }

    /// Merges while nobody else is at work in the folder. The last workers of a cluster may be about to end.
    func mergeLocked(_ points: [SweepPoint]) throws {
        let lock = try lock(.alone, patience: Self.patience)
        defer { withExtendedLifetime(lock) {} }
        try merge(points)
    }

    /// Merges what is whole, and says what is not.
    func merge(_ points: [SweepPoint]) throws {
        let merged = try SweepMerge(points, of: experiment, in: folder, inspector)
        let (sweep, digest) = (merged.sweep, merged.digest)
        warn(of: merged.damages, "counts as missing")
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
        warn(of: state.damages, "is run again")
        let strange = try StrangePoints(in: folder, besides: state.points, resolver)
        guard strange.count > 0 else { return }
        Terminal.warn(
            "  \(strange.count) points in the folder are none of this experiment as it is now; they are left alone\n")
        let shown = 10
        for change in strange.changes.prefix(shown) { Terminal.warn("    \(change.points): \(change.text)\n") }
        if strange.changes.count > shown {
            Terminal.warn("    and \(strange.changes.count - shown) other changes\n")
        }
        if strange.compared < strange.count {
            Terminal.warn("    (found by comparing \(strange.compared) of the \(strange.count))\n")
        }
    }

    /// Tells of records that are no use; thousands are not told one by one.
    private func warn(of damages: [String], _ consequence: String) {
        let shown = 10
        for reason in damages.prefix(shown) {
            Terminal.warn("alchemist-sim: \(reason); the point \(consequence)\n")
        }
        if damages.count > shown {
            Terminal.warn("alchemist-sim: and \(damages.count - shown) other records, likewise\n")
        }
    }
}
