internal import Engine
internal import MeasuredBackend
public import Results
public import Simulator

/// Holds the model of a machine against the machine: the same arms over the same requests, measured and modelled.
///
/// Measured durations are told as at the speed that the profile was measured at, because a machine's drift is no error of
/// a model. Measured runs estimate by the first calibration, modelled ones by all of it.
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
        let alone = Arm(name: arm.name, configuration: configuration)
        let log = try run(
            alone, on: modelled(by: profile).backend(for: alone, round: 0), over: saturated, watcher: .silent)
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

    /// What a validation measures, over which runs.
    public struct Plan {
        /// Shares of the capacity, and that in requests per second.
        public var loads: [Double]
        public var capacity: Double
        /// Whether the quanta of each arm's first run are executed again: once for each repeat but the first, and once at
        /// least.
        public var again: Bool
        /// Goes on between the runs; nil where the profile is what is to be validated.
        public var calibration: (any ContinuedCalibration)?

        public init(
            loads: [Double], capacity: Double, again: Bool = false, calibration: (any ContinuedCalibration)? = nil
        ) {
            self.loads = loads
            self.capacity = capacity
            self.again = again
            self.calibration = calibration
        }
    }

    /// Loads as they were measured and modelled, and the profile that modelled them.
    public struct Outcome {
        public let loads: [ValidatedLoad]
        public let profile: HardwareProfile
    }

    /// Runs every arm both ways at each load. A round takes each of them once, after some calibrating, so that a drift of
    /// the machine meets all arms and the calibration alike: medians are held against the medians of one time.
    ///
    /// - Returns: nil when it was stopped: fewer rounds than were asked for would stand as though they were all.
    public func run(
        _ plan: Plan, progress: @escaping (RunProgress) -> Void = { _ in },
        shouldStop: @escaping () -> Bool = { false }
    ) throws -> Outcome? {
        var measurements = plan.loads.map { load in
            let trace = trace(atLoad: load, of: plan.capacity)
            return LoadMeasurements(
                trace: trace,
                source: MeasuredSteadily(engine: engine, trace: trace, seed: scenario.base.seed, profile: profile),
                watcher: RunWatcher(requests: trace.requests.count, progress: progress, shouldStop: shouldStop),
                arms: .init(repeating: .init(), count: experiment.arms.count))
        }
        for round in 0..<max(scenario.repeats, plan.again ? 2 : 1) {
            for load in measurements.indices {
                for place in experiment.arms.indices {
                    // Every second round in the opposite order, so that no arm always follows the same neighbour.
                    let index = round.isMultiple(of: 2) ? place : experiment.arms.count - 1 - place
                    try plan.calibration?.observe()
                    if shouldStop() { return nil }
                    try measure(arm: index, round: round, again: plan.again, &measurements[load])
                    if shouldStop() { return nil }
                }
            }
        }
        let prices = plan.calibration?.profile ?? profile
        let quiet = RunWatcher(requests: 0, progress: { _ in }, shouldStop: shouldStop)
        let loads = try zip(plan.loads, measurements).map { load, measurements in
            ValidatedLoad(
                load: load, trace: measurements.trace,
                arms: try zip(experiment.arms, measurements.arms).map { arm, taken in
                    try validated(arm, taken, of: measurements, by: prices, watcher: quiet)
                })
        }
        return shouldStop() ? nil : Outcome(loads: loads, profile: prices)
    }

    /// What was measured at one load.
    private struct LoadMeasurements {
        let trace: Trace
        let source: MeasuredSteadily
        let watcher: RunWatcher
        var arms: [ArmMeasurements]
    }

    private struct ArmMeasurements {
        var logs: [ArmLog] = []
        /// Of the quanta of the first run.
        var executions: [[SimDuration]] = []
    }

    private func measure(arm index: Int, round: Int, again: Bool, _ taken: inout LoadMeasurements) throws {
        let arm = experiment.arms[index]
        if round < scenario.repeats {
            let backend = taken.source.backend(for: arm, round: round)
            taken.arms[index].logs.append(
                try run(arm, on: backend, over: taken.trace, round: round, watcher: taken.watcher))
        }
        if again, round > 0 {
            let backend = taken.source.backend(for: arm, round: 0)
            taken.arms[index].executions.append(
                try durations(
                    on: backend, of: taken.arms[index].logs[0], arm, over: taken.trace, round: round,
                    watcher: taken.watcher))
        }
    }

    private func validated(
        _ arm: Arm, _ taken: ArmMeasurements, of measurements: LoadMeasurements, by prices: HardwareProfile,
        watcher: RunWatcher
    ) throws -> ValidatedArm {
        let backend = { self.modelled(by: $0).backend(for: arm, round: 0) }
        func run(by prices: HardwareProfile) throws -> ArmLog {
            try self.run(arm, on: backend(prices), over: measurements.trace, watcher: watcher)
        }
        // Runs were estimated by the first calibration. What is to be validated are the prices of all of it.
        let repriced =
            prices == profile
            ? nil
            : try taken.logs.map {
                try durations(on: backend(prices), of: $0, arm, over: measurements.trace, watcher: watcher)
            }
        return ValidatedArm(
            name: arm.name, measured: taken.logs, modelled: try run(by: prices),
            first: prices == profile ? nil : try run(by: profile), prices: repriced, executions: taken.executions,
            trace: measurements.trace)
    }

    /// What the quanta of a run take on a backend, in the same order on the same contents.
    private func durations<Backend: ExecutionBackend>(
        on backend: Backend, of log: ArmLog, _ arm: Arm, over trace: Trace, round: Int = 0, watcher: RunWatcher
    ) throws -> [SimDuration] {
        var table = ReplayTable()
        table.add(log)
        let retold = RetoldBackend(
            backend,
            told: ReplayBackend(
                table: table, choice: .inOrder, hardware: .machine(profile), fallback: nil,
                demand: MeasuredDemand(
                    experiment.model.config, MeasuredOptions(arm.configuration), threads: profile.origin.threads)))
        _ = try run(arm, on: retold, over: trace, round: round, watcher: watcher)
        return retold.taken
    }

    private func modelled(by prices: HardwareProfile) -> ModelledSource {
        ModelledSource(hardware: .machine(prices), model: experiment.model.config, threads: prices.origin.threads)
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

    /// The results of a load as a run, whose arms stand beside themselves modelled. Measured ones have estimated by the first
    /// profile, modelled ones by the second.
    ///
    /// - Parameter prices: the profile that modelled the load.
    public func result(
        of load: ValidatedLoad, by prices: HardwareProfile, commandLine: String, created: String
    ) -> RunResult {
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
                    ArmResult(
                        name: arm.name + "-modelled", repeats: [arm.modelled], profile: profile == prices ? 0 : 1),
                ]
            }, profiles: profile == prices ? [profile.yaml] : [profile.yaml, prices.yaml])
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
