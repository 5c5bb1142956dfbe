/// The memory that work takes on an accelerator, in the ways of the engines that run there.
///
/// Serving's scratch is one layer's widest activations and the logits of the batch; the trainer's is the gradient of the
/// residual stream and of K and V for all rows, a unit's widest gradients, and the logits of a chunk of loss rows.
public struct AcceleratorDemand: MemoryDemand {
    /// Loss rows whose logits exist at a time.
    static let lossChunk = 1024

    public let model: ModelShape
    public let footprint: Footprint
    private let maxBatch: Int

    /// - Parameter maxBatch: requests that run at the same time.
    public init(
        _ model: ModelShape, _ tuning: Tuning, plans: SavePlans = SavePlans(), widths: ValueWidths, maxBatch: Int,
        learnsPairs: Bool = false
    ) {
        self.model = model
        self.maxBatch = maxBatch
        footprint = Footprint(model: model, tuning: tuning, plans: plans, widths: widths, learnsPairs: learnsPairs)
    }

    public func servingWorkspace(tokens: Int) -> Bytes {
        let widest = max(model.qkvWidth + model.queryWidth, 3 * model.intermediate)
        // Sampling works in fp32.
        return Bytes(
            tokens * (2 * model.hidden + widest) * footprint.widths.activations + maxBatch * model.vocabulary * 4)
    }

    public func trainWorkspace(for microBatch: MicroBatch, unitRows: Int) -> Bytes {
        let rows = microBatch.rows
        let unit = min(rows, unitRows)
        let streams = rows * (2 * model.hidden + 2 * model.kvWidth)
        let widest = unit * max(3 * model.intermediate, model.qkvWidth + 2 * model.queryWidth)
        let logits = min(Self.lossChunk, microBatch.lossRows) * model.vocabulary
        return Bytes((streams + widest) * footprint.widths.activations + logits * (footprint.widths.activations + 4))
            + footprint.layerScratch(of: microBatch) + footprint.referenceActivations(of: microBatch)
            + footprint.widened(in: microBatch, unitRows: unitRows)
    }
}
