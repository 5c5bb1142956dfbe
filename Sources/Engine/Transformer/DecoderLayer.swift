/// The tensors of one layer's forward pass over some rows.
struct LayerRows {
    /// The layer's input [rows, hidden].
    var x: Matrix
    // Of the rows whose output is wanted, in a matrix of only these.
    var q: Matrix
    var o: Matrix
    var lse: Matrix
    var x2: Matrix
    var gateUp: Matrix
    /// Where values that are cheap to make again go if they are kept.
    var derived: DerivedPlanes?

    init(x: Matrix, _ planes: QueryPlanes) {
        self.x = x
        q = planes.q
        o = planes.o
        lse = planes.lse
        x2 = planes.x2
        gateUp = planes.gateUp
    }

    /// Has the tensors after `x` that a plan keeps lie in `planes`.
    mutating func place(_ planes: QueryPlanes, keptBy plan: SavePlan) {
        if plan.savesAttention {
            q = planes.q
            o = planes.o
            lse = planes.lse
            x2 = planes.x2
        }
        if plan.savesGate { gateUp = planes.gateUp }
    }
}

/// Where rows stand in their sequences, and where their K and V go.
struct RowPlacement {
    /// Position of each row.
    let positions: UnsafePointer<Int32>
    /// Row of K, and of V, that each row writes.
    let keys: Rows
    let values: Rows
    /// Rows whose output is wanted; nil for all. The others only leave K and V.
    var wanted: RowChoice?
    /// Position of each wanted row.
    let queryPositions: UnsafePointer<Int32>
    /// Wanted rows by sequence, with the K and V they attend to, their own included.
    let spans: [AttentionSpan]
}

/// The forward pass of a decoder layer, the same for serving and training, and its scratch.
final class DecoderLayer {
    let config: ModelConfig
    let pool: ThreadPool
    let rotary: RotaryEmbedding
    let attention: Attention
    private let normed = Scratch()
    private let projected = Scratch()
    private let activated = Scratch()
    private let inner = Scratch()
    private let inputTable = RowTable()

    init(_ config: ModelConfig, rotary: RotaryEmbedding, pool: ThreadPool) {
        self.config = config
        self.pool = pool
        self.rotary = rotary
        attention = Attention(shape: config.attentionShape, pool: pool)
    }

    /// Bytes of scratch held, attention's tiles included.
    var scratchByteCount: Int {
        [normed, projected, activated, inner].reduce(attention.scratchByteCount) { $0 + $1.byteCount }
    }

    /// Makes room for `rows` rows, all of `scratchFloatsPerRow`.
    func reserve(rows: Int, _ lora: LoRAConfig?) {
        _ = normed.reserve(rows * config.hidden)
        _ = projected.reserve(rows * config.projectedWidth)
        _ = activated.reserve(rows * config.intermediate)
        _ = inner.reserve(rows * (lora?.innerWidth ?? 0))
    }

    /// Floats of scratch per row: a normalised row, the fused projection, the activated MLP row, and x A^T.
    static func scratchFloatsPerRow(_ config: ModelConfig, _ lora: LoRAConfig?) -> Int {
        config.hidden + config.projectedWidth + config.intermediate + (lora?.innerWidth ?? 0)
    }

    var heads: RotaryEmbedding.Heads { RotaryEmbedding.Heads(queries: config.heads, keys: config.kvHeads) }

    /// output = x2 + down(swiglu(gate_up(norm(x2)))), x2 = x + o(attention(norm(x))); fills every tensor of `t` but x, and
    /// `output` [wanted rows, hidden], the next layer's input.
    func forward(
        _ t: LayerRows, output: Matrix, _ placement: RowPlacement, weights: LayerTensors, adapters: LayerAdapters?
    ) {
        recompute(t, placement, weights: weights, adapters: adapters)
        let count = output.rows
        precondition(count == t.q.rows, "an output for each wanted row")
        guard count > 0 else { return }
        let activated =
            t.derived?.activated
            ?? Matrix(activated.reserve(count * config.intermediate), rows: count, columns: config.intermediate)
        SwiGLU.forward(
            gateUp: t.gateUp.asRows, y: activated.asRows, count: count, width: config.intermediate, pool: pool)
        Rows.copy(t.x2.asRows, to: output.asRows, count: count, width: config.hidden, pool: pool)
        linear(activated, weights.down, adapters?.down, into: output, accumulating: true)
    }

    /// The forward pass but for the layer's output: every tensor of `t` but x, K and V.
    func recompute(_ t: LayerRows, _ placement: RowPlacement, weights: LayerTensors, adapters: LayerAdapters?) {
        let x: Rows
        if let wanted = placement.wanted {
            precondition(wanted.count == t.q.rows, "tensors for each wanted row")
            project(t, placement, wanted, weights, adapters)
            guard wanted.count > 0 else { return }
            x = inputTable.fill(wanted.count) { t.x.base + wanted[$0] * t.x.stride }
        } else {
            project(t, placement, weights, adapters)
            x = t.x.asRows
        }
        attend(x, t, positions: placement.queryPositions, placement.spans, weights, adapters)
        gate(t.x2.asRows, into: t.gateUp, normed: t.derived?.mlpNormed, weights: weights, adapters: adapters)
    }

    /// The same for rows whose K and V are there: `x` are their inputs, `positions` theirs; `t.x` is not looked at.
    func recomputeQueries(
        x: Rows, _ t: LayerRows, positions: UnsafePointer<Int32>, spans: [AttentionSpan], weights: LayerTensors,
        adapters: LayerAdapters?
    ) {
        let count = t.q.rows
        let normed = Matrix(normed.reserve(count * config.hidden), rows: count, columns: config.hidden)
        normalise(x, gain: weights.attentionNorm, into: normed)
        queries(normed, into: t.q, positions: positions, weights, adapters)
        attend(x, t, positions: positions, spans, weights, adapters)
        gate(t.x2.asRows, into: t.gateUp, weights: weights, adapters: adapters)
    }

    /// gateUp = gate_up(norm(x2)); `normed` receives the norm's output where it is kept.
    func gate(
        _ x2: Rows, into gateUp: Matrix, normed kept: Matrix? = nil, weights: LayerTensors, adapters: LayerAdapters?
    ) {
        let count = gateUp.rows
        let normed = kept ?? Matrix(normed.reserve(count * config.hidden), rows: count, columns: config.hidden)
        normalise(x2, gain: weights.mlpNorm, into: normed)
        linear(normed, weights.gateUp, adapters?.gateUp, into: gateUp)
    }

    /// q, K and V of all rows, by one product.
    private func project(
        _ t: LayerRows, _ placement: RowPlacement, _ weights: LayerTensors, _ adapters: LayerAdapters?
    ) {
        let normed = normalised(t, weights)
        let projected = projectedRows(t.x.rows, columns: config.projectedWidth)
        linear(normed, weights.projection, adapters?.projection, into: projected)
        rotary.forward(
            projected: projected, bias: weights.bias, positions: placement.positions, heads: heads,
            q: t.q.asRows, k: placement.keys, v: placement.values, pool: pool)
    }

    /// K and V of all rows, and q of the wanted ones.
    private func project(
        _ t: LayerRows, _ placement: RowPlacement, _ wanted: RowChoice, _ weights: LayerTensors,
        _ adapters: LayerAdapters?
    ) {
        let normed = normalised(t, weights)
        let projected = projectedRows(t.x.rows, columns: 2 * config.keyWidth)
        linear(normed, weights.keysAndValues, adapters?.keysAndValues, into: projected)
        // Of no queries any rows will do.
        rotary.forward(
            projected: projected, bias: weights.bias.map { $0 + config.queryWidth }, positions: placement.positions,
            heads: RotaryEmbedding.Heads(queries: 0, keys: config.kvHeads), q: placement.keys, k: placement.keys,
            v: placement.values, pool: pool)
        guard wanted.count > 0 else { return }
        let source = inputTable.fill(wanted.count) { normed.base + wanted[$0] * normed.stride }
        // In ascending order, so that rows may move to the front of the memory that they lie in.
        let chosen = Matrix(
            self.normed.reserve(normed.rows * config.hidden), rows: wanted.count, columns: config.hidden)
        for row in 0..<wanted.count where source[row] != chosen.base + row * chosen.stride {
            (chosen.base + row * chosen.stride).update(from: source[row], count: config.hidden)
        }
        queries(chosen, into: t.q, positions: placement.queryPositions, weights, adapters)
    }

    /// q of normalised rows.
    private func queries(
        _ normed: Matrix, into q: Matrix, positions: UnsafePointer<Int32>, _ weights: LayerTensors,
        _ adapters: LayerAdapters?
    ) {
        linear(normed, weights.queries, adapters?.queries, into: q)
        rotary.forward(
            projected: q, bias: weights.bias, positions: positions,
            heads: RotaryEmbedding.Heads(queries: config.heads, keys: 0), q: q.asRows, k: q.asRows, v: q.asRows,
            pool: pool)
    }

    private func normalised(_ t: LayerRows, _ weights: LayerTensors) -> Matrix {
        let count = t.x.rows
        let normed =
            t.derived?.normed ?? Matrix(normed.reserve(count * config.hidden), rows: count, columns: config.hidden)
        normalise(t.x.asRows, gain: weights.attentionNorm, into: normed)
        return normed
    }

    private func projectedRows(_ count: Int, columns: Int) -> Matrix {
        Matrix(projected.reserve(count * config.projectedWidth), rows: count, columns: columns)
    }

    /// x2 = x + o(attention).
    private func attend(
        _ x: Rows, _ t: LayerRows, positions: UnsafePointer<Int32>, _ spans: [AttentionSpan], _ weights: LayerTensors,
        _ adapters: LayerAdapters?
    ) {
        attention.forward(
            q: t.q.asRows, o: t.o.asRows, lse: t.lse.asRows, positions: positions, spans: spans)
        Rows.copy(x, to: t.x2.asRows, count: t.x2.rows, width: config.hidden, pool: pool)
        linear(t.o, weights.output, adapters?.output, into: t.x2, accumulating: true)
    }

    private func normalise(_ x: Rows, gain: UnsafePointer<Float>, into y: Matrix) {
        RMSNorm.forward(
            x: x, gain: gain, epsilon: Float(config.rmsEpsilon), y: y.asRows, count: y.rows, width: y.columns,
            pool: pool)
    }

    private func linear(
        _ x: Matrix, _ w: Matrix, _ adapters: LoRAGroup?, into y: Matrix, accumulating: Bool = false
    ) {
        MatrixProduct.forward(x, w, y, accumulating: accumulating, pool: pool)
        guard let adapters else { return }
        let width = adapters.innerWidth
        let inner = Matrix(inner.reserve(x.rows * width), rows: x.rows, columns: width)
        adapters.forward(x: x, y: y, inner: inner, pool: pool)
    }
}
