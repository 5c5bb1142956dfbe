/// What is kept of a layer's forward pass until its backward pass; what else that needs is computed again, from what is
/// kept and from K and V.
public enum SavePlan: String, Sendable, Hashable, CaseIterable {
    /// The layer's input, q, the attention output with its log-sum-exp, the residual between attention and MLP, gate and
    /// up: all that backward reads but normalised values and the SwiGLU product, which are cheap to make again.
    case full
    /// Without gate and up.
    case lean
    /// The layer's input alone.
    case boundary
}

/// A save plan for every layer: the same for all, or one for each.
public struct LayerPlans: Sendable, Hashable {
    private let plans: [SavePlan]

    /// The same plan for all layers.
    public init(_ plan: SavePlan) { plans = [plan] }

    /// A plan for each layer, at least one.
    public init(layers: [SavePlan]) {
        precondition(!layers.isEmpty, "a model has layers")
        plans = layers
    }

    public subscript(layer: Int) -> SavePlan { plans.count == 1 ? plans[0] : plans[layer] }

    /// The plans as they were given: one for all layers, or one for each.
    public var given: [SavePlan] { plans }

    /// As scenarios write it.
    public var text: String { plans.map(\.rawValue).joined(separator: ",") }
}

/// Bytes of the parts of a record.
public struct RecordSizes: Sendable, Equatable {
    /// Saved activations of one layer.
    public struct Layer: Sendable, Equatable {
        /// Of each token.
        public var perToken: Bytes
        /// Of each token besides whose final norm's input is kept: the last layer's output is wanted of no others.
        public var perFinalRow: Bytes

        public init(perToken: Bytes, perFinalRow: Bytes = .zero) {
            self.perToken = perToken
            self.perFinalRow = perFinalRow
        }
    }

    public var activations: [Layer]
    /// K and V of one token in one layer, copied out of its KV block.
    public var kvPerToken: Bytes
    /// The same in the KV block, which serving reads.
    public var cachedKVPerToken: Bytes
    /// The final norm's input of one token.
    public var finalPerToken: Bytes

    /// - Parameter cachedKVPerToken: by default the same as of copies.
    public init(activations: [Layer], kvPerToken: Bytes, finalPerToken: Bytes, cachedKVPerToken: Bytes? = nil) {
        self.activations = activations
        self.kvPerToken = kvPerToken
        self.cachedKVPerToken = cachedKVPerToken ?? kvPerToken
        self.finalPerToken = finalPerToken
    }

    /// Layers of one size.
    public init(layers: Int, activationsPerToken: Bytes, kvPerToken: Bytes, finalPerToken: Bytes) {
        self.init(
            activations: [Layer](repeating: Layer(perToken: activationsPerToken), count: layers),
            kvPerToken: kvPerToken, finalPerToken: finalPerToken)
    }

    public var layers: Int { activations.count }

    /// Saved activations of a layer for `tokens` tokens, the last `finalRows` of which have their final norm's input kept.
    public func activations(layer: Int, tokens: Int, finalRows: Int) -> Bytes {
        activations[layer].perToken * tokens + activations[layer].perFinalRow * finalRows
    }

    /// The same of all layers.
    public func activations(tokens: Int, finalRows: Int) -> Bytes {
        activations.indices.reduce(.zero) { $0 + activations(layer: $1, tokens: tokens, finalRows: finalRows) }
    }

    /// What a record takes on the device, besides the KV blocks that it holds.
    public func deviceBytes(tokens: Int, finalRows: Int) -> Bytes {
        activations(tokens: tokens, finalRows: finalRows) + finalPerToken * finalRows
    }

    /// What it takes on the host, K and V included.
    public func hostBytes(tokens: Int, finalRows: Int) -> Bytes {
        deviceBytes(tokens: tokens, finalRows: finalRows) + kvPerToken * (layers * tokens)
    }
}
