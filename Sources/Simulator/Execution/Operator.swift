/// One operator of a quantum, with everything that its price depends on.
public struct Operator: Sendable, Hashable {
    public enum Kind: Sendable, Hashable {
        /// `m x k` times `k x n`.
        case matrixProduct(m: Int, n: Int, k: Int)
        /// Attention of `queries` rows over `pairs` (query, key) pairs in all.
        case attention(queries: Int, pairs: Int)
        case attentionBackward(queries: Int, pairs: Int)
        /// Attention of single queries, each over its own context; `pairs` is the sum of the contexts.
        case decodeAttention(sequences: Int, pairs: Int)
        /// A pass over memory.
        case elementwise
        case copy
    }

    public var kind: Kind
    /// Floating-point operations of one execution.
    public var flops: Double
    /// Bytes that one execution has to read and write at least.
    public var bytes: Double
    /// How many times the quantum executes it.
    public var count: Int
}

/// Lists the operators of plans: made once from a plan, whoever prices or runs it.
public struct OperatorList: Sendable {
    public let model: ModelShape
    public let tuning: Tuning
    /// Bytes of one stored value.
    public let valueBytes: Int

    public init(model: ModelShape, tuning: Tuning, valueBytes: Int = 4) {
        self.model = model
        self.tuning = tuning
        self.valueBytes = valueBytes
    }

    public func operators(of plan: StepPlan) -> [Operator] {
        switch plan {
        case .serve(let iteration): operators(of: iteration)
        case .train(let quantum): quantum.units.flatMap { operators(of: $0, in: quantum.microBatch) }
        }
    }

    // MARK: Serving

    private func operators(of iteration: ServingIteration) -> [Operator] {
        let rows = iteration.slices.reduce(0) { $0 + $1.tokens.count }
        guard rows > 0 else { return [] }
        var list = layerProducts(rows: rows, count: model.layers)
        var decoding = (sequences: 0, pairs: 0)
        for slice in iteration.slices {
            if slice.tokens.count == 1 {
                decoding.sequences += 1
                decoding.pairs += slice.tokens.upperBound
            } else {
                list.append(
                    attention(queries: slice.tokens.count, pairs: slice.tokens.causalPairs, count: model.layers))
            }
        }
        if decoding.sequences > 0 {
            let flops = 4.0 * Double(model.queryWidth) * Double(decoding.pairs)
            let bytes = Double(2 * model.kvWidth * decoding.pairs * valueBytes)
            list.append(
                Operator(
                    kind: .decodeAttention(sequences: decoding.sequences, pairs: decoding.pairs), flops: flops,
                    bytes: bytes, count: model.layers))
        }
        list.append(layerPasses(rows: rows, count: model.layers))
        let emitted = iteration.slices.reduce(0) { $0 + ($1.emitsToken ? 1 : 0) }
        if emitted > 0 { list.append(product(m: emitted, n: model.vocabulary, k: model.hidden)) }
        return list
    }

    // MARK: Training

    /// Operators of one unit of `microBatch`.
    public func operators(of unit: TrainerUnit, in microBatch: MicroBatch) -> [Operator] {
        switch unit {
        case .forward(let layer, let rows):
            let output =
                layer == model.layers - 1
                ? microBatch.lossQueries(ofFresh: rows) : (rows: rows.count, pairs: microBatch.pairs(ofFresh: rows))
            return layerProducts(rows: rows.count, outputRows: output.rows, count: 1)
                + [
                    attention(queries: output.rows, pairs: output.pairs, count: 1),
                    layerPasses(rows: rows.count, count: 1),
                ]
        case .loss(let rows):
            // Forward, gradient of the input and, in full tuning, gradient of the head.
            var list = [
                product(m: rows.count, n: model.vocabulary, k: model.hidden),
                product(m: rows.count, n: model.hidden, k: model.vocabulary),
                pass(values: 4 * rows.count * model.vocabulary),
            ]
            if case .full = tuning { list.append(product(m: model.vocabulary, n: model.hidden, k: rows.count)) }
            return list
        case .backward(let layer, let rows):
            return backward(layer: layer, rows: rows, in: microBatch)
        case .gradientNorm:
            return [pass(values: tuning.trainedParameters(of: model))]
        case .optimizer(let parameters):
            // Reads gradient, parameter and two moments; writes the last three and clears the gradient.
            return [pass(values: 8 * parameters.count)]
        }
    }

    private func backward(layer: Int, rows: Range<Int>, in microBatch: MicroBatch) -> [Operator] {
        // The gradient of the last layer's output is zero but for the rows with loss.
        let output =
            layer == model.layers - 1
            ? microBatch.lossQueries(ofAll: rows) : (rows: rows.count, pairs: microBatch.pairs(ofAll: rows))
        var list = [
            Operator(
                kind: .attentionBackward(queries: output.rows, pairs: output.pairs),
                flops: 10 * Double(model.queryWidth) * Double(output.pairs),
                bytes: Double((4 * output.rows * model.queryWidth + 4 * rows.count * model.kvWidth) * valueBytes),
                count: 1),
            pass(values: output.rows * (6 * model.hidden + 7 * model.intermediate)),
            pass(values: rows.count * (2 * model.hidden + 2 * model.qkvWidth)),
        ]
        for (index, (inputs, outputs, adapted)) in fusedProducts.enumerated() {
            let m = index == 0 ? rows.count : output.rows
            guard m > 0 else { continue }
            list.append(product(m: m, n: inputs, k: outputs))
            switch tuning {
            case .full: list.append(product(m: outputs, n: inputs, k: m))
            case .lora(let rank, _, _):
                guard !adapted.isEmpty else { continue }
                let ranks = rank * adapted.count
                let width = adapted.reduce(0, +)
                list += [
                    product(m: m, n: ranks, k: inputs), product(m: m, n: rank, k: width),
                    product(m: rank, n: width, k: m), product(m: ranks, n: inputs, k: m),
                    product(m: m, n: inputs, k: ranks),
                ]
            }
        }
        return list
    }

    // MARK: Pieces

    /// The four matrix products of a layer, each with the outputs of the adapted projections among its own.
    private var fusedProducts: [(inputs: Int, outputs: Int, adapted: [Int])] {
        func adapted(_ projections: Projection...) -> [Int] {
            guard case .lora(_, _, let targets) = tuning else { return [] }
            return projections.filter(targets.contains).map { model.shape(of: $0).outputs }
        }
        return [
            (model.hidden, model.qkvWidth, adapted(.query, .key, .value)),
            (model.queryWidth, model.hidden, adapted(.output)),
            (model.hidden, 2 * model.intermediate, adapted(.gate, .up)),
            (model.intermediate, model.hidden, adapted(.down)),
        ]
    }

    /// The products of a layer's forward: q, k and v of all rows, and the rest of those whose output is needed.
    private func layerProducts(rows: Int, outputRows: Int? = nil, count: Int) -> [Operator] {
        var list: [Operator] = []
        for (index, (inputs, outputs, adapted)) in fusedProducts.enumerated() {
            let rows = index == 0 ? rows : outputRows ?? rows
            guard rows > 0 else { continue }
            list.append(product(m: rows, n: outputs, k: inputs, count: count))
            if case .lora(let rank, _, _) = tuning, !adapted.isEmpty {
                list.append(product(m: rows, n: rank * adapted.count, k: inputs, count: count))
                list.append(product(m: rows, n: adapted.reduce(0, +), k: rank, count: count))
            }
        }
        return list
    }

    /// The element-wise passes of a layer's forward: two norms, RoPE, SwiGLU and two residual sums.
    private func layerPasses(rows: Int, count: Int) -> Operator {
        pass(values: rows * (8 * model.hidden + 2 * model.qkvWidth + 3 * model.intermediate), count: count)
    }

    private func product(m: Int, n: Int, k: Int, count: Int = 1) -> Operator {
        Operator(
            kind: .matrixProduct(m: m, n: n, k: k), flops: 2 * Double(m) * Double(n) * Double(k),
            bytes: Double((m * k + n * k + m * n) * valueBytes), count: count)
    }

    private func attention(queries: Int, pairs: Int, count: Int) -> Operator {
        Operator(
            kind: .attention(queries: queries, pairs: pairs), flops: 4 * Double(model.queryWidth) * Double(pairs),
            bytes: Double((2 * queries * model.queryWidth + 2 * queries * model.kvWidth) * valueBytes), count: count)
    }

    private func pass(values: Int, count: Int = 1) -> Operator {
        Operator(kind: .elementwise, flops: 0, bytes: Double(values * valueBytes), count: count)
    }
}

extension Range<Int> {
    /// (query, key) pairs when each position attends to itself and all before it.
    public var causalPairs: Int { count * (lowerBound + upperBound + 1) / 2 }
}

extension MicroBatch {
    /// The positions of each sequence that a range of the packed rows of all tokens covers.
    private func positions(ofAll rows: Range<Int>) -> [(sequence: TrainingSequencePlan, positions: Range<Int>)] {
        var base = 0
        return sequences.compactMap { sequence in
            defer { base += sequence.tokens }
            let own = rows.clamped(to: base..<base + sequence.tokens)
            return own.isEmpty ? nil : (sequence, own.lowerBound - base..<own.upperBound - base)
        }
    }

    /// The positions of each sequence that a range of the packed fresh rows covers.
    private func positions(ofFresh rows: Range<Int>) -> [(sequence: TrainingSequencePlan, positions: Range<Int>)] {
        var base = 0
        return sequences.flatMap { sequence in
            sequence.freshRanges.compactMap { gap in
                defer { base += gap.count }
                let own = rows.clamped(to: base..<base + gap.count)
                let first = gap.lowerBound - base
                return own.isEmpty ? nil : (sequence, own.lowerBound + first..<own.upperBound + first)
            }
        }
    }

    /// (query, key) pairs of a range of the packed rows of all tokens.
    public func pairs(ofAll rows: Range<Int>) -> Int {
        positions(ofAll: rows).reduce(0) { $0 + $1.positions.causalPairs }
    }

    /// (query, key) pairs of a range of the packed fresh rows.
    public func pairs(ofFresh rows: Range<Int>) -> Int {
        positions(ofFresh: rows).reduce(0) { $0 + $1.positions.causalPairs }
    }

    /// The rows with loss among a range of the packed rows, fresh or all, and the pairs that they form as queries. In the
    /// last layer only these have an output that anybody needs.
    func lossQueries(ofFresh rows: Range<Int>) -> (rows: Int, pairs: Int) { Self.lossQueries(positions(ofFresh: rows)) }
    func lossQueries(ofAll rows: Range<Int>) -> (rows: Int, pairs: Int) { Self.lossQueries(positions(ofAll: rows)) }

    private static func lossQueries(
        _ parts: [(sequence: TrainingSequencePlan, positions: Range<Int>)]
    ) -> (rows: Int, pairs: Int) {
        parts.reduce(into: (0, 0)) { sum, part in
            let own = part.positions.clamped(to: part.sequence.lossTokens)
            sum.0 += own.count
            sum.1 += own.isEmpty ? 0 : own.causalPairs
        }
    }
}

extension TrainingSequencePlan {
    /// Positions that run forward: what the recorded spans leave.
    public var freshRanges: [Range<Int>] {
        var ranges: [Range<Int>] = []
        var next = 0
        for span in recorded {
            if span.tokens.lowerBound > next { ranges.append(next..<span.tokens.lowerBound) }
            next = span.tokens.upperBound
        }
        if next < tokens { ranges.append(next..<tokens) }
        return ranges
    }
}
