internal import CBuildInfo
public import Engine
internal import MeasuredBackend
public import Results
public import Simulator

/// One run: a scenario's arms over one trace.
public struct Experiment {
    /// What executes the plans.
    enum Execution {
        /// The engine on this machine.
        case measured
        /// Hardware that a profile describes.
        case modelled(Hardware)
        /// Durations that an earlier run left; plans that it lacks are an error, or priced.
        case replayed(Recording, pricesMissing: Bool)
    }

    /// Plans that are to be found stand in it once they are.
    public internal(set) var scenario: Scenario
    public let trace: Trace
    var arms: [Arm]
    let model: ScenarioModel
    let execution: Execution
    /// What measured runs estimate and plan by; measured briefly when there is none.
    private var profile: HardwareProfile?

    /// Resolves the arms and checks that each fits its memory, before any work is done.
    ///
    /// - Parameters:
    ///   - model: the one that the scenario names.
    ///   - recording: durations to replay, instead of the scenario's backend.
    ///   - pricesMissing: whether plans that the recording lacks are priced rather than an error.
    public init(
        scenario: Scenario, model: ScenarioModel, trace: Trace, replaying recording: Recording? = nil,
        pricesMissing: Bool = false
    ) throws(ExperimentError) {
        self.model = model
        self.trace = trace
        if let recording {
            execution = .replayed(recording, pricesMissing: pricesMissing)
        } else {
            execution = try Self.execution(by: scenario)
        }
        let hardware = Self.modelledHardware(of: execution)
        let adopted = try model.adopted(by: scenario)
        self.scenario = hardware.map(adopted.adopting) ?? adopted
        if let hardware { try Self.check(hardware, of: scenario, for: model.config) }
        let threads = Self.threads(of: scenario, execution)
        var arms: [Arm] = []
        for arm in self.scenario.arms {
            var configuration: ArmConfiguration
            do { configuration = try self.scenario.configuration(of: arm) } catch { throw .scenario(error) }
            try Self.check(configuration, of: arm, against: trace)
            configuration.adapt(to: trace)
            try Self.check(configuration.recording.plan, of: arm, for: model.config)
            let sizes = ArmDemand(model.config, configuration, on: hardware, threads: threads)
            let requirement = MemoryRequirement(configuration: configuration, trace: trace, demand: sizes)
            do {
                try requirement.check(configuration.device)
            } catch {
                throw .arm(arm.name, error)
            }
            arms.append(Arm(name: arm.name, configuration: configuration))
        }
        self.arms = arms
    }

    /// Devices that share a model share its heads evenly; heads of K and V may be kept more than once.
    private static func check(
        _ hardware: Hardware, of scenario: Scenario, for config: ModelConfig
    ) throws(ExperimentError) {
        guard case .accelerator(_, let setting) = hardware else { return }
        let devices = setting.tensorParallel
        let sharesKV = max(config.kvHeads, devices).isMultiple(of: min(config.kvHeads, devices))
        guard !config.heads.isMultiple(of: devices) || !sharesKV else { return }
        throw .scenario(
            ScenarioError(
                origin: .arm(scenario.arms.first?.name ?? ""), field: "hardware.tensor_parallel",
                problem: "found `\(devices)`, expected a number of devices that shares the \(config.heads) heads of "
                    + "\(config.name), \(config.kvHeads) of them with K and V, evenly"))
    }

    /// Every feedback says what the objective needs.
    private static func check(
        _ configuration: ArmConfiguration, of arm: ArmSpecification, against trace: Trace
    ) throws(ExperimentError) {
        guard let request = configuration.firstWithoutLesson(in: trace),
            case .given(let feedback) = request.feedback
        else { return }
        throw .scenario(
            ScenarioError(
                origin: .arm(arm.name), field: "training.objective",
                problem: "found `\(configuration.training.objective.rawValue)`, expected trace or sft: request "
                    + "\(request.id.safeExcerpt) of \(trace.source) has feedback of kind \(feedback.kind.rawValue)"
                    + (feedback.kind == .sft ? " without an edited answer" : "")))
    }

    /// A list of plans has one for each of the model's layers.
    private static func check(
        _ plan: LayerPlans, of arm: ArmSpecification, for config: ModelConfig
    ) throws(ExperimentError) {
        let count = plan.given.count
        guard count > 1, count != config.layers else { return }
        throw .scenario(
            ScenarioError(
                origin: .arm(arm.name), field: "recording.plan",
                problem: "found \(count) plans, expected one, or one for each of the \(config.layers) layers"))
    }

    private static func execution(by scenario: Scenario) throws(ExperimentError) -> Execution {
        if scenario.backend == Scenario.measuredBackend { return .measured }
        do throws(ProfileError) {
            let hardware = try Hardware(named: scenario.backend, scenario.hardware)
            return .modelled(hardware)
        } catch {
            throw scenario.mistake(ofBackend: error).map { .scenario($0) } ?? .profile(error)
        }
    }

    /// Threads of the engine that runs, or ran, or is stood for: its scratch is part of the books.
    private static func threads(of scenario: Scenario, _ execution: Execution) -> Int {
        switch execution {
        case .measured: scenario.threads > 0 ? scenario.threads : ThreadPool.processorCount
        case .modelled(let hardware):
            scenario.threads > 0 ? scenario.threads : hardware.machine?.origin.threads ?? 1
        case .replayed(let recording, _): recording.threads
        }
    }

    /// The hardware that stands for this machine, if any does.
    var modelledHardware: Hardware? { Self.modelledHardware(of: execution) }

    private static func modelledHardware(of execution: Execution) -> Hardware? {
        switch execution {
        case .measured: nil
        case .modelled(let hardware): hardware
        case .replayed(let recording, _): recording.hardware
        }
    }

    /// Whether work is really done, by kernels that are worth a warning when they are slow.
    public var runsEngine: Bool { if case .measured = execution { true } else { false } }

    var threads: Int { Self.threads(of: scenario, execution) }

    /// The same with measured runs estimating and planning by a profile of this machine, instead of one that is measured
    /// briefly before they begin.
    ///
    /// - Throws: when nothing is measured, or the profile is of another processor, of other kernels or of another number of
    ///   threads.
    public func estimating(by profile: HardwareProfile) throws(ExperimentError) -> Experiment {
        guard runsEngine else {
            throw .foreignProfile(
                "it is for runs that are measured, and here work is replayed or priced: leave it out, or set `backend` to "
                    + Scenario.measuredBackend)
        }
        let origin = profile.origin
        guard origin.threads == threads, origin.kernel == BLAS.kernelName, origin.cpu == Machine.processor else {
            throw .foreignProfile(
                "it is of \(origin.cpu.safeExcerpt), \(origin.threads) threads and kernels \(origin.kernel.safeExcerpt), "
                    + "expected \(Machine.processor), \(threads) and \(BLAS.kernelName), as this run has")
        }
        var experiment = self
        experiment.profile = profile
        return experiment
    }

    /// Runs every arm, and all of them as often as the scenario repeats them: arm after arm, round after round, so that
    /// a drift of the machine's speed falls on all arms alike. Every second round goes in the opposite order.
    ///
    /// - Returns: everything that was finished, and what ended the run early if something did.
    /// - Parameters:
    ///   - progress: told what is running and how far it is.
    ///   - shouldStop: asked often; once true, the run ends and is marked interrupted.
    public func run(
        commandLine: String, created: String, progress: @escaping (RunProgress) -> Void = { _ in },
        shouldStop: @escaping () -> Bool = { false }
    ) throws -> (result: RunResult, failure: (any Error)?) {
        let watcher = RunWatcher(requests: trace.requests.count, progress: progress, shouldStop: shouldStop)
        var experiment = self
        var outcome: RunOutcome
        var paired: [ArmResult] = []
        var provenance = provenance(commandLine: commandLine, created: created)
        switch execution {
        case .measured:
            let pool = ThreadPool(width: threads)
            watcher.tell(.loading, finished: 0)
            let loaded = try model.load(pool: pool)
            provenance.checkpoint = loaded.checkpoint
            provenance.adapter = loaded.adapter
            watcher.tell(.calibrating, finished: 0)
            let origin = HardwareProfile.Origin(
                cpu: Machine.processor, kernel: BLAS.kernelName, threads: threads, date: created,
                model: model.config.name)
            let engine = EngineContext(loaded.start, pool: pool)
            let source = MeasuredSource(
                engine, trace: trace, seed: scenario.base.seed, shift: scenario.contentShift,
                profiles: MeasuredProfiles(engine, origin: origin, given: profile))
            experiment = try planned(on: source)
            outcome = experiment.runArms(source, watcher)
            if outcome.failure == nil, !outcome.interrupted {
                // What was measured is kept even if it can not be paired.
                do { paired = try experiment.pair(outcome, watcher) } catch { outcome.failure = error }
            }
        case .modelled(let hardware):
            let source = ModelledSource(hardware: hardware, model: model.config, threads: threads)
            experiment = try planned(on: source)
            outcome = experiment.runArms(source, watcher)
        case .replayed(let recording, let pricesMissing):
            let source = ReplaySource(recording: recording, pricesMissing: pricesMissing, model: model.config)
            experiment = try planned(on: source)
            outcome = experiment.runArms(source, watcher)
        }
        var result = RunResult(
            provenance: provenance, scenario: experiment.scenario.yaml, trace: trace,
            arms: zip(experiment.arms, outcome.logs).enumerated().map { index, arm in
                ArmResult(
                    name: arm.0.name, repeats: arm.1, devices: arm.0.devices,
                    profile: outcome.profileOfArm[index])
            }, comparisons: comparisons, profiles: outcome.profiles.map(\.yaml), paired: paired,
            status: outcome.interrupted ? .interrupted : nil)
        result.window = scenario.window
        return (result, outcome.failure)
    }

    private func provenance(commandLine: String, created: String) -> Provenance {
        let (kernel, choice) =
            switch execution {
            case .measured: (BLAS.kernelName, BLAS.choice)
            case .modelled(let hardware): (hardware.machine?.origin.kernel ?? "none", "")
            case .replayed(let recording, _):
                (recording.provenance.blasKernel, recording.provenance.blasKernelChoice)
            }
        return Provenance(
            toolVersion: Build.version, gitCommit: Build.commit, commandLine: commandLine, seed: scenario.base.seed,
            buildCPU: Build.features, runCPU: Machine.processor, blasKernel: kernel, blasKernelChoice: choice,
            threads: threads, created: created)
    }

    /// Every arm once more, over one common table of all that the live runs measured, so that they differ by their
    /// decisions and not by the machine's mood while each ran.
    private func pair(_ outcome: RunOutcome, _ watcher: RunWatcher) throws -> [ArmResult] {
        guard !comparisons.isEmpty else { return [] }
        var profiles: [String: Hardware] = [:]
        for (arm, profile) in zip(arms, outcome.profileOfArm) {
            if let profile { profiles[arm.name] = outcome.profiles[profile] }
        }
        let costs = CommonCosts(
            of: outcome.logs.flatMap(\.self), profiles: profiles, model: model.config, threads: threads)
        return try arms.map { arm in
            watcher.tell(.pairing(arm: arm.name), finished: 0)
            return ArmResult(
                name: arm.name, repeats: [try run(arm, round: 0, costs, stage: .pairing(arm: arm.name), watcher)],
                devices: arm.devices)
        }
    }

    private func runArms(_ source: some BackendSource, _ watcher: RunWatcher) -> RunOutcome {
        var outcome = RunOutcome(arms: arms.count)
        for round in 0..<scenario.repeats {
            let order = round.isMultiple(of: 2) ? Array(arms.indices) : arms.indices.reversed()
            for index in order {
                if watcher.shouldStop() {
                    outcome.interrupted = true
                    return outcome
                }
                // What is whole is kept even if another arm fails.
                do {
                    outcome.note(try source.hardware(for: arms[index]), ofArm: index)
                    let stage = RunProgress.Stage.running(
                        arm: arms[index].name, round: round, rounds: scenario.repeats)
                    let log = try run(arms[index], round: round, source, stage: stage, watcher)
                    outcome.logs[index].append(log)
                    if log.status == .interrupted {
                        outcome.interrupted = true
                        return outcome
                    }
                } catch {
                    outcome.failure = error
                    outcome.interrupted = true
                    return outcome
                }
            }
        }
        return outcome
    }

    private func run<Source: BackendSource>(
        _ arm: Arm, round: Int, _ source: Source, stage: RunProgress.Stage, _ watcher: RunWatcher
    ) throws -> ArmLog {
        let backend = try source.backend(for: arm, round: round)
        var simulation: Simulation<Source.Backend>
        do {
            simulation = try Simulation(configuration: arm.configuration, trace: trace, backend: backend)
        } catch {
            throw ExperimentError.arm(arm.name, error)
        }
        return try simulation.run(
            arm: arm.name, progress: { finished, _ in watcher.tell(stage, finished: finished) },
            shouldStop: watcher.shouldStop)
    }

    /// Every arm that trains without reuse is a baseline of every arm that reuses, and of those that share prompts where
    /// it does not; the one that trains nothing is the
    /// latency reference.
    private var comparisons: [ComparedArms] {
        let training = arms.filter(\.configuration.training.enabled)
        let reference = arms.first { !$0.configuration.training.enabled }
        func sharesPrompts(_ arm: Arm) -> Bool { arm.configuration.training.sharedPrompts }
        return training.filter { !$0.configuration.training.reuse }.flatMap { baseline in
            training.filter { candidate in
                candidate.configuration.training.reuse || sharesPrompts(candidate) && !sharesPrompts(baseline)
            }.map { candidate in
                ComparedArms(baseline: baseline.name, candidate: candidate.name, reference: reference?.name)
            }
        }
    }
}

/// Why a run can not be made.
public enum ExperimentError: Error, CustomStringConvertible {
    case unknownModel(String)
    case checkpoint(CheckpointError)
    case scenario(ScenarioError)
    case arm(String, SimulationError)
    case profile(ProfileError)
    /// A profile that this run can not estimate by, and why.
    case foreignProfile(String)
    case pricing(String, PricingError)
    case brokenLaw(BrokenLaw)

    public var description: String {
        switch self {
        case .unknownModel(let name):
            "there is no model `\(name.safeExcerpt)`, expected \(Presets.expected(for: name))"
        case .checkpoint(let error): error.description
        case .scenario(let error): error.description
        case .arm(let name, let error): "arm \(name): \(error)"
        case .profile(let error): error.description
        case .foreignProfile(let problem): "the profile that --profile names can not be used: \(problem)"
        case .pricing(let name, let error): "arm \(name): \(error)"
        case .brokenLaw(let broken): broken.description
        }
    }
}
