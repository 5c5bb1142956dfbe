/// Prices single operators on an accelerator, or on several that share every layer.
struct AcceleratorPricer: Sendable {
    let accelerator: Accelerator
    let setting: AcceleratorSetting
    let model: ModelShape
    let widths: ValueWidths

    init(_ accelerator: Accelerator, _ setting: AcceleratorSetting, _ list: OperatorList) {
        self.accelerator = accelerator
        self.setting = setting
        model = list.model
        widths = list.widths
    }

    private var devices: Int { setting.tensorParallel }
    private func share(_ size: Int) -> Int { (size + devices - 1) / devices }

    /// Seconds of one execution.
    func seconds(of op: Operator) -> Double {
        switch op.kind {
        case .product(let orientation, let m, let n, let k): return product(op.role, orientation, m, n, k)
        case .attention(let queries, _):
            return accelerator.attention(
                queries: queries, flops: op.flops / Double(devices), bytes: op.bytes / Double(devices),
                share: accelerator.constants.attention.forward)
        case .attentionBackward(let queries, _):
            return accelerator.attention(
                queries: queries, flops: op.flops / Double(devices), bytes: op.bytes / Double(devices),
                share: accelerator.constants.attention.backward)
        case .decodeAttention:
            // Fewer heads of K and V than devices are kept more than once.
            let parts = Double(min(devices, model.kvHeads))
            return accelerator.decodeAttention(flops: op.flops / Double(devices), bytes: op.bytes / parts)
        case .pass(let values):
            let parts = isSplit(op.role) ? Double(devices) : 1
            let width = max(1, min(values, rowWidth(of: op.role)))
            return accelerator.pass(
                op.role, bytes: op.bytes * touched(by: op.role) / parts,
                rows: Double(values) * touched(by: op.role) / (Double(width) * parts), width: width)
        }
    }

    // MARK: Products

    /// Matrices are split by columns, those that follow attention and SwiGLU by rows; then partial sums are added over
    /// the devices (Shoeybi et al., 1909.08053, figure 3).
    private func product(
        _ role: Operator.Role, _ orientation: Operator.Orientation, _ m: Int, _ n: Int, _ k: Int
    ) -> Double {
        let byRows = role == .attentionOutput || role == .down
        let (n, k) = byRows ? (n, share(k)) : (share(n), k)
        let matrix = orientation == .weightGradient ? widths.gradients : weightWidth(of: role)
        let bytes = Double(m * (n + k) * widths.activations + n * k * matrix)
        let flops =
            isQuantised(role)
            ? accelerator.figures.flopsPerSecond8 ?? accelerator.figures.flopsPerSecond
            : accelerator.figures.flopsPerSecond
        let (rows, columns, depth) =
            switch orientation {
            case .forward: (m, n, k)
            case .inputGradient: (m, k, n)
            case .weightGradient: (n, k, m)
            }
        let seconds = accelerator.product(
            rows: rows, columns: columns, depth: depth, bytes: bytes, flopsPerSecond: flops)
        guard devices > 1, isSummed(orientation, byRows: byRows) else { return seconds }
        let outputs = orientation == .forward ? n : k
        return seconds + accelerator.allReduce(bytes: Double(m * outputs * widths.activations), devices: devices)
    }

    private func isSummed(_ orientation: Operator.Orientation, byRows: Bool) -> Bool {
        switch orientation {
        case .forward: byRows
        case .inputGradient: !byRows
        case .weightGradient: false
        }
    }

    private func isQuantised(_ role: Operator.Role) -> Bool {
        switch role {
        case .qkv, .attentionOutput, .gateUp, .down: widths.weights == 1
        default: false
        }
    }

    private func weightWidth(of role: Operator.Role) -> Int {
        switch role {
        case .head, .adapterA, .adapterB: widths.activations
        default: widths.weights
        }
    }

    // MARK: Passes

    /// Whether the devices share a pass: what lies between a product split by columns and one split by rows, and what
    /// works on parameters.
    private func isSplit(_ role: Operator.Role) -> Bool {
        switch role {
        case .rope, .ropeBackward, .swiglu, .swigluBackward, .attentionProjection, .biasGradient, .clear, .greedy,
            .loss,
            .recordCopy, .gradientNorm, .optimizer:
            true
        default: false
        }
    }

    /// The share of its operator's values that a pass touches: here rotation leaves V alone.
    private func touched(by role: Operator.Role) -> Double {
        switch role {
        case .rope, .ropeBackward: Double(model.queryWidth + model.kvWidth) / Double(model.qkvWidth)
        default: 1
        }
    }

    /// Values of one row, which one multiprocessor works on.
    private func rowWidth(of role: Operator.Role) -> Int {
        switch role {
        case .swiglu, .swigluBackward: share(model.intermediate)
        case .rope, .ropeBackward: share(model.queryWidth + model.kvWidth)
        case .optimizer, .gradientNorm, .clear, .recordCopy, .gather: 1
        case .greedy, .loss: share(model.vocabulary)
        default: model.hidden
        }
    }
}
