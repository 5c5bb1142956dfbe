/// The tensors of one layer's forward pass over some rows.
struct LayerRows {
    /// The layer's input [rows, hidden].
    let x: Matrix
    /// [rows, heads headSize]
    let q: Matrix
    // Of the rows whose output is wanted, in a matrix of only these.
    let o: Matrix
    let lse: Matrix
    let x2: Matrix
    let gateUp: Matrix
    /// The layer's output [wanted rows, hidden], the next layer's input.
    let output: Matrix
}

/// Where rows stand in their sequences, and where their K and V go.
struct RowPlacement {
    /// Position of each row.
    let positions: UnsafePointer<Int32>
    /// Row of K, and of V, that each row writes.
    let keys: Rows
    let values: Rows
    /// Rows whose output is wanted, ascending; nil for all. The others only leave K and V.
    var wanted: [Int]?
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
    private let queryTable = RowTable()

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

    /// output = x2 + down(swiglu(gate_up(norm(x2)))), x2 = x + o(attention(norm(x))); fills every tensor of `t` but x.
    func forward(_ t: LayerRows, _ placement: RowPlacement, weights: LayerTensors, adapters: LayerAdapters?) {
        project(t, placement, weights, adapters)
        guard t.output.rows > 0 else { return }
        guard let wanted = placement.wanted else {
            finish(t, x: t.x.asRows, q: t.q.asRows, placement, weights, adapters)
            return
        }
        precondition(wanted.count == t.output.rows, "an output for each wanted row")
        let x = inputTable.fill(wanted.count) { t.x.base + wanted[$0] * t.x.stride }
        let q = queryTable.fill(wanted.count) { t.q.base + wanted[$0] * t.q.stride }
        finish(t, x: x, q: q, placement, weights, adapters)
    }

    /// q, K and V of all rows.
    private func project(
        _ t: LayerRows, _ placement: RowPlacement, _ weights: LayerTensors, _ adapters: LayerAdapters?
    ) {
        let count = t.x.rows
        let h = config.hidden
        let normed = Matrix(normed.reserve(count * h), rows: count, columns: h)
        let projected = Matrix(
            projected.reserve(count * config.projectedWidth), rows: count, columns: config.projectedWidth)

        normalise(t.x, gain: weights.attentionNorm, into: normed)
        linear(normed, weights.projection, adapters?.projection, into: projected)
        rotary.forward(
            projected: projected, bias: weights.bias, positions: placement.positions, heads: heads,
            q: t.q.asRows, k: placement.keys, v: placement.values, pool: pool)
    }

    /// Attention and MLP of the wanted rows; `x` and `q` are theirs.
    private func finish(
        _ t: LayerRows, x: Rows, q: Rows, _ placement: RowPlacement, _ weights: LayerTensors,
        _ adapters: LayerAdapters?
    ) {
        let count = t.output.rows
        let h = config.hidden
        let normed = Matrix(normed.reserve(count * h), rows: count, columns: h)

        attention.forward(
            q: q, o: t.o.asRows, lse: t.lse.asRows, positions: placement.queryPositions, spans: placement.spans)
        Rows.copy(x, to: t.x2.asRows, count: count, width: h, pool: pool)
        linear(t.o, weights.output, adapters?.output, into: t.x2, accumulating: true)

        normalise(t.x2, gain: weights.mlpNorm, into: normed)
        linear(normed, weights.gateUp, adapters?.gateUp, into: t.gateUp)
        let activated = Matrix(
            activated.reserve(count * config.intermediate), rows: count, columns: config.intermediate)
        SwiGLU.forward(
            gateUp: t.gateUp.asRows, y: activated.asRows, count: count, width: config.intermediate, pool: pool)
        Rows.copy(t.x2.asRows, to: t.output.asRows, count: count, width: h, pool: pool)
        linear(activated, weights.down, adapters?.down, into: t.output, accumulating: true)
    }

    private func normalise(_ x: Matrix, gain: UnsafePointer<Float>, into y: Matrix) {
        RMSNorm.forward(
            x: x.asRows, gain: gain, epsilon: Float(config.rmsEpsilon), y: y.asRows, count: x.rows, width: x.columns,
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
