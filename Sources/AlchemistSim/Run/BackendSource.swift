internal import Engine
internal import MeasuredBackend
internal import Simulator

/// One arm of an experiment with its settings resolved.
struct Arm {
    let name: String
    let configuration: ArmConfiguration
    /// Devices that it holds.
    var devices: Int { configuration.hasTrainerDevice ? 2 : 1 }
}

/// Makes the backend that executes an arm.
protocol BackendSource {
    associatedtype Backend: ExecutionBackend

    /// What the arm's estimates are made from.
    func hardware(for arm: Arm) throws -> Hardware
    /// A fresh backend for one repeat of an arm.
    func backend(for arm: Arm, round: Int) throws -> Backend
}

/// The engine on this machine.
final class MeasuredSource: BackendSource {
    private let engine: EngineContext
    private let trace: Trace
    private let seed: UInt64
    private let shift: Double
    private let profiles: MeasuredProfiles

    init(_ engine: EngineContext, trace: Trace, seed: UInt64, shift: Double, profiles: MeasuredProfiles) {
        self.shift = shift
        self.engine = engine
        self.trace = trace
        self.seed = seed
        self.profiles = profiles
    }

    func hardware(for arm: Arm) throws -> Hardware { .machine(try profiles.profile(for: arm.configuration)) }

    func backend(for arm: Arm, round: Int) throws -> MeasuredBackend {
        let profile = try profiles.profile(for: arm.configuration)
        engine.warmUp(arm.configuration.serving)
        let training = arm.configuration.training
        var options = MeasuredOptions(arm.configuration)
        if training.enabled, training.evaluateEvery > 0 {
            options.heldOut = HeldOutTexts(
                vocabulary: engine.config.vocabulary, tokens: training.evaluationTokens, shift: shift,
                maxContext: engine.config.maxContext)
        }
        return MeasuredBackend(
            engine: engine, profile: profile,
            tokens: TraceTokens(trace, vocabulary: engine.config.vocabulary, shift: shift, seed: seed),
            options: options)
    }
}

/// Some hardware, modelled.
struct ModelledSource: BackendSource {
    let hardware: Hardware
    let model: ModelConfig
    let threads: Int

    func hardware(for arm: Arm) -> Hardware { hardware }

    func backend(for arm: Arm, round: Int) -> ModelledBackend<ArmDemand> {
        ModelledBackend(
            hardware: hardware, demand: ArmDemand(model, arm.configuration, on: hardware, threads: threads))
    }
}

/// The memory that an arm's work takes: as the engine has it, or as an accelerator's.
enum ArmDemand: MemoryDemand {
    case engine(MeasuredDemand)
    case accelerator(AcceleratorDemand)

    /// - Parameter hardware: nil for this machine.
    init(_ model: ModelConfig, _ arm: ArmConfiguration, on hardware: Hardware?, threads: Int) {
        if case .accelerator(_, let setting) = hardware {
            self = .accelerator(
                AcceleratorDemand(
                    ModelShape(model), arm.training.tuning,
                    plans: SavePlans(arm),
                    widths: setting.widths, maxBatch: arm.serving.maxBatch,
                    learnsPairs: arm.training.learnsPairs))
        } else {
            self = .engine(MeasuredDemand(model, MeasuredOptions(arm), threads: threads))
        }
    }

    private var inner: any MemoryDemand {
        switch self {
        case .engine(let demand): demand
        case .accelerator(let demand): demand
        }
    }

    var model: ModelShape { inner.model }
    var footprint: Footprint { inner.footprint }
    func servingWorkspace(tokens: Int) -> Bytes { inner.servingWorkspace(tokens: tokens) }
    func trainWorkspace(for microBatch: MicroBatch, unitRows: Int) -> Bytes {
        inner.trainWorkspace(for: microBatch, unitRows: unitRows)
    }
}

/// What quanta are expected to cost on this machine. Arms share a profile when they train in the same way and serve in
/// iterations of the same size; then the same quanta are expected to cost the same in each. All do where a profile is given.
final class MeasuredProfiles {
    private struct Key: Hashable {
        var tuning: Tuning
        var tokenBudget: Int
        var maxBatch: Int
    }

    private let engine: EngineContext
    private let origin: HardwareProfile.Origin
    private let given: HardwareProfile?
    private var known: [Key: HardwareProfile] = [:]

    init(_ engine: EngineContext, origin: HardwareProfile.Origin, given: HardwareProfile?) {
        self.engine = engine
        self.origin = origin
        self.given = given
    }

    func profile(for arm: ArmConfiguration) throws -> HardwareProfile {
        if let given { return given }
        let key = Key(
            tuning: arm.training.tuning, tokenBudget: arm.serving.tokenBudget, maxBatch: arm.serving.maxBatch)
        if let profile = known[key] { return profile }
        let profile = try Calibrator(engine, training: arm.training, serving: arm.serving, effort: .quick)
            .run(origin: origin)
        known[key] = profile
        return profile
    }
}
