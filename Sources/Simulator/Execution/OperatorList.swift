/// Lists the operators of plans: made once from a plan, whoever prices or runs it.
///
/// The list says what the engine does, operator by operator: B of each adapter by itself, norms and SwiGLU made again in
/// the backward pass, the last layer for the rows only whose output somebody reads. Lists of serving come in parts, so that a
/// pricer can remember what depends on the number of rows alone.
public struct OperatorList: Sendable {
    /// Loss rows whose logits exist at a time in the engine.
    public static let lossChunk = 64

    /// What is kept of what, and in how many bytes.
    let footprint: Footprint
    public let model: ModelShape
    public let tuning: Tuning
    /// What is kept between forward and backward.
    public let plans: SavePlans
    /// Bytes of one stored value.
    public let widths: ValueWidths
    /// Loss rows whose logits exist at a time: the head runs in chunks of this many rows.
    public let lossChunk: Int
    /// Whether the final norm and the choice of the next token take all rows at once; the engine takes one at a time.
    public let batchesRows: Bool
    /// The four matrix products of a layer.
    let linears: [Linear]
    /// The first of them in two: where not all rows want an output.
    let queries: Linear
    let keysAndValues: Linear

    public init(
        model: ModelShape, tuning: Tuning, plans: SavePlans = SavePlans(), widths: ValueWidths = .fp32,
        lossChunk: Int = OperatorList.lossChunk, batchesRows: Bool = false
    ) {
        self.init(
            Footprint(model: model, tuning: tuning, plans: plans, widths: widths), lossChunk: lossChunk,
            batchesRows: batchesRows)
    }

    public init(_ footprint: Footprint, lossChunk: Int = OperatorList.lossChunk, batchesRows: Bool = false) {
        self.lossChunk = lossChunk
        self.batchesRows = batchesRows
        self.footprint = footprint
        model = footprint.model
        tuning = footprint.tuning
        plans = footprint.plans
        widths = footprint.widths
        linears = Linear.all(of: model, tuning)
        queries = Linear.queries(of: model, tuning)
        keysAndValues = Linear.keysAndValues(of: model, tuning)
    }

    /// A linear layer, of one projection or of several fused ones.
    struct Linear: Sendable {
        let role: Operator.Role
        let inputs: Int
        let outputs: Int
        /// Outputs of each projection that has an adapter.
        let adapted: [Int]

        /// A layer that makes the outputs of `projections` from one input.
        private init(_ role: Operator.Role, _ projections: [Projection], of model: ModelShape, _ tuning: Tuning) {
            let shapes = projections.map { model.shape(of: $0) }
            self.role = role
            inputs = shapes[0].inputs
            outputs = shapes.reduce(0) { $0 + $1.outputs }
            guard case .lora(_, _, let targets) = tuning else {
                adapted = []
                return
            }
            adapted = zip(projections, shapes).filter { targets.contains($0.0) }.map(\.1.outputs)
        }

        static func all(of model: ModelShape, _ tuning: Tuning) -> [Linear] {
            [
                Linear(.qkv, [.query, .key, .value], of: model, tuning),
                Linear(.attentionOutput, [.output], of: model, tuning),
                Linear(.gateUp, [.gate, .up], of: model, tuning), Linear(.down, [.down], of: model, tuning),
            ]
        }

        static func queries(of model: ModelShape, _ tuning: Tuning) -> Linear {
            Linear(.qkv, [.query], of: model, tuning)
        }

        static func keysAndValues(of model: ModelShape, _ tuning: Tuning) -> Linear {
            Linear(.qkv, [.key, .value], of: model, tuning)
        }
    }

    /// Rank of the adapters; zero in full tuning.
    var rank: Int { if case .lora(let rank, _, _) = tuning { rank } else { 0 } }

    /// All operators of a plan.
    public func operators(of plan: StepPlan) -> [Operator] {
        var list: [Operator] = []
        forEachOperator(of: plan) { list.append($0) }
        return list
    }

    /// All operators of one unit of `microBatch`.
    public func operators(of unit: TrainerUnit, in microBatch: MicroBatch) -> [Operator] {
        var list: [Operator] = []
        forEachOperator(of: unit, in: microBatch) { list.append($0) }
        return list
    }

    public func forEachOperator(of plan: StepPlan, _ body: (Operator) -> Void) {
        switch plan {
        case .serve(let iteration): forEachOperator(of: iteration, body)
        case .train(let quantum):
            for unit in quantum.units { forEachOperator(of: unit, in: quantum.microBatch, body) }
        }
    }

    // MARK: Pieces

    func product(
        _ role: Operator.Role, _ orientation: Operator.Orientation = .forward, m: Int, n: Int, k: Int, count: Int = 1
    ) -> Operator {
        let matrix = orientation == .weightGradient ? widths.gradients : weightWidth(of: role)
        return Operator(
            role: role, kind: .product(orientation, m: m, n: n, k: k),
            flops: 2 * Double(m) * Double(n) * Double(k),
            bytes: Double((m * k + m * n) * widths.activations + n * k * matrix), count: count)
    }

    /// Head and adapters are never quantised.
    private func weightWidth(of role: Operator.Role) -> Int {
        switch role {
        case .head, .adapterA, .adapterB: widths.activations
        default: widths.weights
        }
    }

    /// A pass that makes `values` values and moves `moved` values to and from memory for each.
    func pass(_ role: Operator.Role, values: Int, moved: Int, count: Int = 1) -> Operator {
        Operator(
            role: role, kind: .pass(values: values), flops: 0, bytes: Double(values * moved * width(of: role)),
            count: count)
    }

    /// Bytes of each value that a pass moves.
    private func width(of role: Operator.Role) -> Int {
        switch role {
        case .optimizer: widths.optimizer
        case .gradientNorm: widths.gradients
        default: widths.activations
        }
    }

    func attention(queries: Int, pairs: Int, count: Int) -> Operator {
        Operator(
            role: .attention, kind: .attention(queries: queries, pairs: pairs),
            flops: 4 * Double(model.queryWidth) * Double(pairs),
            bytes: Double(2 * queries * (model.queryWidth * widths.activations + model.kvWidth * widths.kv)),
            count: count)
    }

    /// A layer's forward pass but for attention: K and V of `rows`, and the rest for the rows whose output is wanted.
    func forEachLayerOperator(rows: Int, outputRows: Int, count: Int, _ body: (Operator) -> Void) {
        forEachProjectionOperator(rows: rows, outputRows: outputRows, count: count, body)
        guard outputRows > 0 else { return }
        forEachResidualOperator(rows: outputRows, count: count, body)
        body(pass(.residual, values: outputRows * model.hidden, moved: 2, count: count))
        body(pass(.swiglu, values: outputRows * model.intermediate, moved: 3, count: count))
        forEachForwardProduct(linears[3], rows: outputRows, count: count, body)
    }

    /// Norm, K and V of `rows`, and q of the rows whose output is wanted.
    func forEachProjectionOperator(rows: Int, outputRows: Int, count: Int = 1, _ body: (Operator) -> Void) {
        body(pass(.norm, values: rows * model.hidden, moved: 2, count: count))
        if outputRows == rows {
            forEachForwardProduct(linears[0], rows: rows, count: count, body)
            body(pass(.rope, values: rows * model.qkvWidth, moved: 2, count: count))
            return
        }
        forEachForwardProduct(keysAndValues, rows: rows, count: count, body)
        body(pass(.rope, values: rows * 2 * model.kvWidth, moved: 2, count: count))
        if outputRows > 0 { forEachQueryOperator(rows: outputRows, count: count, body) }
    }

    /// q alone, from normalised values.
    func forEachQueryOperator(rows: Int, count: Int = 1, _ body: (Operator) -> Void) {
        forEachForwardProduct(queries, rows: rows, count: count, body)
        body(pass(.rope, values: rows * model.queryWidth, moved: 2, count: count))
    }

    /// From the attention output to gate and up.
    func forEachResidualOperator(rows: Int, count: Int = 1, _ body: (Operator) -> Void) {
        body(pass(.residual, values: rows * model.hidden, moved: 2, count: count))
        forEachForwardProduct(linears[1], rows: rows, count: count, body)
        forEachGateOperator(rows: rows, count: count, body)
    }

    /// Gate and up from the residual.
    func forEachGateOperator(rows: Int, count: Int = 1, _ body: (Operator) -> Void) {
        body(pass(.norm, values: rows * model.hidden, moved: 2, count: count))
        forEachForwardProduct(linears[2], rows: rows, count: count, body)
    }

    private func forEachForwardProduct(_ linear: Linear, rows: Int, count: Int, _ body: (Operator) -> Void) {
        body(product(linear.role, m: rows, n: linear.outputs, k: linear.inputs, count: count))
        guard !linear.adapted.isEmpty else { return }
        body(product(.adapterA, m: rows, n: rank * linear.adapted.count, k: linear.inputs, count: count))
        for outputs in linear.adapted { body(product(.adapterB, m: rows, n: outputs, k: rank, count: count)) }
    }
}

extension Range<Int> {
    /// (query, key) pairs when each position attends to itself and all before it.
    public var causalPairs: Int { count * (lowerBound + upperBound + 1) / 2 }
}
