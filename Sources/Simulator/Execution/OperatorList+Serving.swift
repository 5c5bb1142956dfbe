extension OperatorList {
    func forEachOperator(of iteration: ServingIteration, _ body: (Operator) -> Void) {
        var (rows, wanted, emitted) = (0, 0, 0)
        var decoding = Decoding()
        for slice in iteration.slices {
            rows += slice.tokens.count
            wanted += slice.wantedRows
            if slice.emitsToken { emitted += 1 }
            decoding.add(slice)
        }
        guard rows > 0 else { return }
        forEachOperator(ofRows: rows, wanted: wanted, body)
        for slice in iteration.slices { forEachOperator(of: slice, body) }
        forEachOperator(of: decoding, body)
        if emitted > 0 { forEachOperator(ofEmitted: emitted, body) }
    }

    /// What an iteration of `rows` tokens executes whoever they belong to: embedding, and all layers but for attention.
    ///
    /// - Parameter wanted: tokens whose last-layer output somebody reads.
    public func forEachOperator(ofRows rows: Int, wanted: Int, _ body: (Operator) -> Void) {
        body(pass(.embedding, values: rows * model.hidden, moved: 2))
        if wanted == rows {
            forEachLayerOperator(rows: rows, outputRows: rows, count: model.layers, body)
            return
        }
        if model.layers > 1 { forEachLayerOperator(rows: rows, outputRows: rows, count: model.layers - 1, body) }
        forEachLayerOperator(rows: rows, outputRows: wanted, count: 1, body)
    }

    /// Attention of a slice of several tokens, and what its record takes.
    public func forEachOperator(of slice: ServingSlice, _ body: (Operator) -> Void) {
        let tokens = slice.tokens
        let wanted = tokens.upperBound - slice.wantedRows..<tokens.upperBound
        if tokens.count > 1 {
            let whole = wanted.count == tokens.count ? model.layers : model.layers - 1
            if whole > 0 { body(attention(queries: tokens.count, pairs: tokens.causalPairs, count: whole)) }
            if wanted.count > 1, wanted.count < tokens.count {
                body(attention(queries: wanted.count, pairs: wanted.causalPairs, count: 1))
            }
        }
        guard slice.record != nil else { return }
        for plan in SavePlan.allCases {
            let count = (0..<model.layers - 1).count { plans.recorded[$0] == plan }
            guard count > 0 else { continue }
            body(recordedActivations(plan, rows: tokens.count, queryRows: tokens.count, count: count))
        }
        let last = plans.recorded[model.layers - 1]
        body(recordedActivations(last, rows: tokens.count, queryRows: slice.finalRows))
        if slice.finalRows > 0 { body(recordedFinal(rows: slice.finalRows)) }
        // What leaves the device is rounded on the way.
        if footprint.narrowsKV { body(roundedKV(rows: tokens.count, count: model.layers)) }
    }

    /// Lone queries of an iteration, each over its own context: all at once in every layer.
    public struct Decoding {
        private(set) var sequences = 0
        private(set) var pairs = 0
        /// The same in the last layer: without those whose output nobody wants, and with the last tokens of slices of
        /// which only these are wanted.
        private(set) var lastSequences = 0
        private(set) var lastPairs = 0

        /// Zero if nothing decodes.
        public var meanContext: Double { sequences > 0 ? Double(pairs) / Double(sequences) : 0 }

        public init() {}

        /// One token of each of `sequences` sequences, all of which yield one.
        init(sequences: Int, pairs: Int) {
            (self.sequences, self.pairs) = (sequences, pairs)
            (lastSequences, lastPairs) = (sequences, pairs)
        }

        public mutating func add(_ slice: ServingSlice) {
            if slice.tokens.count == 1 {
                sequences += 1
                pairs += slice.tokens.upperBound
            }
            if slice.wantedRows == 1 {
                lastSequences += 1
                lastPairs += slice.tokens.upperBound
            }
        }
    }

    public func forEachOperator(of decoding: Decoding, _ body: (Operator) -> Void) {
        func attention(_ sequences: Int, _ pairs: Int, count: Int) {
            guard sequences > 0, count > 0 else { return }
            body(
                Operator(
                    role: .attention, kind: .decodeAttention(sequences: sequences, pairs: pairs),
                    flops: 4.0 * Double(model.queryWidth) * Double(pairs),
                    bytes: Double(2 * model.kvWidth * pairs * widths.kv), count: count))
        }
        attention(decoding.sequences, decoding.pairs, count: model.layers - 1)
        attention(decoding.lastSequences, decoding.lastPairs, count: 1)
    }

    /// Final norm, head and choice of the next token of `emitted` rows.
    public func forEachOperator(ofEmitted emitted: Int, _ body: (Operator) -> Void) {
        let (rows, count) = batchesRows ? (emitted, 1) : (1, emitted)
        body(pass(.norm, values: rows * model.hidden, moved: 2, count: count))
        body(product(.head, m: emitted, n: model.vocabulary, k: model.hidden))
        body(pass(.greedy, values: rows * model.vocabulary, moved: 1, count: count))
    }
}
