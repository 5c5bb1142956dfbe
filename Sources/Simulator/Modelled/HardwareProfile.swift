/// What work costs on some hardware: pure data, measured by `calibrate` or written by hand.
public struct HardwareProfile: Sendable, Equatable {
    /// Where the figures come from.
    public struct Origin: Sendable, Equatable {
        public var cpu: String
        /// Kernels of BLAS.
        public var kernel: String
        public var threads: Int
        /// In ISO 8601.
        public var date: String
        /// The model whose sizes the nodes are.
        public var model: String

        public init(cpu: String, kernel: String, threads: Int, date: String, model: String) {
            self.cpu = cpu
            self.kernel = kernel
            self.threads = threads
            self.date = date
            self.model = model
        }
    }

    /// The heads that attention was measured with; other shapes are priced in proportion to their width.
    public struct Heads: Sendable, Equatable {
        public var queryWidth: Int
        public var kvWidth: Int

        public init(queryWidth: Int, kvWidth: Int) {
            self.queryWidth = queryWidth
            self.kvWidth = kvWidth
        }
    }

    public var origin: Origin
    /// How long the fixed piece of work took that tells the machine's speed, in seconds; every figure holds at this speed.
    public var probe: Double
    public var limits: PhysicalLimits
    /// Seconds of a linear layer's products over m, n and k, by orientation.
    public var products: [Operator.Orientation: CostSurface]
    public var heads: Heads
    /// Seconds over queries and their mean context.
    public var attention: CostSurface
    public var attentionBackward: CostSurface
    /// Seconds over sequences and their mean context.
    public var decodeAttention: CostSurface
    /// Seconds of passes over memory by role, over values.
    public var passes: [Operator.Role: CostSurface]
    public var corrections: [WorkPhase: Correction]

    public init(
        origin: Origin, probe: Double, limits: PhysicalLimits, products: [Operator.Orientation: CostSurface],
        heads: Heads,
        attention: CostSurface, attentionBackward: CostSurface, decodeAttention: CostSurface,
        passes: [Operator.Role: CostSurface], corrections: [WorkPhase: Correction]
    ) {
        self.origin = origin
        self.probe = probe
        self.limits = limits
        self.products = products
        self.heads = heads
        self.attention = attention
        self.attentionBackward = attentionBackward
        self.decodeAttention = decodeAttention
        self.passes = passes
        self.corrections = corrections
    }
}

extension HardwareProfile {
    /// Takes other corrections. Work in place can be faster than by itself, where it finds its inputs in a cache: the limits
    /// allow for the fastest.
    public mutating func setCorrections(_ corrections: [WorkPhase: Correction]) {
        let reached = reachedLimits
        self.corrections = corrections
        limits = reached.scaled(by: 1 / fastest)
    }

    /// What operators by themselves reached, without allowance for work in place.
    var reachedLimits: PhysicalLimits { limits.scaled(by: fastest) }

    /// The least scale of all corrections, if work in place is faster by any.
    private var fastest: Double {
        min(1, corrections.values.flatMap { $0.scales + ($0.firstScales ?? []) }.min() ?? 1)
    }
}

/// Kinds of work whose operators meet different conditions.
public enum WorkPhase: String, Sendable, Hashable, CaseIterable {
    /// Iterations that only decode.
    case decode
    /// Iterations with a chunk of a prompt.
    case prefill
    case forward, loss, backward, optimizer

    public init(_ phase: TrainerPhase) {
        switch phase {
        case .forward, .recompute, .reference: self = .forward
        case .loss: self = .loss
        case .backward: self = .backward
        case .optimizer: self = .optimizer
        }
    }

    public init(_ iteration: ServingIteration) {
        self = iteration.slices.contains { $0.tokens.count > 1 } ? .prefill : .decode
    }
}
