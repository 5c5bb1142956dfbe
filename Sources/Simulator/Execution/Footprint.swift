/// Bytes of everything that a plan keeps in memory, for one model and tuning mode.
///
/// The ledger reserves what this says and the measured backend allocates what this says; a test holds the two together.
public struct Footprint: Sendable, Equatable {
    public var model: ModelShape
    public var tuning: Tuning
    /// Bytes of one stored value: 4 in fp32.
    public var valueBytes: Int

    public init(model: ModelShape, tuning: Tuning, valueBytes: Int = 4) {
        self.model = model
        self.tuning = tuning
        self.valueBytes = valueBytes
    }

    private func bytes(_ values: Int) -> Bytes { Bytes(values * valueBytes) }

    private var trained: Int { tuning.trainedParameters(of: model) }
    /// What serving reads: the base weights and, with LoRA, the published adapters.
    public var weights: Bytes {
        if case .lora = tuning { bytes(model.parameters + trained) } else { bytes(model.parameters) }
    }
    /// The buffer that the optimizer writes the next adapters into; full tuning has none.
    public var adapters: Bytes {
        if case .lora = tuning { bytes(trained) } else { .zero }
    }
    public var gradients: Bytes { bytes(trained) }
    /// AdamW's two moments.
    public var optimizer: Bytes { bytes(2 * trained) }
    /// In full tuning, the buffer that the optimizer writes the next weights into while serving reads the present ones.
    public var publishBuffer: Bytes {
        if case .full = tuning { bytes(trained) } else { .zero }
    }

    /// What a step publishes: the adapters, or all weights.
    public var published: Bytes { bytes(trained) }

    /// K and V of one token in one layer.
    public var kvPerTokenPerLayer: Bytes { bytes(2 * model.kvWidth) }
    /// K and V of one token in all layers.
    public var kvPerToken: Bytes { kvPerTokenPerLayer * model.layers }

    /// What backward needs of one token in one layer, besides K and V: the layer's input, q, the attention output with
    /// its log-sum-exp, the residual between attention and MLP, gate and up: `2 h + 2 a d + a + 2 I` values.
    public var activationsPerTokenPerLayer: Bytes {
        bytes(2 * model.hidden + 2 * model.queryWidth + model.heads + 2 * model.intermediate)
    }
    /// The final norm's input of one token.
    public var finalPerToken: Bytes { bytes(model.hidden) }

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
