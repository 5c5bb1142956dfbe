/// What an arm keeps between forward and backward: of the tokens that its trainer runs itself, and of those that serving
/// records.
public struct SavePlans: Sendable, Hashable {
    public var checkpointing: Checkpointing
    public var recorded: LayerPlans
    /// What the values of records are rounded to.
    public var precision: PiecePrecision
    /// Whether records leave the device, and with them copies of their K and V.
    public var copiesKV: Bool

    public init(
        checkpointing: Checkpointing = .selective, recorded: LayerPlans = LayerPlans(.full),
        precision: PiecePrecision = .own, copiesKV: Bool = true
    ) {
        self.checkpointing = checkpointing
        self.recorded = recorded
        self.precision = precision
        self.copiesKV = copiesKV
    }

    /// What is kept of the trainer's own tokens, in every layer.
    public var own: SavePlan {
        switch checkpointing {
        case .none, .selective: .full
        case .full: .boundary
        }
    }

    /// Whether a layer's backward pass over `microBatch` reads anything that was not kept.
    public func needsRecompute(layer: Int, in microBatch: MicroBatch) -> Bool {
        own != .full && microBatch.freshRows > 0
            || recorded[layer] != .full && microBatch.freshRows < microBatch.rows
    }
}

/// Activation checkpointing of the trainer's own forward pass (Chen et al., arXiv 1604.06174; Korthikanti et al.,
/// arXiv 2205.05198).
public enum Checkpointing: String, Sendable, Hashable, CaseIterable {
    /// Keeps normalised values and SwiGLU products, too; attention's scores alone are made again, as fused kernels do.
    case none
    /// Keeps what is dear to compute again; makes normalised values, attention scores and SwiGLU products again.
    case selective
    /// Keeps the layers' inputs alone; each layer runs forward once more before it runs backward.
    case full
}

extension SavePlan {
    /// Whether q, the attention output with its log-sum-exp and the residual after it are kept.
    var savesAttention: Bool { self != .boundary }
    /// Whether gate and up are kept.
    var savesGate: Bool { self == .full }

    /// Values kept, besides the layer's input, of a token whose output is wanted; without its log-sum-exps.
    func queryValues(of model: ModelShape) -> Int {
        (savesAttention ? 2 * model.queryWidth + model.hidden : 0) + (savesGate ? 2 * model.intermediate : 0)
    }

    /// Log-sum-exps kept of such a token.
    func logSums(of model: ModelShape) -> Int { savesAttention ? model.heads : 0 }
}
