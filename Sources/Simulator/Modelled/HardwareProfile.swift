internal import Glibc

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

    /// How operators in place differ from operators by themselves: other caches, outputs that go to memory, threads that
    /// start and end. A piece of work takes `overhead + scale x` the sum of its operators.
    public struct Correction: Sendable, Equatable {
        /// Rows of an iteration, which are its sequences where it only decodes, ascending; and the scale at each: the engine
        /// takes other paths for other numbers of rows. A single scale holds for any number, as that of a unit of training
        /// does.
        public let rows: [Int]
        public let scales: [Double]
        /// Of decoding, at the same rows: the scale of an iteration right after other work, which has filled the caches with
        /// its own. Nil where that was not measured.
        public let firstScales: [Double]?
        /// Seconds of a serving iteration, or of a unit of training.
        public let overhead: Double

        public init(scale: Double, overhead: Double) {
            self.init(rows: [1], scales: [scale], overhead: overhead)
        }

        /// - Precondition: numbers that ascend from above zero, with a scale for each.
        public init(rows: [Int], scales: [Double], firstScales: [Double]? = nil, overhead: Double) {
            precondition(CostSurface.isAxis(rows) && rows.count == scales.count, "a scale for each number")
            precondition(firstScales.map { $0.count == scales.count } ?? true, "a first scale for each number")
            self.rows = rows
            self.scales = scales
            self.firstScales = firstScales
            self.overhead = overhead
        }

        public static let none = Correction(scale: 1, overhead: 0)

        /// Iterations in a row that only decode until the caches hold what can be held: the scale of the first of them goes
        /// over to that of this one in proportion to the logarithm of their number, as it was seen to (experiments/LOG.md).
        public static let settledDecodes = 8

        /// The scale for an iteration of so many rows: linear between nodes, that of the nearest one beyond them.
        ///
        /// - Parameter decodesBefore: iterations right before it that only decoded.
        public func scale(of count: Int, decodesBefore: Int = settledDecodes) -> Double {
            let settled = Self.value(at: count, of: scales, rows)
            guard let firstScales, decodesBefore + 1 < Self.settledDecodes else { return settled }
            let first = Self.value(at: count, of: firstScales, rows)
            let share = log2(Double(decodesBefore + 1)) / log2(Double(Self.settledDecodes))
            return first + share * (settled - first)
        }

        private static func value(at count: Int, of values: [Double], _ nodes: [Int]) -> Double {
            guard let high = nodes.firstIndex(where: { $0 >= count }) else { return values[values.count - 1] }
            guard high > 0 else { return values[0] }
            let weight = Double(count - nodes[high - 1]) / Double(nodes[high] - nodes[high - 1])
            return values[high - 1] + weight * (values[high] - values[high - 1])
        }

        /// The same with everything taking `factor` times as long.
        public func scaled(by factor: Double) -> Correction {
            Correction(
                rows: rows, scales: scales.map { $0 * factor },
                firstScales: firstScales.map { $0.map { $0 * factor } }, overhead: overhead * factor)
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
