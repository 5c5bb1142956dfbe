internal import CBuildInfo
public import Engine
internal import MeasuredBackend
public import Results
public import Simulator

/// One run: a scenario's arms over one trace.
public struct Experiment {
    public let scenario: Scenario
    public let trace: Trace
    let arms: [(name: String, configuration: ArmConfiguration)]
    let model: ScenarioModel

    /// Resolves the arms and checks that each fits its memory, before any work is done.
    ///
    /// - Parameter model: the one that the scenario names.
    public init(scenario: Scenario, model: ScenarioModel, trace: Trace) throws(ExperimentError) {
        do throws(ScenarioError) {
            self.scenario = try model.lora.map { lora throws(ScenarioError) in try scenario.adopting(lora) } ?? scenario
        } catch {
            throw .scenario(error)
        }
        self.trace = trace
        self.model = model
        let threads = Self.threads(of: scenario)
        var arms: [(name: String, configuration: ArmConfiguration)] = []
        for arm in self.scenario.arms {
            let configuration: ArmConfiguration
            do { configuration = try self.scenario.configuration(of: arm) } catch { throw .scenario(error) }
            let sizes = MeasuredDemand(model.config, MeasuredOptions(configuration), threads: threads)
            let requirement = MemoryRequirement(configuration: configuration, trace: trace, demand: sizes)
            do {
                try requirement.check(configuration.device)
            } catch {
                throw .arm(arm.name, error)
            }
            arms.append((arm.name, configuration))
        }
        self.arms = arms
    }

    private static func threads(of scenario: Scenario) -> Int {
        scenario.threads > 0 ? scenario.threads : ThreadPool.processorCount
    }

    /// Runs every arm, and all of them as often as the scenario repeats them: arm after arm, round after round, so that
    /// a drift of the machine's speed falls on all arms alike. Every second round goes in the opposite order.
    ///
    /// - Returns: everything that was finished, and what ended the run early if something did.
    /// - Parameters:
    ///   - progress: told what is running and how far it is.
    ///   - shouldStop: asked often; once true, the run ends and is marked interrupted.
    public func run(
        commandLine: String, created: String, progress: (RunProgress) -> Void = { _ in },
        shouldStop: () -> Bool = { false }
    ) throws -> (result: RunResult, failure: (any Error)?) {
        let pool = ThreadPool(width: Self.threads(of: scenario))
        progress(RunProgress(stage: .loading, finished: 0, requests: trace.requests.count))
        let loaded = try model.load(pool: pool)
        progress(RunProgress(stage: .calibrating, finished: 0, requests: trace.requests.count))
        let contexts = EngineContexts(loaded.start, pool: pool)
        var logs = [[ArmLog]](repeating: [], count: arms.count)
        var interrupted = false
        var failure: (any Error)?
        rounds: for round in 0..<scenario.repeats {
            let order = round.isMultiple(of: 2) ? Array(arms.indices) : arms.indices.reversed()
            for index in order {
                if shouldStop() {
                    interrupted = true
                    break rounds
                }
                // What is whole is kept even if another arm fails.
                do {
                    let log = try run(arms[index], round: round, contexts: contexts, progress, shouldStop)
                    logs[index].append(log)
                    if log.status == .interrupted { break rounds }
                } catch {
                    failure = error
                    interrupted = true
                    break rounds
                }
            }
        }
        var provenance = Provenance(
            toolVersion: Build.version, gitCommit: Build.commit, commandLine: commandLine,
            seed: scenario.base.seed, buildCPU: Build.features, runCPU: Machine.processor,
            blasKernel: BLAS.kernelName, blasKernelChoice: BLAS.choice, threads: pool.width, created: created)
        provenance.checkpoint = loaded.checkpoint
        provenance.adapter = loaded.adapter
        let result = RunResult(
            provenance: provenance, scenario: scenario.yaml, trace: trace,
            arms: zip(arms, logs).map { ArmResult(name: $0.name, repeats: $1) }, comparisons: comparisons,
            status: interrupted ? .interrupted : nil)
        return (result, failure)
    }

    private func run(
        _ arm: (name: String, configuration: ArmConfiguration), round: Int, contexts: EngineContexts,
        _ progress: (RunProgress) -> Void, _ shouldStop: () -> Bool
    ) throws -> ArmLog {
        let backend = MeasuredBackend(
            engine: try contexts.context(for: arm.configuration),
            tokens: TraceTokens(trace, vocabulary: model.config.vocabulary, seed: scenario.base.seed),
            options: MeasuredOptions(arm.configuration))
        var simulation: Simulation<MeasuredBackend>
        do {
            simulation = try Simulation(configuration: arm.configuration, trace: trace, backend: backend)
        } catch {
            throw ExperimentError.arm(arm.name, error)
        }
        let stage = RunProgress.Stage.running(arm: arm.name, round: round, rounds: scenario.repeats)
        do {
            return try simulation.run(
                progress: { finished, _ in
                    progress(RunProgress(stage: stage, finished: finished, requests: trace.requests.count))
                }, shouldStop: shouldStop)
        } catch let error as SimulationError {
            throw ExperimentError.arm(arm.name, error)
        }
    }

    /// The arm that trains without reuse is the baseline of every arm that reuses; the one that trains nothing is the
    /// latency reference.
    private var comparisons: [ComparedArms] {
        guard
            let baseline = arms.first(where: { $0.configuration.training.enabled && !$0.configuration.training.reuse })
        else { return [] }
        let reference = arms.first { !$0.configuration.training.enabled }
        return arms.filter { $0.configuration.training.enabled && $0.configuration.training.reuse }.map {
            ComparedArms(baseline: baseline.name, candidate: $0.name, reference: reference?.name)
        }
    }
}

/// How far a run is.
public struct RunProgress: Sendable {
    public enum Stage: Sendable, Equatable {
        case loading
        case calibrating
        case running(arm: String, round: Int, rounds: Int)
    }

    public var stage: Stage
    public var finished: Int
    public var requests: Int
}

/// Why a run can not be made.
public enum ExperimentError: Error, CustomStringConvertible {
    case unknownModel(String)
    case checkpoint(CheckpointError)
    case scenario(ScenarioError)
    case arm(String, SimulationError)

    public var description: String {
        switch self {
        case .unknownModel(let name):
            "there is no model `\(name.safeExcerpt)`, expected one of "
                + Presets.names.joined(separator: ", ") + ", or the path of a folder"
        case .checkpoint(let error): error.description
        case .scenario(let error): error.description
        case .arm(let name, let error): "arm \(name): \(error)"
        }
    }
}
