/// Memory that training passes share, one pass at a time, and what they compute with.
///
/// Gradients of the residual stream and of K and V span the micro-batch; all other scratch is as long as the longest
/// unit of work.
public final class TrainingWorkspace {
    public let config: ModelConfig
    public let pool: ThreadPool
    /// Longest row range of one unit, forward or backward.
    public let unitRows: Int
    /// Loss rows whose logits exist at a time.
    public let lossChunk: Int
    /// Memory of activation blocks, reused between layers and passes.
    public let buffers: BufferPool

    let layer: DecoderLayer
    let stream = Scratch()
    let unit = Scratch()
    let lossMemory = Scratch()
    let recompute = Scratch()

    // Tables that units of work fill anew, in memory that they reuse.
    let tables = LayerTables()
    let gradientTable = RowTable()
    let segments = Table<KVSegment>()
    var segmentsOfSequences: [Range<Int>] = []
    var spans: [AttentionSpan] = []
    var gradientSpans: [Attention.GradientSpan] = []
    let losses = Table<Double>()

    /// A workspace beside a transformer's: same pool, same rotary tables.
    public init(_ transformer: Transformer, unitRows: Int = 512, lossChunk: Int = 128) {
        precondition(unitRows > 0 && lossChunk > 0, "a unit has at least one row")
        config = transformer.config
        pool = transformer.pool
        self.unitRows = unitRows
        self.lossChunk = lossChunk
        buffers = BufferPool()
        layer = DecoderLayer(config, rotary: transformer.rotary, pool: pool)
    }

    /// Floats of gradient per packed row of the micro-batch: of the residual stream, of K and of V.
    static func streamFloatsPerRow(_ config: ModelConfig) -> Int { config.hidden + 2 * config.keyWidth }

    /// Floats of scratch per row of a backward unit: two normalised rows, the fused projection's gradient, four of the
    /// attention output's width, four of the MLP's, head projections, an inverse root, and twice the widest x A^T.
    static func unitFloatsPerRow(_ config: ModelConfig, _ tuning: TuningMode) -> Int {
        2 * config.hidden + config.projectedWidth + (2 + Attention.queryGradientParts) * config.queryWidth
            + 4 * config.intermediate + config.heads + 1 + 2 * (tuning.lora?.innerWidth ?? 0)
    }

    /// Floats per row of a chunk of loss rows: logits, the final norm's input, output and output gradient.
    static func lossFloatsPerRow(_ config: ModelConfig) -> Int { config.vocabulary + 3 * config.hidden + 1 }

    /// Bytes that a micro-batch of `rows` packed rows needs here, beside its activation blocks, in units of at most
    /// `unitRows` rows, by default the workspace's.
    public func byteCount(_ tuning: TuningMode, rows: Int, unitRows: Int? = nil) -> Int {
        Self.byteCount(
            config, tuning, rows: rows, unitRows: unitRows ?? self.unitRows, lossChunk: lossChunk,
            threads: pool.width)
    }

    /// The same from the sizes alone, in floats: for each packed row the gradient of the residual stream and of K and V;
    /// for each row of a unit the backward scratch and the forward layer's; for each row of a loss chunk its logits and
    /// three of the stream's width; for each thread attention's tiles and partial results. Tables of pointers, some
    /// dozen bytes per row of a unit, are left out.
    public static func byteCount(
        _ config: ModelConfig, _ tuning: TuningMode, rows: Int, unitRows: Int, lossChunk: Int, threads: Int
    ) -> Int {
        let perUnitRow =
            unitFloatsPerRow(config, tuning) + DecoderLayer.scratchFloatsPerRow(config, tuning.lora)
        let tiles = Attention.scratchFloats(config.attentionShape, threads: threads, backward: true)
        let floats =
            rows * streamFloatsPerRow(config) + min(unitRows, rows) * perUnitRow
            + lossChunk * lossFloatsPerRow(config) + tiles
        return floats * MemoryLayout<Float>.stride
    }

    /// Bytes besides that a pass needs to compute again what `plan` has not kept: of the layer with the most of it.
    public static func recomputeByteCount(_ config: ModelConfig, _ plan: PassPlan, _ rows: PassRows) -> Int {
        RecomputePlaces.floats(config, plan, rows) * MemoryLayout<Float>.stride
    }

    /// Bytes of scratch held now: what the largest micro-batch so far needed, `byteCount` of it once its pass has
    /// reserved. Activation blocks are not part of it.
    public var scratchByteCount: Int {
        [stream, unit, lossMemory, recompute].reduce(layer.scratchByteCount) { $0 + $1.byteCount }
    }

    /// Bytes that a pass keeps of its own rows in one layer: an activation block, and K and V unless they are computed
    /// again.
    public static func activationByteCount(
        _ config: ModelConfig, rows: Int, queryRows: Int? = nil, plan: PassPlan = PassPlan()
    ) -> Int {
        let derived = DerivedPlanes.floatCount(config, rows: rows, queryRows: queryRows ?? rows)
        return ActivationBlock.byteCount(config, rows: rows, queryRows: queryRows, plan: plan.own)
            + (plan.keepsDerived ? derived * MemoryLayout<Float>.stride : 0)
            + (plan.own.savesKV ? KVBlock.byteCount(config, capacity: rows, layers: 1) : 0)
    }
}

/// Where the forward pass's results of some rows lie.
final class LayerTables {
    let x = RowTable()
    let q = RowTable()
    let o = RowTable()
    let lse = RowTable()
    let x2 = RowTable()
    let gateUp = RowTable()

    func begin(_ rows: Int) {
        x.begin(rows)
        q.begin(rows)
        o.begin(rows)
        lse.begin(rows)
        x2.begin(rows)
        gateUp.begin(rows)
    }

    func appendAttention(_ planes: QueryPlanes, row: Int) {
        q.append(planes.q.base + row * planes.q.stride)
        o.append(planes.o.base + row * planes.o.stride)
        lse.append(planes.lse.base + row * planes.lse.stride)
        x2.append(planes.x2.base + row * planes.x2.stride)
    }

    func appendGate(_ planes: QueryPlanes, row: Int) { gateUp.append(planes.gateUp.base + row * planes.gateUp.stride) }
}

/// Hands out consecutive matrices of scratch.
struct Planes {
    private var next: UnsafeMutablePointer<Float>
    private let rows: Int

    init(_ base: UnsafeMutablePointer<Float>, rows: Int) {
        next = base
        self.rows = rows
    }

    mutating func take(_ columns: Int) -> Matrix {
        defer { next += rows * columns }
        return Matrix(next, rows: rows, columns: columns)
    }
}
