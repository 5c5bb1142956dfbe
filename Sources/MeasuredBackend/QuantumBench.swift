internal import Engine
internal import Simulator

/// Runs whole quanta, whose times are then held against the sums of their operators.
struct QuantumBench {
    private let serving: ServingQuanta
    private let training: TrainingQuanta

    /// - Parameter profile: prices of operators by themselves.
    init(
        _ engine: EngineContext, profile: HardwareProfile, training: TrainingConfiguration,
        serving: ServingConfiguration, effort: CalibrationEffort
    ) {
        var configuration = ArmConfiguration(serving: serving, training: training)
        configuration.training.enabled = true
        configuration.training.auditEvery = 0
        // What is computed again costs what it cost the first time.
        configuration.training.checkpointing = .selective
        let tokens = SampleTokens(longest: engine.config.maxContext)
        var options = MeasuredOptions(configuration)
        options.steadyProbe = profile.probe
        let backend = MeasuredBackend(engine: engine, profile: profile, tokens: tokens, options: options)
        let pricer = OperatorPricer(profile, OperatorList(backend.footprint))
        self.serving = ServingQuanta(
            backend, pricer, serving: serving, maxContext: engine.config.maxContext, effort: effort)
        // Samples are told apart from what is served by being beyond it.
        self.training = TrainingQuanta(
            backend, pricer, tokens: tokens, microBatchTokens: training.microBatchTokens,
            firstRequest: serving.maxBatch + 1, effort: effort)
    }

    /// - Parameter rounds: executions of each iteration. Units of training are executed half as often, but three times where
    ///   that is more.
    func run(rounds: Int) throws -> QuantumTimes {
        QuantumTimes(try serving.run(rounds: rounds) + training.run(rounds: max(min(3, rounds), rounds / 2)))
    }
}

/// Token 0, over and over: as many as a context holds, or as a sample has.
final class SampleTokens: TokenIDs {
    let longest: Int
    /// Of those requests that are samples: tokens that go in.
    var lengths: [Int: Int] = [:]

    init(longest: Int) { self.longest = longest }

    func sequence(of request: Int) -> [Int32] { [Int32](repeating: 0, count: (lengths[request] ?? longest) + 1) }
    func answer(_ number: Int, to request: Int, tokens: Int) -> [Int32] { [Int32](repeating: 0, count: tokens) }
}
