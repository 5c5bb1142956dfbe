internal import Glibc

extension TrainingPass {
    /// Runs a layer backward for the packed rows `rows`, which precede those done before.
    ///
    /// Queries of `rows` contribute to the gradients of K and V at and before their positions; all later queries have
    /// contributed already, so that those of `rows` are complete and pass through the projections here.
    ///
    /// Into the last layer the gradient comes from the loss rows alone: MLP and attention run backward for them only,
    /// the projections of K and V for all.
    public func backward(layer: Int, rows: Range<Int>) {
        precondition(
            rows.upperBound == layers[layer].backwardStart && rows.lowerBound >= 0,
            "backward rows must descend without gaps")
        precondition(rows.count <= unitRows, "a unit has at most \(unitRows) rows")
        precondition(
            layer == config.layers - 1 || layers[layer + 1].backwardStart == 0, "the layer above is not finished")
        guard !rows.isEmpty else { return }
        let n = packing.rowCount
        let kvGradient = Matrix(stream + n * config.hidden, rows: n, columns: 2 * config.keyWidth)
        if rows.upperBound == n { memset(kvGradient.base, 0, n * kvGradient.columns * MemoryLayout<Float>.stride) }
        BackwardUnit(self, layer: layer, rows: rows, kvGradient: kvGradient).run()
        layers[layer].backwardStart = rows.lowerBound
    }

    /// Where the forward pass's results of packed `rows` lie at a layer.
    func places(layer: Int, rows: Range<Int>) -> [Place] {
        var runs = layers[layer].recorded.map { Place(rows: $0.rows, block: $0.block, row: $0.row, isOwn: false) }
        if let block = layers[layer].block {
            for (sequence, fresh) in packing.freshRuns.enumerated() {
                let start = packing.starts[sequence]
                for run in fresh {
                    let range = start + run.positions.lowerBound..<start + run.positions.upperBound
                    runs.append(Place(rows: range, block: block, row: run.row, isOwn: true))
                }
            }
        }
        var result: [Place] = []
        var next = rows.lowerBound
        for run in runs.sorted(by: { $0.rows.lowerBound < $1.rows.lowerBound }) {
            let part = run.rows.clamped(to: rows)
            guard !part.isEmpty else { continue }
            precondition(part.lowerBound == next, "activations of packed row \(next) are missing or attached twice")
            let row = run.row + part.lowerBound - run.rows.lowerBound
            result.append(Place(rows: part, block: run.block, row: row, isOwn: run.isOwn))
            next = part.upperBound
        }
        precondition(next == rows.upperBound, "activations of packed row \(next) are neither computed nor attached")
        return result
    }
}

/// Where the activations of some packed rows lie: from row `row` of `block` on, the pass's own or an attached one.
struct Place {
    let rows: Range<Int>
    let block: ActivationBlock
    let row: Int
    let isOwn: Bool
}

/// One layer's backward pass over some packed rows: operands, scratch, and the steps in order.
private struct BackwardUnit {
    let pass: TrainingPass
    let rows: Range<Int>
    /// Rows whose output has a gradient: in the last layer those that carry loss, otherwise all. The steps from the
    /// output down to attention work on these, in matrices of only these.
    let queryCount: Int
    /// Which of `rows` they are, counted from the first; nil for all.
    let queries: [Int]?
    let isFull: Bool
    /// Whether anything below needs the gradient of this layer's input.
    let needsInput: Bool
    let layer: Int
    let config: ModelConfig
    let pool: ThreadPool
    let weights: LayerTensors
    let gradients: LayerTensors?
    let adapters: LayerAdapters?
    let adapterGradients: LayerAdapters?

    // The forward pass's results, in place: `x` of all rows, the others of those with a gradient.
    let x: Rows
    let q: Rows
    let o: Rows
    let lse: Rows
    let x2: Rows
    let gateUp: Rows

    /// Gradient of the layer's output, in place that of its input; of all rows.
    let dx: Matrix
    /// Its first rows: between output and attention, those with a gradient.
    let dOutput: Matrix
    /// Gradients of K and V of all packed rows.
    let kvGradient: Matrix

    // Scratch of the unit, for all rows.
    let normed: Matrix
    let dNormed: Matrix
    let dProjected: Matrix
    let dq: [Matrix]
    // Scratch of the unit, for rows with a gradient.
    let gathered: Matrix
    let dAttention: Matrix
    let activated: Matrix
    let dActivated: Matrix
    let dGateUp: Matrix
    let projections: Matrix
    let inverses: Matrix
    let inner: UnsafeMutablePointer<Float>

    init(_ pass: TrainingPass, layer: Int, rows: Range<Int>, kvGradient: Matrix) {
        let config = pass.config
        let workspace = pass.workspace
        self.pass = pass
        self.rows = rows
        self.layer = layer
        self.config = config
        self.kvGradient = kvGradient
        pool = workspace.pool
        isFull = pass.gradients.weights != nil
        needsInput = isFull || layer > 0
        weights = pass.parameters.weights.layer(layer)
        gradients = pass.gradients.weightGradients(layer)
        adapters = pass.parameters.adapters?.layer(layer)
        adapterGradients = pass.gradients.adapterGradients(layer)

        let packing = pass.packing
        let isLast = layer + 1 == config.layers
        let losses = isLast ? packing.losses(in: rows) : rows
        let queryCount = losses.count
        let isPartial = queryCount < rows.count
        self.queryCount = queryCount
        queries = isPartial ? packing.lossRows[losses].map { $0 - rows.lowerBound } : nil

        let places = pass.places(layer: layer, rows: rows)
        var pointers: [UnsafeMutablePointer<Float>] = []
        pointers.reserveCapacity(rows.count)
        func table(_ index: Int, _ plane: (ActivationBlock) -> Matrix, ofAll: Bool, lossOnly: Bool) -> Rows {
            pointers.removeAll(keepingCapacity: true)
            for place in places {
                let matrix = plane(place.block)
                for offset in 0..<place.rows.count {
                    let packed = place.rows.lowerBound + offset
                    guard ofAll || packing.lossBefore[packed + 1] > packing.lossBefore[packed] else { continue }
                    let row = place.row + offset
                    let held = lossOnly && place.isOwn ? packing.freshLossBefore[row] : row
                    pointers.append(matrix.base + held * matrix.stride)
                }
            }
            // Of no rows any view will do.
            guard !pointers.isEmpty else { return Rows(pass.stream, stride: 0) }
            return workspace.tables[index].fill(pointers.count) { pointers[$0] }
        }
        x = table(0, \.x, ofAll: true, lossOnly: false)
        q = table(1, \.q, ofAll: !isPartial, lossOnly: false)
        o = table(2, \.o, ofAll: !isPartial, lossOnly: isLast)
        lse = table(3, \.lse, ofAll: !isPartial, lossOnly: isLast)
        x2 = table(4, \.x2, ofAll: !isPartial, lossOnly: isLast)
        gateUp = table(5, \.gateUp, ofAll: !isPartial, lossOnly: isLast)

        let count = rows.count
        dx = Matrix(pass.stream + rows.lowerBound * config.hidden, rows: count, columns: config.hidden)
        dOutput = dx.rows(from: 0, count: queryCount)
        var planes = Planes(pass.unitMemory(), rows: count)
        normed = planes.take(config.hidden)
        dNormed = planes.take(config.hidden)
        dProjected = planes.take(config.projectedWidth)
        gathered = planes.take(config.queryWidth).rows(from: 0, count: queryCount)
        dAttention = planes.take(config.queryWidth).rows(from: 0, count: queryCount)
        var shares: [Matrix] = []
        for _ in 0..<Attention.queryGradientParts { shares.append(planes.take(config.queryWidth)) }
        dq = shares
        activated = planes.take(config.intermediate).rows(from: 0, count: queryCount)
        dActivated = planes.take(config.intermediate).rows(from: 0, count: queryCount)
        dGateUp = planes.take(2 * config.intermediate).rows(from: 0, count: queryCount)
        projections = planes.take(config.heads).rows(from: 0, count: queryCount)
        inverses = planes.take(1)
        inner = planes.take(0).base
    }

    func run() {
        if let queries { dx.gather(queries) }
        if queryCount > 0 {
            mlp()
            attentionOutput()
        }
        if let queries { dx.scatter(queries) }
        guard needsInput || adapters?.projection != nil else { return }
        attention()
        projection()
        if layer == 0, isFull { embedding() }
    }

    /// dOutput becomes the gradient of x2.
    private func mlp() {
        let width = config.intermediate
        let count = queryCount
        let normed = normed.rows(from: 0, count: count)
        let dNormed = dNormed.rows(from: 0, count: count)
        MatrixProduct.inputGradient(dOutput, weights.down, dActivated, pool: pool)
        if isFull || adapters?.down != nil {
            SwiGLU.forward(gateUp: gateUp, y: activated.asRows, count: count, width: width, pool: pool)
        }
        if let gradients { MatrixProduct.weightGradient(dOutput, activated, gradients.down, pool: pool) }
        adapt(adapters?.down, adapterGradients?.down, x: activated, dy: dOutput, dx: dActivated)
        SwiGLU.backward(
            gateUp: gateUp, dy: dActivated.asRows, dGateUp: dGateUp.asRows, count: count, width: width, pool: pool)

        MatrixProduct.inputGradient(dGateUp, weights.gateUp, dNormed, pool: pool)
        if isFull || adapters?.gateUp != nil { normalise(x2, gain: weights.mlpNorm, into: normed) }
        if let gradients { MatrixProduct.weightGradient(dGateUp, normed, gradients.gateUp, pool: pool) }
        adapt(adapters?.gateUp, adapterGradients?.gateUp, x: normed, dy: dGateUp, dx: dNormed)
        normBackward(x2, gain: weights.mlpNorm, dy: dNormed, dx: dOutput, gradient: gradients?.mlpNorm)
    }

    /// dAttention becomes the gradient of the attention output.
    private func attentionOutput() {
        if needsInput || adapters?.projection != nil {
            MatrixProduct.inputGradient(dOutput, weights.output, dAttention, pool: pool)
        }
        guard isFull || adapters?.output != nil else { return }
        let output: Matrix
        if let inPlace = o.matrix(rows: queryCount, columns: config.queryWidth) {
            output = inPlace
        } else {
            Rows.copy(o, to: gathered.asRows, count: queryCount, width: config.queryWidth, pool: pool)
            output = gathered
        }
        if let gradients { MatrixProduct.weightGradient(dOutput, output, gradients.output, pool: pool) }
        adapt(adapters?.output, adapterGradients?.output, x: output, dy: dOutput, dx: dAttention)
    }

    /// dProjected becomes the gradient of the fused projection.
    private func attention() {
        if queryCount > 0 { attend() }
        if let queries {
            for share in dq { share.scatter(queries) }
        }
        let own = kvGradient.rows(from: rows.lowerBound, count: rows.count)
        pass.packing.positions.withUnsafeBufferPointer { positions in
            guard let positions = positions.baseAddress else { return }
            pass.workspace.layer.rotary.backward(
                dq: dq.map(\.asRows), dk: own.asRows,
                dv: own.columns(from: config.keyWidth, count: config.keyWidth).asRows,
                positions: positions + rows.lowerBound, heads: pass.workspace.layer.heads, projected: dProjected,
                pool: pool)
        }
    }

    /// dq receives the gradients of the queries, kvGradient is added to.
    private func attend() {
        let attention = pass.workspace.layer.attention
        let packing = pass.packing
        let width = config.keyWidth
        attention.outputProjections(
            dOutput: dAttention.asRows, o: o, projections: projections.asRows, count: queryCount)
        let gradients = Attention.Gradients(
            dOutput: dAttention.asRows, projections: projections.asRows, dq: dq.map(\.asRows))
        let first = queries == nil ? rows.lowerBound : packing.lossBefore[rows.lowerBound]
        let parts = packing.parts(of: rows).compactMap { part in
            let own = queries == nil ? part.rows : packing.losses(in: part.rows)
            return own.isEmpty ? nil : (sequence: part.sequence, rows: own.shifted(by: -first))
        }
        let ofSequence = parts.map { part in
            let start = packing.starts[part.sequence]
            return kvGradient.rows(from: start, count: packing.starts[part.sequence + 1] - start)
        }
        let spans = parts.map { ($0.rows, pass.segments(layer: layer, sequence: $0.sequence)) }
        let positions = queries.map { $0.map { packing.positions[rows.lowerBound + $0] } }
        (positions?[...] ?? packing.positions[rows]).withUnsafeBufferPointer { positions in
            guard let positions = positions.baseAddress else { return }
            pass.withSpans(spans) { spans in
                attention.backward(
                    q: q, lse: lse, positions: positions, spans: spans, gradients: gradients,
                    dKeys: ofSequence.map { $0.columns(from: 0, count: width) },
                    dValues: ofSequence.map { $0.columns(from: width, count: width) })
            }
        }
    }

    /// dx becomes the gradient of x.
    private func projection() {
        if needsInput { MatrixProduct.inputGradient(dProjected, weights.projection, dNormed, pool: pool) }
        if isFull || adapters?.projection != nil { normalise(x, gain: weights.attentionNorm, into: normed) }
        if let gradients {
            MatrixProduct.weightGradient(dProjected, normed, gradients.projection, pool: pool)
            if let bias = gradients.bias { ColumnSum.add(dProjected, to: bias, pool: pool) }
        }
        adapt(
            adapters?.projection, adapterGradients?.projection, x: normed, dy: dProjected,
            dx: needsInput ? dNormed : nil)
        guard needsInput else { return }
        normBackward(x, gain: weights.attentionNorm, dy: dNormed, dx: dx, gradient: gradients?.attentionNorm)
    }

    private func embedding() {
        guard let layout = pass.gradients.weights else { return }
        let target = Matrix(
            pass.gradients.buffer.base + layout.embedding, rows: config.vocabulary, columns: config.hidden)
        pass.packing.tokens.withUnsafeBufferPointer { tokens in
            Embedding.backward(
                dy: dx, tokens: UnsafeBufferPointer(rebasing: tokens[rows]), dTable: target, pool: pool)
        }
    }

    private func normalise(_ source: Rows, gain: UnsafePointer<Float>, into y: Matrix) {
        RMSNorm.forward(
            x: source, gain: gain, epsilon: Float(config.rmsEpsilon), y: y.asRows, count: y.rows,
            width: config.hidden, pool: pool)
    }

    /// Adds the gradient through a norm to dx, and in full tuning that of its gain.
    private func normBackward(
        _ source: Rows, gain: UnsafePointer<Float>, dy: Matrix, dx: Matrix, gradient: UnsafeMutablePointer<Float>?
    ) {
        RMSNorm.backward(
            x: source, gain: gain, epsilon: Float(config.rmsEpsilon), dy: dy.asRows, dx: dx.asRows,
            inverses: inverses.base, count: dy.rows, width: config.hidden, pool: pool)
        guard let gradient else { return }
        RMSNorm.gainGradient(
            x: source, dy: dy.asRows, inverses: inverses.base, dGain: gradient, count: dy.rows,
            width: config.hidden, pool: pool)
    }

    private func adapt(_ group: LoRAGroup?, _ gradient: LoRAGroup?, x: Matrix, dy: Matrix, dx: Matrix?) {
        guard let group, let gradient else { return }
        let width = group.innerWidth
        group.backward(
            x: x, dy: dy, dx: dx, gradient: gradient, inner: Matrix(inner, rows: x.rows, columns: width),
            dInner: Matrix(inner + x.rows * width, rows: x.rows, columns: width), pool: pool)
    }
}
