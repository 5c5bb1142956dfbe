/// What is kept of a layer's forward pass until its backward pass; whatever else that needs is computed again, from what is
/// kept and from K and V.
public enum SavePlan: String, Sendable, Hashable, Codable, CaseIterable {
    /// Everything that backward reads but what is cheap to make again: the layer's input, q, the attention output with
    /// its log-sum-exp, the residual between attention and MLP, gate and up. Normalised values and the SwiGLU product
    /// are made again, as selective recomputation does (Korthikanti et al., arXiv 2205.05198).
    case full
    /// Without gate and up, more than half of it: one product makes them again from the residual.
    case lean
    /// The layer's input alone.
    case boundary

    /// Whether q, the attention output, its log-sum-exp and the residual after it are kept.
    public var savesAttention: Bool { self != .boundary }
    /// Whether gate and up are kept.
    public var savesGate: Bool { self == .full }

    /// Whether a pass keeps K and V of its own rows.
    var savesKV: Bool { self != .boundary }

    /// Floats kept of each token.
    static func inputFloats(_ config: ModelConfig) -> Int { config.hidden }

    /// Floats kept besides of each token whose output is wanted.
    func queryFloats(_ config: ModelConfig) -> Int {
        (savesAttention ? Self.attentionFloats(config) : 0) + (savesGate ? 2 * config.intermediate : 0)
    }

    /// Floats that have to be computed again of each token whose output is wanted.
    func missingFloats(_ config: ModelConfig) -> Int { SavePlan.full.queryFloats(config) - queryFloats(config) }

    /// q, the attention output, its log-sum-exp, the residual after it.
    private static func attentionFloats(_ config: ModelConfig) -> Int {
        2 * config.queryWidth + config.heads + config.hidden
    }
}

/// What a training pass keeps, and what the records that are attached to it hold.
public struct PassPlan: Sendable, Hashable {
    /// Of the rows that the pass runs forward itself. Under `boundary` their K and V are computed again, too.
    public var own: SavePlan
    /// Whether normalised values and SwiGLU products of these rows are kept, too, so that backward does not make them
    /// again: what a framework does that records every operator's inputs.
    public var keepsDerived: Bool
    private var recorded: [SavePlan]

    /// - Parameter recorded: what records hold of each layer; empty where they hold all of all.
    /// - Precondition: what is derived is kept only beside everything else.
    public init(own: SavePlan = .full, keepsDerived: Bool = false, recorded: [SavePlan] = []) {
        precondition(!keepsDerived || own == .full, "derived values are kept beside everything else")
        self.own = own
        self.keepsDerived = keepsDerived
        self.recorded = recorded.allSatisfy { $0 == .full } ? [] : recorded
    }

    /// Of a pass that only scores: it keeps nothing of a layer that the next one has no use for.
    public static let scoring = PassPlan(own: .boundary)

    /// What records hold of a layer.
    public func recorded(_ layer: Int) -> SavePlan { recorded.isEmpty ? .full : recorded[layer] }
}

/// Numbers of rows of a micro-batch: those that run forward and those that are recorded, and how many of each carry loss.
public struct PassRows: Sendable, Hashable {
    public var fresh: Int
    public var freshLoss: Int
    public var recorded: Int
    public var recordedLoss: Int

    public init(fresh: Int, freshLoss: Int, recorded: Int, recordedLoss: Int) {
        self.fresh = fresh
        self.freshLoss = freshLoss
        self.recorded = recorded
        self.recordedLoss = recordedLoss
    }

    /// Rows whose output is wanted at a layer: in the last one those that carry loss.
    func queries(_ config: ModelConfig, layer: Int) -> (fresh: Int, recorded: Int) {
        layer + 1 == config.layers ? (freshLoss, recordedLoss) : (fresh, recorded)
    }
}

/// Where a layer's tensors lie that are computed again, in memory that all layers use in turn: those of the pass's own
/// rows, their K and V where these are not kept, and those of recorded rows.
struct RecomputePlaces {
    let own: QueryPlanes
    /// [fresh rows, 2 keyWidth]
    let kv: Matrix
    let recorded: QueryPlanes

    init(_ base: UnsafeMutablePointer<Float>, _ config: ModelConfig, _ plan: PassPlan, _ rows: PassRows, layer: Int) {
        let queries = rows.queries(config, layer: layer)
        own = QueryPlanes(missingFrom: plan.own, base, config, rows: queries.fresh)
        let afterOwn = base + queries.fresh * plan.own.missingFloats(config)
        kv = Matrix(afterOwn, rows: Self.kvRows(plan, rows), columns: 2 * config.keyWidth)
        recorded = QueryPlanes(
            missingFrom: plan.recorded(layer), afterOwn + kv.rows * kv.columns, config, rows: queries.recorded)
    }

    private static func kvRows(_ plan: PassPlan, _ rows: PassRows) -> Int { plan.own.savesKV ? 0 : rows.fresh }

    /// Floats that the layer with the most to compute again needs.
    static func floats(_ config: ModelConfig, _ plan: PassPlan, _ rows: PassRows) -> Int {
        let ofLayers = (0..<config.layers).map { layer in
            let queries = rows.queries(config, layer: layer)
            return queries.fresh * plan.own.missingFloats(config)
                + queries.recorded * plan.recorded(layer).missingFloats(config)
        }
        return (ofLayers.max() ?? 0) + kvRows(plan, rows) * 2 * config.keyWidth
    }
}
