/// Bytes of everything that a plan keeps in memory, for one model and tuning mode.
///
/// The ledger reserves what this says and the measured backend allocates what this says; a test holds the two together.
public struct Footprint: Sendable, Equatable {
    public var model: ModelShape
    public var tuning: Tuning
    /// Bytes of one stored value.
    public var widths: ValueWidths

    public init(model: ModelShape, tuning: Tuning, widths: ValueWidths = .fp32) {
        self.model = model
        self.tuning = tuning
        self.widths = widths
    }

    private var trained: Int { tuning.trainedParameters(of: model) }
    /// The layers' matrices in their own width, embedding, head, gains and biases in that of activations.
    private var baseWeights: Bytes {
        let matrices = model.layers * model.matrixParametersPerLayer
        return Bytes(matrices * widths.weights + (model.parameters - matrices) * widths.activations)
    }
    /// What serving reads: the base weights and, with LoRA, the published adapters.
    public var weights: Bytes {
        if case .lora = tuning { baseWeights + Bytes(trained * widths.activations) } else { baseWeights }
    }
    /// The buffer that the optimizer writes the next adapters into; full tuning has none.
    public var adapters: Bytes {
        if case .lora = tuning { Bytes(trained * widths.activations) } else { .zero }
    }
    public var gradients: Bytes { Bytes(trained * widths.gradients) }
    /// AdamW's two moments and, in mixed precision, the master copy of what is trained.
    public var optimizer: Bytes { Bytes((widths.hasMasterCopy ? 3 : 2) * trained * widths.optimizer) }
    /// In full tuning, the buffer that the optimizer writes the next weights into while serving reads the present ones.
    public var publishBuffer: Bytes {
        if case .full = tuning { baseWeights } else { .zero }
    }

    /// What a step publishes: the adapters, or all weights.
    public var published: Bytes { adapters + publishBuffer }

    /// K and V of one token in one layer.
    public var kvPerTokenPerLayer: Bytes { Bytes(2 * model.kvWidth * widths.kv) }
    /// K and V of one token in all layers.
    public var kvPerToken: Bytes { kvPerTokenPerLayer * model.layers }

    /// What backward needs of one token in one layer, besides K and V: the layer's input, q, the attention output with
    /// its log-sum-exp, the residual between attention and MLP, gate and up: `2 h + 2 a d + a + 2 I` values. The
    /// log-sum-exp is in fp32 in any case.
    public var activationsPerTokenPerLayer: Bytes {
        Bytes((2 * model.hidden + 2 * model.queryWidth + 2 * model.intermediate) * widths.activations + 4 * model.heads)
    }
    /// The final norm's input of one token.
    public var finalPerToken: Bytes { Bytes(model.hidden * widths.activations) }

    public var recordSizes: RecordSizes {
        RecordSizes(
            layers: model.layers, activationsPerToken: activationsPerTokenPerLayer, kvPerToken: kvPerTokenPerLayer,
            finalPerToken: finalPerToken)
    }

    /// What the trainer's own forward pass keeps of `freshRows` tokens in one layer, K and V included.
    public func trainActivationsPerLayer(freshRows: Int) -> Bytes {
        (activationsPerTokenPerLayer + kvPerTokenPerLayer) * freshRows
    }

    /// What it keeps of `freshRows` tokens in all layers and before the final norm.
    public func trainActivations(freshRows: Int) -> Bytes {
        trainActivationsPerLayer(freshRows: freshRows) * model.layers + finalPerToken * freshRows
    }
}
