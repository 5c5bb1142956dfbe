/// The sizes of a Llama-type decoder: RMSNorm, rotary embedding, grouped-query attention, SwiGLU.
public struct ModelConfig: Sendable, Hashable, Codable {
    public var name: String
    /// Decoder layers.
    public var layers: Int
    /// Width of the residual stream.
    public var hidden: Int
    /// Query heads.
    public var heads: Int
    /// Heads of K and V; divides `heads`.
    public var kvHeads: Int
    /// Floats per head; even.
    public var headSize: Int
    /// Width of gate and of up.
    public var intermediate: Int
    /// Tokens known.
    public var vocabulary: Int
    /// Positions with rotary angles: the longest sequence.
    public var maxContext: Int
    public var ropeTheta: Double
    /// How the rotary frequencies were changed; nil for none.
    public var ropeScaling: RotaryScaling?
    public var rmsEpsilon: Double
    /// Whether the head is the embedding table.
    public var tiedHead: Bool
    /// Whether q, k and v have a bias, as in Qwen2.
    public var qkvBias: Bool

    public init(
        name: String, layers: Int, hidden: Int, heads: Int, kvHeads: Int, headSize: Int, intermediate: Int,
        vocabulary: Int, maxContext: Int = 4096, ropeTheta: Double = 10_000,
        ropeScaling: RotaryScaling? = nil, rmsEpsilon: Double = 1e-5, tiedHead: Bool = true, qkvBias: Bool = false
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
        self.ropeTheta = ropeTheta
        self.ropeScaling = ropeScaling
        self.rmsEpsilon = rmsEpsilon
        self.tiedHead = tiedHead
        self.qkvBias = qkvBias
    }

    /// What is wrong with the sizes, in words; empty for a usable model.
    public var problems: [String] {
        var found: [String] = []
        let sizes = [
            ("layers", layers), ("hidden", hidden), ("heads", heads), ("kvHeads", kvHeads), ("headSize", headSize),
            ("intermediate", intermediate), ("vocabulary", vocabulary), ("maxContext", maxContext),
        ]
        for (name, value) in sizes where value < 1 { found.append("\(name) is \(value), must be at least 1") }
        if kvHeads > 0, !heads.isMultiple(of: kvHeads) {
            found.append("heads (\(heads)) is not a multiple of kvHeads (\(kvHeads))")
        }
        if !headSize.isMultiple(of: 2) { found.append("headSize is \(headSize), must be even") }
        if !(ropeTheta > 0) { found.append("ropeTheta is \(ropeTheta), must be positive") }
        found += ropeScaling?.problems ?? []
        if !(rmsEpsilon > 0) { found.append("rmsEpsilon is \(rmsEpsilon), must be positive") }
        return found
    }

    /// Floats of q, or of the attention output, per token.
    public var queryWidth: Int { heads * headSize }
    /// Floats of K, or of V, per token and layer.
    public var keyWidth: Int { kvHeads * headSize }
    /// Floats of the fused q, k, v projection per token.
    public var projectedWidth: Int { queryWidth + 2 * keyWidth }
    /// Bytes of K and V per token over all layers.
    public var kvByteCountPerToken: Int { layers * 2 * keyWidth * MemoryLayout<Float>.stride }

    var attentionShape: AttentionShape { AttentionShape(heads: heads, kvHeads: kvHeads, headSize: headSize) }

    /// Models that come with the engine, smallest first. All but the last are this project's own sizes; the last has
    /// those of SmolLM2-135M (its published config.json).
    public static let presets: [ModelConfig] = [
        ModelConfig(
            name: "nano", layers: 2, hidden: 64, heads: 4, kvHeads: 2, headSize: 16, intermediate: 160,
            vocabulary: 512),
        ModelConfig(
            name: "micro", layers: 4, hidden: 256, heads: 4, kvHeads: 2, headSize: 64, intermediate: 704,
            vocabulary: 2048),
        ModelConfig(
            name: "mini", layers: 8, hidden: 384, heads: 6, kvHeads: 2, headSize: 64, intermediate: 1024,
            vocabulary: 2048),
        ModelConfig(
            name: "small", layers: 8, hidden: 512, heads: 8, kvHeads: 4, headSize: 64, intermediate: 1408,
            vocabulary: 8192),
        ModelConfig(
            name: "smollm2-135m", layers: 30, hidden: 576, heads: 9, kvHeads: 3, headSize: 64, intermediate: 1536,
            vocabulary: 49_152, maxContext: 8192, ropeTheta: 100_000),
    ]

    /// The preset of that name.
    public static func preset(_ name: String) -> ModelConfig? { presets.first { $0.name == name } }
}
