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
        precondition(
            !needsRecompute(layer: layer) || layers[layer].recomputeEnd == packing.rowCount,
            "what was not kept has not been computed again")
        guard !rows.isEmpty else { return }
        let n = packing.rowCount
        let kvGradient = Matrix(stream + n * config.hidden, rows: n, columns: 2 * config.keyWidth)
        if rows.upperBound == n { memset(kvGradient.base, 0, n * kvGradient.columns * MemoryLayout<Float>.stride) }
        BackwardUnit(self, layer: layer, rows: rows, kvGradient: kvGradient).run()
        layers[layer].backwardStart = rows.lowerBound
    }

    /// Finds the forward pass's results of packed `rows` at a layer, kept or computed again: the inputs of all, the others
    /// of all or of those with loss.
    fileprivate func locate(layer: Int, rows: Range<Int>, lossOnly: Bool) {
        let tables = workspace.tables
        let isLast = layer + 1 == config.layers
        let again = recomputePlaces(layer)
        let state = layers[layer]
        tables.begin(rows.count)
        var cursor = 0
        for row in rows {
            let isQuery = !lossOnly || packing.carriesLoss(row)
            guard !packing.isFresh(row) else {
                guard let block = state.block else { preconditionFailure("layer \(layer) has not run forward") }
                tables.x.append(block.x.base + packing.fresh.before[row] * block.x.stride)
                guard isQuery else { continue }
                let place = isLast ? packing.freshLoss.before[row] : packing.fresh.before[row]
                tables.appendAttention(plan.own.savesAttention ? block.planes : again.own, row: place)
                tables.appendGate(plan.own.savesGate ? block.planes : again.own, row: place)
                continue
            }
            let run = recordedRun(layer, row, &cursor)
            let held = run.row + row - run.rows.lowerBound
            tables.x.append(run.block.x.base + held * run.block.x.stride)
            guard isQuery else { continue }
            let place = isLast ? packing.recordedLoss.before[row] : packing.recorded.before[row]
            let kept = run.block.plan
            tables.appendAttention(
                kept.savesAttention ? run.block.planes : again.recorded,
                row: kept.savesAttention ? run.queryRow(held) : place)
            tables.appendGate(
                kept.savesGate ? run.block.planes : again.recorded, row: kept.savesGate ? run.queryRow(held) : place)
        }
    }
}

/// One layer's backward pass over some packed rows: operands, scratch, and the steps in order.
private struct BackwardUnit {
    let pass: TrainingPass
    let rows: Range<Int>
    /// Rows whose output has a gradient: in the last layer those that carry loss, otherwise all. The steps from the
    /// output down to attention work on these, in matrices of only these.
    let queryCount: Int
    /// Which of `rows` they are; nil for all.
    let queries: RowChoice?
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

    /// Norms' outputs and SwiGLU products, where those of all rows were kept.
    let derived: DerivedPlanes?

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
    let dq: [2 of Matrix]
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
        let losses = isLast ? packing.loss.range(in: rows) : rows
        let queryCount = losses.count
        let isPartial = queryCount < rows.count
        self.queryCount = queryCount
        queries = isPartial ? RowChoice(packing.loss.rows[losses], from: rows.lowerBound) : nil

        let fresh = packing.fresh.range(in: rows)
        // Rows that all run forward lie one behind another.
        derived =
            fresh.count == rows.count
            ? pass.ownDerived(layer)?.rows(fresh, queries: isLast ? packing.freshLoss.range(in: rows) : fresh) : nil
        pass.locate(layer: layer, rows: rows, lossOnly: isPartial)
        let tables = workspace.tables
        x = tables.x.rows
        // Of no rows any view will do.
        q = queryCount > 0 ? tables.q.rows : x
        o = queryCount > 0 ? tables.o.rows : x
        lse = queryCount > 0 ? tables.lse.rows : x
        x2 = queryCount > 0 ? tables.x2.rows : x
        gateUp = queryCount > 0 ? tables.gateUp.rows : x

        let count = rows.count
        dx = Matrix(pass.stream + rows.lowerBound * config.hidden, rows: count, columns: config.hidden)
        dOutput = dx.rows(from: 0, count: queryCount)
        var planes = Planes(pass.unitMemory(), rows: count)
        normed = planes.take(config.hidden)
        dNormed = planes.take(config.hidden)
        dProjected = planes.take(config.projectedWidth)
        gathered = planes.take(config.queryWidth).rows(from: 0, count: queryCount)
        dAttention = planes.take(config.queryWidth).rows(from: 0, count: queryCount)
        dq = [planes.take(config.queryWidth), planes.take(config.queryWidth)]
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
        let normed = derived?.mlpNormed ?? normed.rows(from: 0, count: count)
        let activated = derived?.activated ?? activated
        let dNormed = dNormed.rows(from: 0, count: count)
        MatrixProduct.inputGradient(dOutput, weights.down, dActivated, pool: pool)
        if derived == nil, isFull || adapters?.down != nil {
            SwiGLU.forward(gateUp: gateUp, y: activated.asRows, count: count, width: width, pool: pool)
        }
        if let gradients { MatrixProduct.weightGradient(dOutput, activated, gradients.down, pool: pool) }
        adapt(adapters?.down, adapterGradients?.down, x: activated, dy: dOutput, dx: dActivated)
        SwiGLU.backward(
            gateUp: gateUp, dy: dActivated.asRows, dGateUp: dGateUp.asRows, count: count, width: width, pool: pool)

        MatrixProduct.inputGradient(dGateUp, weights.gateUp, dNormed, pool: pool)
        if derived == nil, isFull || adapters?.gateUp != nil { normalise(x2, gain: weights.mlpNorm, into: normed) }
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
            for share in dq.indices { dq[share].scatter(queries) }
        }
        let own = kvGradient.rows(from: rows.lowerBound, count: rows.count)
        pass.packing.positions.withUnsafeBufferPointer { positions in
            guard let positions = positions.baseAddress else { return }
            pass.workspace.layer.rotary.backward(
                dq: [dq[0].asRows, dq[1].asRows], dk: own.asRows,
                dv: own.columns(from: config.keyWidth, count: config.keyWidth).asRows,
                positions: positions + rows.lowerBound, heads: pass.workspace.layer.heads, projected: dProjected,
                pool: pool)
        }
    }

    /// dq receives the gradients of the queries, kvGradient is added to.
    private func attend() {
        let attention = pass.workspace.layer.attention
        attention.outputProjections(
            dOutput: dAttention.asRows, o: o, projections: projections.asRows, count: queryCount)
        let gradients = Attention.Gradients(
            dOutput: dAttention.asRows, projections: projections.asRows, dq: [dq[0].asRows, dq[1].asRows])
        let spans = pass.gradientSpans(layer: layer, rows: rows, lossOnly: queries != nil, target: kvGradient)
        let packing = pass.packing
        let (positions, first) =
            queries == nil
            ? (packing.positions, rows.lowerBound)
            : (packing.loss.positions, packing.loss.before[rows.lowerBound])
        positions.withUnsafeBufferPointer { positions in
            guard let positions = positions.baseAddress else { return }
            attention.backward(
                q: q, lse: lse, positions: positions + first, spans: spans, gradients: gradients)
        }
    }

    /// dx becomes the gradient of x.
    private func projection() {
        if needsInput { MatrixProduct.inputGradient(dProjected, weights.projection, dNormed, pool: pool) }
        let normed = derived?.normed ?? normed
        if derived == nil, isFull || adapters?.projection != nil {
            normalise(x, gain: weights.attentionNorm, into: normed)
        }
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
