public import Engine
public import Simulator

/// The engine's model and scratch, shared by arms that run in turn.
public final class EngineContext {
    /// Loss rows whose logits exist at a time.
    static let lossChunk = OperatorList.lossChunk

    /// What arms start from.
    let start: StartingModel
    public let pool: ThreadPool
    public var config: ModelConfig { start.config }
    let transformer: Transformer
    private var workspace: TrainingWorkspace

    /// A model whose parameters are drawn from each arm's seed.
    public convenience init(_ config: ModelConfig, pool: ThreadPool) {
        self.init(StartingModel(config), pool: pool)
    }

    /// - Parameter start: what arms start from.
    public init(_ start: StartingModel, pool: ThreadPool) {
        self.start = start
        self.pool = pool
        transformer = Transformer(start.config, pool: pool)
        workspace = TrainingWorkspace(transformer, unitRows: 512, lossChunk: Self.lossChunk)
    }

    /// Runs the largest iteration that can come, so that no iteration of a run has to grow the engine's scratch.
    public func warmUp(_ serving: ServingConfiguration) {
        let sequences = min(serving.maxBatch, serving.tokenBudget)
        let tokens = min(config.maxContext, max(1, serving.tokenBudget / sequences))
        let weights = ModelParameters(Weights(zeros: config))
        let batch = (0..<sequences).map { _ in
            Engine.ServingSlice(
                tokens: [Int32](repeating: 0, count: tokens), start: 0,
                kv: [KVSpan(KVBlock(config, capacity: tokens), count: tokens)], wantsLogits: true)
        }
        _ = transformer.forward(batch, weights)
    }

    /// Scratch for units of at most `unitRows` rows.
    func workspace(unitRows: Int) -> TrainingWorkspace {
        if workspace.unitRows < unitRows {
            workspace = TrainingWorkspace(transformer, unitRows: unitRows, lossChunk: Self.lossChunk)
        }
        return workspace
    }

    /// Scratch for a pass in whole layers, apart from the one that a step in progress uses.
    func auditWorkspace(rows: Int) -> TrainingWorkspace {
        TrainingWorkspace(transformer, unitRows: rows, lossChunk: Self.lossChunk)
    }
}
