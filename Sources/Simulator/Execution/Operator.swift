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
        case .forward(_, let rows):
            let pairs = microBatch.pairs(ofFresh: rows)
            return layerProducts(rows: rows.count, count: 1)
                + [attention(queries: rows.count, pairs: pairs, count: 1), layerPasses(rows: rows.count, count: 1)]
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
        let pairs = microBatch.pairs(ofAll: rows)
        let queries = rows.count
        var list = [
            Operator(
                kind: .attentionBackward(queries: queries, pairs: pairs),
                flops: 10 * Double(model.queryWidth) * Double(pairs),
                bytes: Double((4 * queries * model.queryWidth + 4 * queries * model.kvWidth) * valueBytes), count: 1),
            pass(values: queries * (8 * model.hidden + 7 * model.intermediate + 2 * model.qkvWidth)),
        ]
        for (inputs, outputs, adapted) in fusedProducts {
            list.append(product(m: queries, n: inputs, k: outputs))
            switch tuning {
            case .full: list.append(product(m: outputs, n: inputs, k: queries))
            case .lora(let rank, _, _):
                guard !adapted.isEmpty else { continue }
                let ranks = rank * adapted.count
                let width = adapted.reduce(0, +)
                list += [
                    product(m: queries, n: ranks, k: inputs), product(m: queries, n: rank, k: width),
                    product(m: rank, n: width, k: queries), product(m: ranks, n: inputs, k: queries),
                    product(m: queries, n: inputs, k: ranks),
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

    private func layerProducts(rows: Int, count: Int) -> [Operator] {
        var list: [Operator] = []
        for (inputs, outputs, adapted) in fusedProducts {
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
    /// (query, key) pairs of a range of the packed rows of all tokens.
    public func pairs(ofAll rows: Range<Int>) -> Int {
        var base = 0
        var pairs = 0
        for sequence in sequences {
            let own = rows.clamped(to: base..<base + sequence.tokens)
            if !own.isEmpty { pairs += (own.lowerBound - base..<own.upperBound - base).causalPairs }
            base += sequence.tokens
        }
        return pairs
    }

    /// (query, key) pairs of a range of the packed fresh rows.
    public func pairs(ofFresh rows: Range<Int>) -> Int {
        var base = 0
        var pairs = 0
        for sequence in sequences {
            for gap in sequence.freshRanges {
                let own = rows.clamped(to: base..<base + gap.count)
                if !own.isEmpty {
                    let first = gap.lowerBound - base
                    pairs += (own.lowerBound + first..<own.upperBound + first).causalPairs
                }
                base += gap.count
            }
        }
        return pairs
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
