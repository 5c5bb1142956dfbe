public import Engine
public import Simulator

/// The memory that the engine's work takes, known without running any of it.
public struct MeasuredDemand: MemoryDemand {
    public let model: ModelShape
    public let footprint: Footprint
    private let config: ModelConfig
    private let options: MeasuredOptions

    private let threads: Int

    /// - Parameter threads: threads of the engine; each has scratch of its own.
    public init(_ config: ModelConfig, _ options: MeasuredOptions, threads: Int) {
        self.config = config
        self.options = options
        self.threads = threads
        model = ModelShape(config)
        footprint = Footprint(
            model: model, tuning: options.training.tuning,
            plans: options.plans,
            learnsPairs: options.training.learnsPairs)
    }

    public func servingWorkspace(tokens: Int) -> Bytes {
        var lora: LoRAConfig?
        if case .lora(let config) = TuningMode(options.training.tuning) { lora = config }
        return Bytes(
            Transformer.workspaceByteCount(config, lora: lora, rows: tokens, logits: options.maxBatch, threads: threads)
        )
    }

    public func trainWorkspace(for microBatch: MicroBatch, unitRows: Int) -> Bytes {
        let scratch = TrainingWorkspace.byteCount(
            config, TuningMode(options.training.tuning), rows: microBatch.rows, unitRows: unitRows,
            lossChunk: EngineContext.lossChunk, threads: threads)
        return Bytes(scratch + layerScratch(of: microBatch)) + footprint.referenceActivations(of: microBatch)
            + footprint.widened(in: microBatch, unitRows: unitRows)
    }

    /// What computes again, or the reference model's pass before it, works in.
    private func layerScratch(of microBatch: MicroBatch) -> Int {
        let again = TrainingWorkspace.recomputeByteCount(
            config, PassPlan(footprint.plans, layers: model.layers), PassRows(microBatch))
        guard microBatch.needsReference else { return again }
        return max(
            again,
            TrainingWorkspace.recomputeByteCount(config, .scoring, PassRows(microBatch.withoutRecords)))
    }
}
