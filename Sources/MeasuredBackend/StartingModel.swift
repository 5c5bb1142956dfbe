public import Engine

/// What every arm of a run starts from: a model's sizes and, where they come from a checkpoint, its weights and adapters.
/// These are read once and shared; no arm writes them.
public struct StartingModel {
    public let config: ModelConfig
    private let loadedWeights: Weights?
    private let loadedAdapters: Adapters?

    /// A model whose parameters are drawn from an arm's seed.
    public init(_ config: ModelConfig) {
        self.config = config
        loadedWeights = nil
        loadedAdapters = nil
    }

    /// A model with the given parameters; without adapters, LoRA starts from drawn ones.
    ///
    /// - Precondition: the adapters belong to a model of these sizes.
    public init(_ weights: Weights?, _ config: ModelConfig, adapters: Adapters?) {
        precondition(weights.map { $0.config == config } ?? true, "these weights belong to another model")
        precondition(adapters.map { $0.config == config } ?? true, "these adapters belong to another model")
        self.config = config
        loadedWeights = weights
        loadedAdapters = adapters
    }

    /// The weights to start from; a copy that may be written where `isTrained`.
    package func weights(seed: UInt64, isTrained: Bool, pool: ThreadPool) -> Weights {
        guard let loadedWeights else { return Weights(config, seed: seed, pool: pool) }
        guard isTrained else { return loadedWeights }
        let copy = Weights(zeros: config)
        copy.copy(from: loadedWeights)
        return copy
    }

    /// Adapters to start from, always a copy.
    func adapters(_ lora: LoRAConfig, seed: UInt64) -> Adapters {
        let adapters = Adapters(config, lora, seed: seed)
        if let loadedAdapters {
            precondition(loadedAdapters.lora == lora, "the arm's adapters are not those of the run")
            adapters.copy(from: loadedAdapters)
        }
        return adapters
    }
}
