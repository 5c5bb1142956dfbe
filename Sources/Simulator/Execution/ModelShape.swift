/// The dimensions of a Llama-type decoder, as far as plans, bytes and prices depend on them.
public struct ModelShape: Sendable, Hashable {
    public var name: String
    public var layers: Int
    /// Width of the residual stream, h.
    public var hidden: Int
    /// Query heads, a.
    public var heads: Int
    public var kvHeads: Int
    /// Width of one head, d.
    public var headSize: Int
    /// Width of the MLP, I.
    public var intermediate: Int
    public var vocabulary: Int
    public var maxContext: Int
    /// Whether the output head is the transposed embedding.
    public var tiedHead: Bool
    public var qkvBias: Bool

    public init(
        name: String, layers: Int, hidden: Int, heads: Int, kvHeads: Int, headSize: Int, intermediate: Int,
        vocabulary: Int, maxContext: Int, tiedHead: Bool, qkvBias: Bool = false
    ) {
        self.name = name
        self.layers = layers
        self.hidden = hidden
        self.heads = heads
        self.kvHeads = kvHeads
        self.headSize = headSize
        self.intermediate = intermediate
        self.vocabulary = vocabulary
        self.maxContext = maxContext
        self.tiedHead = tiedHead
        self.qkvBias = qkvBias
    }

    /// Width of all query heads, a d.
    public var queryWidth: Int { heads * headSize }
    /// Width of all key (or value) heads, k.
    public var kvWidth: Int { kvHeads * headSize }
    /// Output rows of the fused query, key and value product.
    public var qkvWidth: Int { queryWidth + 2 * kvWidth }

    /// Parameters of the four matrix products of one decoder layer.
    public var matrixParametersPerLayer: Int {
        hidden * qkvWidth + queryWidth * hidden + 3 * hidden * intermediate
    }

    /// Parameters of one decoder layer: four matrix products, two norm gains and, for some families, the qkv bias.
    public var parametersPerLayer: Int { matrixParametersPerLayer + 2 * hidden + (qkvBias ? qkvWidth : 0) }

    /// All parameters; a tied head is counted once.
    public var parameters: Int {
        layers * parametersPerLayer + (tiedHead ? 1 : 2) * vocabulary * hidden + hidden
    }

    /// The linear layers of one decoder layer as (inputs, outputs).
    public func shape(of projection: Projection) -> (inputs: Int, outputs: Int) {
        switch projection {
        case .query: (hidden, queryWidth)
        case .key, .value: (hidden, kvWidth)
        case .output: (queryWidth, hidden)
        case .gate, .up: (hidden, intermediate)
        case .down: (intermediate, hidden)
        }
    }
}

/// A linear layer that an adapter can be put on.
public enum Projection: String, Sendable, CaseIterable, Hashable {
    case query = "q"
    case key = "k"
    case value = "v"
    case output = "o"
    case gate, up, down
}

/// Which parameters training changes.
public enum Tuning: Sendable, Hashable {
    case full
    /// Low-rank adapters `y += alpha / rank * (x A^T) B^T` on the targets, base weights frozen (Hu et al., 2106.09685).
    case lora(rank: Int, alpha: Double, targets: [Projection])

    /// Parameters that have gradients and optimizer state.
    public func trainedParameters(of model: ModelShape) -> Int {
        switch self {
        case .full: model.parameters
        case .lora(let rank, _, let targets):
            model.layers
                * targets.reduce(0) { sum, target in
                    let (inputs, outputs) = model.shape(of: target)
                    return sum + rank * (inputs + outputs)
                }
        }
    }
}
