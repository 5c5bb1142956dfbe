internal import Engine
internal import Foundation
public import Results
internal import Simulator

/// Runs points of a sweep, one after the other, in this process.
public final class PointRunner {
    /// What runs belong to.
    public struct Setting {
        public var commandLine: String
        public var created: String
        public var program: PointRecord.Program
        /// Threads of a measured point whose scenario leaves them open; nil for all processors.
        public var threads: Int?
        /// Seconds of some clock.
        public var clock: () -> Double
        /// Whether measured points may run beside others on this machine.
        public var isSharing = false
        /// What others are told who wait to measure on this machine.
        public var holder = "process \(getpid())"
        /// Told who measures on this machine while a point waits for it.
        public var waiting: (String) -> Void = { _ in }
        /// The exit code that an error stands for, which is kept in the point's log.
        public var exitCode: (any Error) -> Int32 = { _ in 70 }

        public init(
            commandLine: String, created: String, program: PointRecord.Program, threads: Int?,
            clock: @escaping () -> Double
        ) {
            self.commandLine = commandLine
            self.created = created
            self.program = program
            self.threads = threads
            self.clock = clock
        }
    }

    /// A point was ended before it was whole; nothing of it is kept.
    public struct Interrupted: Error {}

    private let resolver: PointResolver
    private let folder: SweepFolder
    private let setting: Setting
    private var models: [String: ScenarioModel] = [:]
    /// The last trace read: neighbours often have it in common.
    private var lastTrace: (key: String, trace: Trace)?

    private var experiment: SweepExperiment { resolver.experiment }

    public init(_ resolver: PointResolver, in folder: SweepFolder, _ setting: Setting) {
        self.resolver = resolver
        self.folder = folder
        self.setting = setting
    }

    /// This program, as records name it.
    public static func program() throws -> PointRecord.Program {
        .init(sha256: try FileHash.sha256(of: "/proc/self/exe"), name: "\(Build.version) (\(Build.commit))")
    }

    /// Runs a point and keeps what it found.
    ///
    /// - Throws: what stands in its way, after writing it into the point's log; nothing else is left.
    @discardableResult
    public func run(
        _ point: SweepPoint, progress: @escaping (RunProgress) -> Void = { _ in },
        shouldStop: @escaping () -> Bool = { false }
    ) throws -> PointRecord {
        try run(try resolver.resolve(point.cell), progress: progress, shouldStop: shouldStop)
    }

    func run(
        _ resolved: ResolvedPoint, progress: @escaping (RunProgress) -> Void = { _ in },
        shouldStop: @escaping () -> Bool
    ) throws -> PointRecord {
        do {
            let turn = try measuringTurn(resolved, shouldStop)
            defer { withExtendedLifetime(turn) {} }
            let record = try execute(resolved, progress: progress, shouldStop: shouldStop)
            unlink(folder.log(of: resolved.point.id))
            unlink(folder.state(of: resolved.point.id))
            return record
        } catch let error as Interrupted {
            throw error
        } catch {
            var message = "\(error)"
            if case ExperimentError.brokenLaw(let broken) = error {
                message += "; " + broken.save(beside: folder.results(of: resolved.point.id))
            }
            // If the log can not be written either, the error itself goes to whoever asked.
            try? FailureLog(
                message: message, point: resolved.point, run: "\(setting.created) \(setting.commandLine)",
                program: setting.program, code: setting.exitCode(error),
                lacksMemory: Self.isLackOfMemory(error)
            ).write(to: folder.log(of: resolved.point.id))
            throw error
        }
    }

    /// Whether what stands in a point's way is that its simulated memory is too small.
    static func isLackOfMemory(_ error: any Error) -> Bool {
        guard let error = error as? ExperimentError, case .arm(_, let reason) = error else { return false }
        return reason.isLackOfMemory
    }

    private func execute(
        _ resolved: ResolvedPoint, progress: @escaping (RunProgress) -> Void, shouldStop: @escaping () -> Bool
    ) throws -> PointRecord {
        let start = setting.clock()
        let id = resolved.point.id
        try checkFolder()
        resolver.keepHashes()
        let result: RunResult
        let report: RunReport
        var digest: String?
        switch experiment.kept {
        case .full:
            // A folder that can not be written to is known before the work is done.
            let writer = try writer(to: folder.results(of: id))
            result = try self.result(of: resolved, progress: progress, shouldStop: shouldStop)
            report = try RunReport(result)
            digest = try writer.write(result, report: report)
        case .summary:
            result = try self.result(of: resolved, progress: progress, shouldStop: shouldStop)
            report = try RunReport(result)
        }
        var record = PointRecord(
            id: id, program: setting.program, coordinates: resolved.point.coordinates,
            seconds: setting.clock() - start, trace: result.trace.sha256, file: digest == nil ? nil : "\(id).h5",
            digest: digest, figures: PointRecord.Figures.all(of: report), identity: resolved.identity)
        if digest != nil { record.fileBytes = try size(of: folder.results(of: id)) }
        if resolved.point.measuredThreads != nil {
            record.measured = .init(
                threads: result.provenance.threads, isSharing: setting.isSharing, processor: Machine.processorModel)
        }
        try checkFolder()
        try record.write(to: folder.record(of: id))
        return record
    }

    /// Waits until no other point is measured on this machine; nil if that does not matter.
    private func measuringTurn(_ resolved: ResolvedPoint, _ shouldStop: () -> Bool) throws -> MachineLock? {
        guard resolved.point.measuredThreads != nil, !setting.isSharing else { return nil }
        guard
            let turn = try MachineLock.wait(
                holder: setting.holder, shouldStop: shouldStop, waiting: setting.waiting)
        else { throw Interrupted() }
        return turn
    }

    /// What measured points are run under.
    var conditions: MeasuredConditions { .here(threads: setting.threads, isSharing: setting.isSharing) }

    /// What a failing disk left of an earlier results file may be none any more.
    private func writer(to path: String) throws -> ResultsWriter {
        do throws(ResultsError) {
            return try ResultsWriter(creating: path)
        } catch {
            guard case .wouldOverwrite = error, unlink(path) == 0 else { throw error }
            return try ResultsWriter(creating: path)
        }
    }

    private func size(of path: String) throws -> Int {
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw SweepError.system(action: "find what was just written", path: path, code: errno)
        }
        return Int(status.st_size)
    }

    /// Writing would make folders anew that somebody took away, and leave a sweep in pieces.
    private func checkFolder() throws {
        guard access(FolderLock.file(in: folder), F_OK) == 0 else {
            throw SweepError.system(action: "find the sweep's folder any more", path: folder.path, code: errno)
        }
    }

    /// Runs a point and keeps nothing: what it takes, in seconds, and the share of it that was done.
    ///
    /// - Parameter shouldStop: is given the seconds since the point began; other points may have been waited for before.
    public func time(_ point: SweepPoint, shouldStop: @escaping (Double) -> Bool) throws -> (
        seconds: Double, share: Double
    ) {
        let resolved = try resolver.resolve(point.cell)
        let turn = try measuringTurn(resolved, { shouldStop(0) })
        defer { withExtendedLifetime(turn) {} }
        let start = setting.clock()
        var share = 0.0
        do {
            let arms = max(1, resolved.scenario.arms.count)
            var running: String?
            var begun = 0
            _ = try result(
                of: resolved,
                progress: { progress in
                    guard case .running(let arm, _, _) = progress.stage else { return }
                    if arm != running { (running, begun) = (arm, begun + 1) }
                    share =
                        (Double(begun - 1) + Double(progress.finished) / Double(max(1, progress.requests)))
                        / Double(arms)
                }, shouldStop: { [clock = setting.clock] in shouldStop(clock() - start) })
            share = 1
        } catch is Interrupted {}
        return (setting.clock() - start, share)
    }

    private func result(
        of resolved: ResolvedPoint, progress: @escaping (RunProgress) -> Void, shouldStop: @escaping () -> Bool
    ) throws -> RunResult {
        var scenario = resolved.scenario
        if scenario.backend == Scenario.measuredBackend, scenario.threads == 0, let threads = setting.threads {
            scenario.threads = threads
        }
        let model = try model(of: scenario)
        let trace = try trace(of: resolved, for: model)
        let run = try Experiment(scenario: scenario, model: model, trace: trace)
        let (result, failure) = try run.run(
            commandLine: setting.commandLine, created: setting.created, progress: progress, shouldStop: shouldStop)
        if let failure { throw failure }
        if result.status == .interrupted { throw Interrupted() }
        return result
    }

    /// Puts everything in place that a point's run needs, and runs nothing: the model, the trace, and arms that fit.
    ///
    /// - Throws: what stands in its way, except a simulated memory that is too small.
    func prepare(_ resolved: ResolvedPoint) throws {
        let model = try model(of: resolved.scenario)
        let trace = try trace(of: resolved, for: model)
        do throws(ExperimentError) {
            _ = try Experiment(scenario: resolved.scenario, model: model, trace: trace)
        } catch {
            guard Self.isLackOfMemory(error) else { throw error }
        }
    }

    private func model(of scenario: Scenario) throws -> ScenarioModel {
        let key = scenario.model + "\t" + (scenario.adapter ?? "")
        if let known = models[key] { return known }
        let model = try ScenarioModel(of: scenario)
        models[key] = model
        return model
    }

    private func trace(of resolved: ResolvedPoint, for model: ScenarioModel) throws -> Trace {
        let path =
            switch resolved.trace {
            case .file(let path): path
            case .generated(let recipe): try made(recipe)
            }
        let key = "\(path)\t\(model.config)"
        if let lastTrace, lastTrace.key == key { return lastTrace.trace }
        let trace = try TraceFile.read(path, for: model)
        lastTrace = (key, trace)
        return trace
    }

    /// The path of the trace that settings describe; made once, whoever needs it first.
    private func made(_ recipe: TraceSettings) throws -> String {
        let name = FileHash.sha256(
            ofText: setting.program.sha256 + "\n" + (try recipe.identity(resolver.hashes, in: experiment.path))
        )
        .prefix(16)
        let path = "\(folder.traces)/\(name).jsonl"
        if FileManager.default.fileExists(atPath: path) { return path }
        try SweepFolder.makeFolder(folder.traces)
        return try FolderLock.holding("\(folder.traces)/.\(name).lock") {
            if FileManager.default.fileExists(atPath: path) { return path }
            let generated: Trace
            do {
                generated = try TraceGenerator(try recipe.recipe.options()).generate()
            } catch let error as TraceGeneratorError {
                throw recipe.mistake(
                    error.option.replacingOccurrences(of: "-", with: "_"), error.problem, in: experiment.path)
            }
            try TraceWriter.write(generated, to: path)
            return path
        }
    }
}
