public import Engine
public import Simulator

/// The memory that the engine's work takes, known without running any of it.
public struct MeasuredDemand: MemoryDemand {
    public let model: ModelShape
    public let footprint: Footprint
    private let config: ModelConfig
    private let options: MeasuredOptions

    public init(_ config: ModelConfig, _ options: MeasuredOptions) {
        self.config = config
        self.options = options
        model = ModelShape(config)
        footprint = Footprint(model: model, tuning: options.training.tuning)
    }

    public func servingWorkspace(tokens: Int) -> Bytes {
        Bytes(Transformer.workspaceByteCount(config, rows: tokens, logits: options.maxBatch))
    }

    public func trainWorkspace(for microBatch: MicroBatch, unitRows: Int) -> Bytes {
        Bytes(
            TrainingWorkspace.byteCount(
                config, TuningMode(options.training.tuning), rows: microBatch.rows, unitRows: unitRows,
                lossChunk: EngineContext.lossChunk))
    }
}
