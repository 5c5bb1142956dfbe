/// One operator of a quantum, with everything that its price depends on.
public struct Operator: Sendable, Hashable {
    /// What the operator is for. Passes over memory are priced by their role, all else by its kind.
    public enum Role: String, Sendable, Hashable, CaseIterable {
        // Matrix products of a layer, and the head.
        case qkv
        case attentionOutput = "attention_output"
        case gateUp = "gate_up"
        case down
        case head
        // Low-rank adapters: x A^T, shared by the projections of one input, and B of each projection.
        case adapterA = "adapter_a"
        case adapterB = "adapter_b"
        case attention
        // Passes over memory, forward.
        case embedding
        case norm
        case rope
        case residual
        case swiglu
        case greedy
        case recordCopy = "record_copy"
        // Passes over memory, backward.
        case normBackward = "norm_backward"
        case gainGradient = "gain_gradient"
        case ropeBackward = "rope_backward"
        case swigluBackward = "swiglu_backward"
        case attentionProjection = "attention_projection"
        case biasGradient = "bias_gradient"
        case embeddingBackward = "embedding_backward"
        case gather
        case clear
        case loss
        case gradientNorm = "gradient_norm"
        case optimizer

        /// Whether operators of this role are passes over memory.
        public var isPass: Bool {
            switch self {
            case .qkv, .attentionOutput, .gateUp, .down, .head, .adapterA, .adapterB, .attention: false
            default: true
            }
        }
    }

    /// The three products of a linear layer y = x W^T, each of `2 m n k` FLOPs when x is [m, k] and W is [n, k].
    public enum Orientation: String, Sendable, Hashable, CaseIterable {
        /// y [m, n] from x and W.
        case forward
        /// dx [m, k] from dy [m, n] and W.
        case inputGradient = "input_gradient"
        /// dW [n, k] from dy [m, n] and x.
        case weightGradient = "weight_gradient"
    }

    public enum Kind: Sendable, Hashable {
        /// A product of a linear layer with m rows, n outputs and k inputs.
        case product(Orientation, m: Int, n: Int, k: Int)
        /// Attention of `queries` rows over `pairs` (query, key) pairs in all.
        case attention(queries: Int, pairs: Int)
        case attentionBackward(queries: Int, pairs: Int)
        /// Attention of single queries, each over its own context; `pairs` is the sum of the contexts.
        case decodeAttention(sequences: Int, pairs: Int)
        /// A pass over memory that makes, or reads, `values` values.
        case pass(values: Int)
    }

    public var role: Role
    public var kind: Kind
    /// Floating-point operations of one execution, as far as matrix products and attention have them.
    public var flops: Double
    /// Bytes that one execution has to read and write at least.
    public var bytes: Double
    /// How many times the quantum executes it.
    public var count: Int

    public init(role: Role, kind: Kind, flops: Double, bytes: Double, count: Int) {
        self.role = role
        self.kind = kind
        self.flops = flops
        self.bytes = bytes
        self.count = count
    }
}
