internal import Engine
internal import MeasuredBackend
public import Results
public import Simulator

/// Holds the model of a machine against the machine: the same arms over the same requests, measured and modelled.
///
/// Measured durations are told as at the speed that the profile was measured at, because a machine's drift is no error of
/// a model. Both sides estimate by the same profile, so they differ by what quanta take.
public struct Validation {
    private let scenario: Scenario
    private let trace: Trace
    private let profile: HardwareProfile
    private let experiment: Experiment
    private let engine: EngineContext
    private let checkpoint: CheckpointOrigin?
    private let adapter: CheckpointOrigin?

    /// Reads the model's weights, if they come from a checkpoint.
    ///
    /// - Parameter model: the one that the scenario names.
    public init(
        scenario: Scenario, model: ScenarioModel, trace: Trace, profile: HardwareProfile
    ) throws(ExperimentError) {
        self.trace = trace
        self.profile = profile
        experiment = try Experiment(scenario: scenario, model: model, trace: trace).planned { _ in .machine(profile) }
        self.scenario = experiment.scenario
        let pool = ThreadPool(width: profile.origin.threads)
        let loaded: ScenarioModel.Loaded
        do { loaded = try model.load(pool: pool) } catch { throw .checkpoint(error) }
        engine = EngineContext(loaded.start, pool: pool)
        checkpoint = loaded.checkpoint
        adapter = loaded.adapter
    }

    /// Requests per second that the modelled server finishes when they all wait: what loads are shares of.
    public func capacity() throws -> Double {
        guard let arm = experiment.arms.first else { return 1 }
        var saturated = trace
        for index in saturated.requests.indices {
            saturated.requests[index].arrival = .zero
            saturated.requests[index].thinkTime = .zero
        }
        var configuration = arm.configuration
        configuration.training.enabled = false
        configuration.recording.scope = .none
        let log = try run(
            Arm(name: arm.name, configuration: configuration), modelled, over: saturated, watcher: .silent)
        return Double(log.requests.count) / max(log.end.seconds, 1e-9)
    }

    /// The trace with its arrivals stretched so that it offers `load` times `capacity` requests per second.
    public func trace(atLoad load: Double, of capacity: Double) -> Trace {
        var scaled = trace
        let last = trace.requests.map(\.arrival.nanoseconds).max() ?? 0
        let offered = Double(trace.requests.count) / max(Double(last) * 1e-9, 1e-9)
        let factor = offered / (load * capacity)
        for index in scaled.requests.indices {
            let request = scaled.requests[index]
            scaled.requests[index].arrival = SimTime(
                nanoseconds: Int64(Double(request.arrival.nanoseconds) * factor))
            scaled.requests[index].thinkTime = SimDuration(
                nanoseconds: Int64(Double(request.thinkTime.nanoseconds) * factor))
        }
        return scaled
    }

    /// Runs every arm both ways at one load. Repeats are interleaved, so that a drift of the machine meets all arms.
    ///
    /// - Parameter again: whether the quanta of each arm's first run are executed again, too: once for each repeat but the
    ///   first, and once at least.
    public func run(
        atLoad load: Double, of capacity: Double, again: Bool = false,
        progress: @escaping (RunProgress) -> Void = { _ in }, shouldStop: @escaping () -> Bool = { false }
    ) throws -> ValidatedLoad {
        let trace = trace(atLoad: load, of: capacity)
        let watcher = RunWatcher(requests: trace.requests.count, progress: progress, shouldStop: shouldStop)
        let measured = MeasuredSteadily(engine: engine, trace: trace, seed: scenario.base.seed, profile: profile)
        var logs = [[ArmLog]](repeating: [], count: experiment.arms.count)
        var executions = [[[SimDuration]]](repeating: [], count: experiment.arms.count)
        rounds: for round in 0..<max(scenario.repeats, again ? 2 : 1) {
            for (index, arm) in experiment.arms.enumerated() {
                if round < scenario.repeats {
                    // A run that was cut short has other figures than a whole one: it counts for nothing.
                    let log = try run(arm, measured, over: trace, round: round, watcher: watcher)
                    if log.status == .interrupted { break rounds }
                    logs[index].append(log)
                }
                if again, round > 0 {
                    let taken = try durations(of: logs[index][0], arm, measured, over: trace, watcher: watcher)
                    if shouldStop() { break rounds }
                    executions[index].append(taken)
                }
            }
        }
        let arms = try zip(experiment.arms, zip(logs, executions)).compactMap { arm, taken -> ValidatedArm? in
            guard !taken.0.isEmpty else { return nil }
            return ValidatedArm(
                name: arm.name, measured: taken.0, modelled: try run(arm, modelled, over: trace, watcher: .silent),
                executions: taken.1, trace: trace)
        }
        return ValidatedLoad(load: load, trace: trace, arms: arms)
    }

    /// What the quanta of a run take when they are executed again, in the same order on the same contents.
    private func durations(
        of log: ArmLog, _ arm: Arm, _ source: MeasuredSteadily, over trace: Trace, watcher: RunWatcher
    ) throws -> [SimDuration] {
        var table = ReplayTable()
        table.add(log)
        let backend = source.backend(for: arm, round: 0)
        let retold = RetoldBackend(
            backend,
            told: ReplayBackend(
                table: table, choice: .inOrder, hardware: .machine(profile), fallback: nil,
                demand: MeasuredDemand(
                    experiment.model.config, MeasuredOptions(arm.configuration), threads: profile.origin.threads)))
        _ = try run(arm, on: retold, over: trace, watcher: watcher)
        return retold.taken
    }

    private var modelled: ModelledSource {
        ModelledSource(
            hardware: .machine(profile), model: experiment.model.config, threads: profile.origin.threads)
    }

    private func run<Source: BackendSource>(
        _ arm: Arm, _ source: Source, over trace: Trace, round: Int = 0, watcher: RunWatcher
    ) throws -> ArmLog {
        try run(arm, on: try source.backend(for: arm, round: round), over: trace, round: round, watcher: watcher)
    }

    private func run<Backend: ExecutionBackend>(
        _ arm: Arm, on backend: Backend, over trace: Trace, round: Int = 0, watcher: RunWatcher
    ) throws -> ArmLog {
        var simulation: Simulation<Backend>
        do {
            simulation = try Simulation(configuration: arm.configuration, trace: trace, backend: backend)
        } catch {
            throw ExperimentError.arm(arm.name, error)
        }
        let stage = RunProgress.Stage.running(arm: arm.name, round: round, rounds: scenario.repeats)
        return try simulation.run(
            arm: arm.name, progress: { finished, _ in watcher.tell(stage, finished: finished) },
            shouldStop: watcher.shouldStop)
    }

    /// The results of a load as a run, whose arms stand beside themselves modelled.
    public func result(of load: ValidatedLoad, commandLine: String, created: String) -> RunResult {
        var provenance = Provenance(
            toolVersion: Build.version, gitCommit: Build.commit, commandLine: commandLine,
            seed: scenario.base.seed, buildCPU: Build.features, runCPU: Machine.processor,
            blasKernel: BLAS.kernelName, blasKernelChoice: BLAS.choice, threads: profile.origin.threads,
            created: created)
        provenance.checkpoint = checkpoint
        provenance.adapter = adapter
        return RunResult(
            provenance: provenance, scenario: scenario.yaml, trace: load.trace,
            arms: load.arms.flatMap { arm in
                [
                    ArmResult(name: arm.name, repeats: arm.measured, profile: 0),
                    ArmResult(name: arm.name + "-modelled", repeats: [arm.modelled], profile: 0),
                ]
            }, profiles: [profile.yaml])
    }
}

/// The engine on this machine at one speed, estimating by a given profile.
private struct MeasuredSteadily: BackendSource {
    let engine: EngineContext
    let trace: Trace
    let seed: UInt64
    let profile: HardwareProfile

    func hardware(for arm: Arm) -> Hardware { .machine(profile) }

    func backend(for arm: Arm, round: Int) -> MeasuredBackend {
        engine.warmUp(arm.configuration.serving)
        var options = MeasuredOptions(arm.configuration)
        options.steadyProbe = profile.probe
        return MeasuredBackend(
            engine: engine, profile: profile,
            tokens: TraceTokens(trace, vocabulary: engine.config.vocabulary, seed: seed), options: options)
    }
}

extension RunWatcher {
    /// Nobody is told, and nobody ends it.
    fileprivate static var silent: RunWatcher {
        RunWatcher(requests: 0, progress: { _ in }, shouldStop: { false })
    }
}
