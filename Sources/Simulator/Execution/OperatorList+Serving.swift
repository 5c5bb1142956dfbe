extension OperatorList {
    func forEachOperator(of iteration: ServingIteration, _ body: (Operator) -> Void) {
        var rows = 0
        var emitted = 0
        var decoding = (sequences: 0, pairs: 0)
        for slice in iteration.slices {
            rows += slice.tokens.count
            if slice.emitsToken { emitted += 1 }
            if slice.tokens.count == 1 {
                decoding.sequences += 1
                decoding.pairs += slice.tokens.upperBound
            }
        }
        guard rows > 0 else { return }
        forEachOperator(ofRows: rows, body)
        for slice in iteration.slices { forEachOperator(of: slice, body) }
        if decoding.sequences > 0 { body(decodeAttention(sequences: decoding.sequences, pairs: decoding.pairs)) }
        if emitted > 0 { forEachOperator(ofEmitted: emitted, body) }
    }

    /// What an iteration of `rows` tokens executes whoever they belong to: embedding, and all layers but for attention.
    public func forEachOperator(ofRows rows: Int, _ body: (Operator) -> Void) {
        body(pass(.embedding, values: rows * model.hidden, moved: 2))
        forEachLayerOperator(rows: rows, outputRows: rows, count: model.layers, body)
    }

    /// Attention of a slice of several tokens, and what its record takes.
    public func forEachOperator(of slice: ServingSlice, _ body: (Operator) -> Void) {
        let count = slice.tokens.count
        if count > 1 { body(attention(queries: count, pairs: slice.tokens.causalPairs, count: model.layers)) }
        guard slice.record != nil else { return }
        body(pass(.recordCopy, values: count * recordedValuesPerToken, moved: 2, count: model.layers))
        if slice.finalRows > 0 { body(pass(.recordCopy, values: slice.finalRows * model.hidden, moved: 2)) }
    }

    /// Values that a record keeps of one token in one layer: x, q, o, its log-sum-exp, x2, gate and up.
    var recordedValuesPerToken: Int {
        2 * model.hidden + 2 * model.queryWidth + model.heads + 2 * model.intermediate
    }

    /// Attention of `sequences` single queries over `pairs` keys in all, in every layer.
    public func decodeAttention(sequences: Int, pairs: Int) -> Operator {
        Operator(
            role: .attention, kind: .decodeAttention(sequences: sequences, pairs: pairs),
            flops: 4.0 * Double(model.queryWidth) * Double(pairs),
            bytes: Double(2 * model.kvWidth * pairs * widths.kv), count: model.layers)
    }

    /// Final norm, head and choice of the next token of `emitted` rows.
    public func forEachOperator(ofEmitted emitted: Int, _ body: (Operator) -> Void) {
        let (rows, count) = batchesRows ? (emitted, 1) : (1, emitted)
        body(pass(.norm, values: rows * model.hidden, moved: 2, count: count))
        body(product(.head, m: emitted, n: model.vocabulary, k: model.hidden))
        body(pass(.greedy, values: rows * model.vocabulary, moved: 1, count: count))
    }
}
