/// Bytes of one stored value, by what it is for.
///
/// The engine keeps everything in fp32. Accelerators keep weights in 16 or 8 bits, work in 16, and train in mixed
/// precision: gradients, a master copy of what is trained and AdamW's moments in fp32 (Micikevicius et al., 1710.03740).
public struct ValueWidths: Sendable, Hashable {
    /// The matrices of the decoder layers.
    public var weights: Int
    /// K and V in the cache and in records.
    public var kv: Int
    /// Activations, adapters, and the weights that are never quantised: embedding, head and gains.
    public var activations: Int
    public var gradients: Int
    /// Each of AdamW's moments and, where training would lose updates in narrower weights, the master copy.
    public var optimizer: Int

    public init(weights: Int, kv: Int, activations: Int, gradients: Int, optimizer: Int) {
        self.weights = weights
        self.kv = kv
        self.activations = activations
        self.gradients = gradients
        self.optimizer = optimizer
    }

    /// Everything in 32 bits, as in the engine.
    public static let fp32 = ValueWidths(weights: 4, kv: 4, activations: 4, gradients: 4, optimizer: 4)

    /// 16-bit work with fp32 training state, and weights and cache of 16 or 8 bits.
    public static func mixed(weightBits: Int = 16, kvBits: Int = 16) -> ValueWidths {
        ValueWidths(weights: weightBits / 8, kv: kvBits / 8, activations: 2, gradients: 4, optimizer: 4)
    }

    /// Whether the optimizer keeps what it trains once more, in its own width.
    public var hasMasterCopy: Bool { optimizer > activations }
}
