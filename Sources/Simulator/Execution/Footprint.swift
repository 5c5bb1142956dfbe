/// Bytes of everything that a plan keeps in memory, for one model and tuning mode.
///
/// The ledger reserves what this says and the measured backend allocates what this says; a test holds the two together.
public struct Footprint: Sendable, Equatable {
    public var model: ModelShape
    public var tuning: Tuning
    /// What is kept between forward and backward.
    public var plans: SavePlans
    /// Bytes of one stored value.
    public var widths: ValueWidths
    /// Whether pairs are learned from, against a reference model.
    public var learnsPairs: Bool

    public init(
        model: ModelShape, tuning: Tuning, plans: SavePlans = SavePlans(), widths: ValueWidths = .fp32,
        learnsPairs: Bool = false
    ) {
        self.learnsPairs = learnsPairs
        self.model = model
        self.tuning = tuning
        self.plans = plans
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

    /// The reference model of pairs, where it is not what the adapters are put on.
    public var reference: Bytes {
        if case .full = tuning, learnsPairs { baseWeights } else { .zero }
    }

    /// What a step publishes: the adapters, or all weights.
    public var published: Bytes { adapters + publishBuffer }

    /// K and V of one token in one layer.
    public var kvPerTokenPerLayer: Bytes { Bytes(2 * model.kvWidth * widths.kv) }
    /// K and V of one token in all layers.
    public var kvPerToken: Bytes { kvPerTokenPerLayer * model.layers }

    /// What a plan keeps of `rows` tokens in one layer, besides K and V: the layer's input, h values each, and of the
    /// `queryRows` tokens among them whose output is wanted q, the attention output with its log-sum-exp and the residual
    /// between attention and MLP, `2 a d + a + h`, and gate and up, `2 I`. The log-sum-exp is in fp32 in any case.
    public func activations(_ plan: SavePlan, rows: Int, queryRows: Int) -> Bytes {
        let values = rows * model.hidden + queryRows * plan.queryValues(of: model)
        return Bytes(values * widths.activations + queryRows * plan.logSums(of: model) * 4)
    }
    /// The final norm's input of one token.
    public var finalPerToken: Bytes { Bytes(model.hidden * widths.activations) }

    /// What the trainer's own forward pass keeps in one layer of `freshRows` tokens, `freshLossRows` of which carry loss:
    /// K and V included, unless they are computed again.
    public func trainActivations(layer: Int, freshRows: Int, freshLossRows: Int) -> Bytes {
        let own = plans.own
        let queryRows = layer == model.layers - 1 ? freshLossRows : freshRows
        return activations(own, rows: freshRows, queryRows: queryRows)
            + (own == .boundary ? .zero : kvPerTokenPerLayer * freshRows)
            + (plans.checkpointing == .none ? derived(rows: freshRows, queryRows: queryRows) : .zero)
    }

    /// Norms' outputs and SwiGLU products, `h` values for each row and `h + I` for each whose output is wanted.
    private func derived(rows: Int, queryRows: Int) -> Bytes {
        Bytes((rows * model.hidden + queryRows * (model.hidden + model.intermediate)) * widths.activations)
    }

    /// What has to be computed again of `microBatch` in the layer with the most of it: tensors that were not kept, and K
    /// and V of the trainer's own rows where these were not.
    public func recomputed(in microBatch: MicroBatch) -> Bytes {
        func missing(_ plan: SavePlan, _ queryRows: Int) -> Bytes {
            activations(.full, rows: 0, queryRows: queryRows) - activations(plan, rows: 0, queryRows: queryRows)
        }
        let ofLayers = (0..<model.layers).map { layer in
            let isLast = layer == model.layers - 1
            let fresh = isLast ? microBatch.freshLossRows : microBatch.freshRows
            let all = isLast ? microBatch.lossRows : microBatch.rows
            return missing(plans.own, fresh) + missing(plans.recorded[layer], all - fresh)
        }
        return (ofLayers.max() ?? .zero) + (plans.own == .boundary ? kvPerTokenPerLayer * microBatch.freshRows : .zero)
    }

    /// What the reference model's pass over `microBatch` holds at a time besides what it computes with: the inputs of a
    /// layer and of the next one, and the final norm's inputs of loss rows.
    public func referenceActivations(of microBatch: MicroBatch) -> Bytes {
        guard microBatch.needsReference else { return .zero }
        return Bytes((2 * microBatch.rows + microBatch.lossRows) * model.hidden * widths.activations)
    }

    /// What that pass, or what computes again, works in: neither does while the other does.
    public func layerScratch(of microBatch: MicroBatch) -> Bytes {
        guard microBatch.needsReference else { return recomputed(in: microBatch) }
        var scoring = self
        scoring.plans = SavePlans(checkpointing: .full)
        return max(recomputed(in: microBatch), scoring.recomputed(in: microBatch.withoutRecords))
    }

    /// What it keeps in all layers and before the final norm.
    public func trainActivations(freshRows: Int, freshLossRows: Int) -> Bytes {
        (0..<model.layers).reduce(finalPerToken * freshLossRows) {
            $0 + trainActivations(layer: $1, freshRows: freshRows, freshLossRows: freshLossRows)
        }
    }
}
