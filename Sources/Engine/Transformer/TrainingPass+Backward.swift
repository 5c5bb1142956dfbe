internal import Glibc

extension TrainingPass {
    /// Runs a layer backward for the packed rows `rows`, which precede those done before.
    ///
    /// Queries of `rows` contribute to the gradients of K and V at and before their positions; all later queries have
    /// contributed already, so that those of `rows` are complete and pass through the projections here.
    public func backward(layer: Int, rows: Range<Int>) {
        precondition(
            rows.upperBound == layers[layer].backwardStart && rows.lowerBound >= 0,
            "backward rows must descend without gaps")
        precondition(rows.count <= workspace.unitRows, "a unit has at most \(workspace.unitRows) rows")
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
    func places(layer: Int, rows: Range<Int>) -> [(block: ActivationBlock, row: Int, count: Int)] {
        var runs = layers[layer].recorded
        if let block = layers[layer].block {
            for (sequence, fresh) in packing.freshRuns.enumerated() {
                let start = packing.starts[sequence]
                for run in fresh {
                    let range = start + run.positions.lowerBound..<start + run.positions.upperBound
                    runs.append((range, block, run.row))
                }
            }
        }
        var result: [(block: ActivationBlock, row: Int, count: Int)] = []
        var next = rows.lowerBound
        for run in runs.sorted(by: { $0.rows.lowerBound < $1.rows.lowerBound }) {
            let part = run.rows.clamped(to: rows)
            guard !part.isEmpty else { continue }
            precondition(part.lowerBound == next, "activations of packed row \(next) are missing or attached twice")
            result.append((run.block, run.row + part.lowerBound - run.rows.lowerBound, part.count))
            next = part.upperBound
        }
        precondition(next == rows.upperBound, "activations of packed row \(next) are neither computed nor attached")
        return result
    }
}

/// One layer's backward pass over some packed rows: operands, scratch, and the steps in order.
private struct BackwardUnit {
    let pass: TrainingPass
    let rows: Range<Int>
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

    // The forward pass's results, in place.
    let x: Rows
    let q: Rows
    let o: Rows
    let lse: Rows
    let x2: Rows
    let gateUp: Rows

    /// Gradient of the layer's output, in place that of its input.
    let dx: Matrix
    /// Gradients of K and V of all packed rows.
    let kvGradient: Matrix

    // Scratch of the unit.
    let normed: Matrix
    let dNormed: Matrix
    let dProjected: Matrix
    let gathered: Matrix
    let dOutput: Matrix
    let dq: [Matrix]
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

        let places = pass.places(layer: layer, rows: rows)
        func table(_ index: Int, _ plane: (ActivationBlock) -> Matrix) -> Rows {
            var pointers: [UnsafeMutablePointer<Float>] = []
            pointers.reserveCapacity(rows.count)
            for place in places {
                let matrix = plane(place.block)
                for row in place.row..<place.row + place.count { pointers.append(matrix.base + row * matrix.stride) }
            }
            return workspace.tables[index].fill(rows.count) { pointers[$0] }
        }
        x = table(0, \.x)
        q = table(1, \.q)
        o = table(2, \.o)
        lse = table(3, \.lse)
        x2 = table(4, \.x2)
        gateUp = table(5, \.gateUp)

        let count = rows.count
        dx = Matrix(pass.stream + rows.lowerBound * config.hidden, rows: count, columns: config.hidden)
        let floats = TrainingWorkspace.unitFloatsPerRow(config, pass.tuning)
        var planes = Planes(
            workspace.unit.reserve(min(workspace.unitRows, pass.packing.rowCount) * floats), rows: count)
        normed = planes.take(config.hidden)
        dNormed = planes.take(config.hidden)
        dProjected = planes.take(config.projectedWidth)
        gathered = planes.take(config.queryWidth)
        dOutput = planes.take(config.queryWidth)
        var shares: [Matrix] = []
        for _ in 0..<Attention.queryGradientParts { shares.append(planes.take(config.queryWidth)) }
        dq = shares
        activated = planes.take(config.intermediate)
        dActivated = planes.take(config.intermediate)
        dGateUp = planes.take(2 * config.intermediate)
        projections = planes.take(config.heads)
        inverses = planes.take(1)
        inner = planes.take(0).base
    }

    func run() {
        mlp()
        attentionOutput()
        guard needsInput || adapters?.projection != nil else { return }
        attention()
        projection()
        if layer == 0, isFull { embedding() }
    }

    /// dx becomes the gradient of x2.
    private func mlp() {
        let width = config.intermediate
        let count = rows.count
        MatrixProduct.inputGradient(dx, weights.down, dActivated, pool: pool)
        if isFull || adapters?.down != nil {
            SwiGLU.forward(gateUp: gateUp, y: activated.asRows, count: count, width: width, pool: pool)
        }
        if let gradients { MatrixProduct.weightGradient(dx, activated, gradients.down, pool: pool) }
        adapt(adapters?.down, adapterGradients?.down, x: activated, dy: dx, dx: dActivated)
        SwiGLU.backward(
            gateUp: gateUp, dy: dActivated.asRows, dGateUp: dGateUp.asRows, count: count, width: width, pool: pool)

        MatrixProduct.inputGradient(dGateUp, weights.gateUp, dNormed, pool: pool)
        if isFull || adapters?.gateUp != nil { normalise(x2, gain: weights.mlpNorm) }
        if let gradients { MatrixProduct.weightGradient(dGateUp, normed, gradients.gateUp, pool: pool) }
        adapt(adapters?.gateUp, adapterGradients?.gateUp, x: normed, dy: dGateUp, dx: dNormed)
        normBackward(x2, gain: weights.mlpNorm, gradient: gradients?.mlpNorm)
    }

    /// dOutput becomes the gradient of the attention output.
    private func attentionOutput() {
        if needsInput || adapters?.projection != nil {
            MatrixProduct.inputGradient(dx, weights.output, dOutput, pool: pool)
        }
        guard isFull || adapters?.output != nil else { return }
        let output: Matrix
        if let inPlace = o.matrix(rows: rows.count, columns: config.queryWidth) {
            output = inPlace
        } else {
            Rows.copy(o, to: gathered.asRows, count: rows.count, width: config.queryWidth, pool: pool)
            output = gathered
        }
        if let gradients { MatrixProduct.weightGradient(dx, output, gradients.output, pool: pool) }
        adapt(adapters?.output, adapterGradients?.output, x: output, dy: dx, dx: dOutput)
    }

    /// dProjected becomes the gradient of the fused projection.
    private func attention() {
        let attention = pass.workspace.layer.attention
        let width = config.keyWidth
        attention.outputProjections(dOutput: dOutput.asRows, o: o, projections: projections.asRows, count: rows.count)
        let parts = pass.packing.parts(of: rows)
        let gradients = Attention.Gradients(
            dOutput: dOutput.asRows, projections: projections.asRows, dq: dq.map(\.asRows))
        let ofSequence = parts.map { part in
            let start = pass.packing.starts[part.sequence]
            return kvGradient.rows(from: start, count: pass.packing.starts[part.sequence + 1] - start)
        }
        pass.packing.positions.withUnsafeBufferPointer { positions in
            guard let positions = positions.baseAddress.map({ $0 + rows.lowerBound }) else { return }
            let spans = parts.map { part in
                (
                    rows: part.rows.lowerBound - rows.lowerBound..<part.rows.upperBound - rows.lowerBound,
                    segments: pass.segments(layer: layer, sequence: part.sequence)
                )
            }
            pass.withSpans(spans) { spans in
                attention.backward(
                    q: q, lse: lse, positions: positions, spans: spans, gradients: gradients,
                    dKeys: ofSequence.map { $0.columns(from: 0, count: width) },
                    dValues: ofSequence.map { $0.columns(from: width, count: width) })
            }
            let own = kvGradient.rows(from: rows.lowerBound, count: rows.count)
            pass.workspace.layer.rotary.backward(
                dq: dq.map(\.asRows), dk: own.asRows, dv: own.columns(from: width, count: width).asRows,
                positions: positions, heads: pass.workspace.layer.heads, projected: dProjected, pool: pool)
        }
    }

    /// dx becomes the gradient of x.
    private func projection() {
        if needsInput { MatrixProduct.inputGradient(dProjected, weights.projection, dNormed, pool: pool) }
        if isFull || adapters?.projection != nil { normalise(x, gain: weights.attentionNorm) }
        if let gradients {
            MatrixProduct.weightGradient(dProjected, normed, gradients.projection, pool: pool)
            if let bias = gradients.bias { ColumnSum.add(dProjected, to: bias, pool: pool) }
        }
        adapt(
            adapters?.projection, adapterGradients?.projection, x: normed, dy: dProjected,
            dx: needsInput ? dNormed : nil)
        if needsInput { normBackward(x, gain: weights.attentionNorm, gradient: gradients?.attentionNorm) }
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

    private func normalise(_ source: Rows, gain: UnsafePointer<Float>) {
        RMSNorm.forward(
            x: source, gain: gain, epsilon: Float(config.rmsEpsilon), y: normed.asRows, count: rows.count,
            width: config.hidden, pool: pool)
    }

    /// Adds the gradient through a norm to dx, and in full tuning that of its gain.
    private func normBackward(_ source: Rows, gain: UnsafePointer<Float>, gradient: UnsafeMutablePointer<Float>?) {
        RMSNorm.backward(
            x: source, gain: gain, epsilon: Float(config.rmsEpsilon), dy: dNormed.asRows, dx: dx.asRows,
            inverses: inverses.base, count: rows.count, width: config.hidden, pool: pool)
        guard let gradient else { return }
        RMSNorm.gainGradient(
            x: source, dy: dNormed.asRows, inverses: inverses.base, dGain: gradient, count: rows.count,
            width: config.hidden, pool: pool)
    }

    private func adapt(_ group: LoRAGroup?, _ gradient: LoRAGroup?, x: Matrix, dy: Matrix, dx: Matrix?) {
        guard let group, let gradient else { return }
        let width = group.innerWidth
        group.backward(
            x: x, dy: dy, dx: dx, gradient: gradient, inner: Matrix(inner, rows: rows.count, columns: width),
            dInner: Matrix(inner + rows.count * width, rows: rows.count, columns: width), pool: pool)
    }
}
