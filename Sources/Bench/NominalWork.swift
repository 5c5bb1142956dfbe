import Engine

/// FLOPs that a task needs, two per multiply-add of matrix products and attention; what an implementation does beyond
/// them (recomputed scores, recomputed norms, element-wise passes, AdamW) costs time and counts for nothing.
///
/// Causal attention counts the pairs that are seen, about half of all. Backward counts twice the forward, once where
/// weights are frozen. Of the last layer, only K and V of all rows are needed, and everything else of the rows whose
/// logits or loss are wanted.
struct NominalWork {
    let config: ModelConfig

    init(_ config: ModelConfig) { self.config = config }

    /// Forward FLOPs of a layer's products per token: K and V, and all others.
    private var keysAndValues: Double { 2 * Double(config.hidden * 2 * config.keyWidth) }
    private var rest: Double {
        2 * Double(2 * config.queryWidth * config.hidden + 3 * config.hidden * config.intermediate)
    }
    /// Forward FLOPs of the pairs (query, key) of one layer, all heads.
    private func attention(pairs: Double) -> Double { 4 * Double(config.queryWidth) * pairs }

    /// Pairs of the positions `from..<length` with themselves and all before.
    private static func pairs(from: Int, to length: Int) -> Double {
        (Double(length) * Double(length + 1) - Double(from) * Double(from + 1)) / 2
    }

    /// A prompt from position 0, with the logits of its last token.
    func prefill(length: Int) -> Double {
        let inner = Double(config.layers - 1)
        let all = Double(length)
        let products = inner * all * (keysAndValues + rest) + all * keysAndValues + rest
        let scores = inner * attention(pairs: Self.pairs(from: 0, to: length)) + attention(pairs: all)
        return products + scores + 2 * Double(config.hidden * config.vocabulary)
    }

    /// Bytes that one decoded token of each of `batch` sequences makes the machine read: all weights once, and each
    /// sequence's K and V.
    func decodedBytes(batch: Int, context: Int, weightBytes: Int) -> Double {
        Double(weightBytes + batch * context * config.kvByteCountPerToken)
    }

    /// FLOPs of all adapters of a layer per token: of q, k and v, of which the last layer needs those of k and v for all
    /// rows; and of the others. Each A multiplies an input, each B makes an output.
    private func adapters(rank: Int) -> (keysAndValues: Double, rest: Double) {
        let h = config.hidden
        let query = h + config.queryWidth
        let output = config.queryWidth + h
        let gateUp = 2 * h + 2 * config.intermediate
        let down = config.intermediate + h
        return (2 * Double(rank * (2 * h + 2 * config.keyWidth)), 2 * Double(rank * (query + output + gateUp + down)))
    }

    /// A training step's forward and backward over one sequence whose last `lossTokens` positions carry loss.
    func step(length: Int, lossTokens: Int, lora rank: Int?) -> Double {
        let all = Double(length)
        let lossRows = Double(lossTokens)
        // Layers that run whole.
        let inner = Double(config.layers - 1)
        let products = inner * all * (keysAndValues + rest) + all * keysAndValues + lossRows * rest
        let scores =
            inner * attention(pairs: Self.pairs(from: 0, to: length))
            + attention(pairs: Self.pairs(from: length - lossTokens, to: length))
        let head = 2 * Double(config.hidden * config.vocabulary) * lossRows
        guard let rank else { return 3 * (products + scores + head) }
        let own = adapters(rank: rank)
        let added = inner * all * (own.keysAndValues + own.rest) + all * own.keysAndValues + lossRows * own.rest
        // Frozen weights have no gradient; and below the first layer nothing needs one, so that its q, k and v products
        // and the A of its q, k and v do not run backward into their input.
        let inputs = products - all * 2 * Double(config.hidden * config.projectedWidth)
        let unused = all * 2 * Double(3 * rank * config.hidden)
        return products + inputs + 3 * scores + 2 * head + 3 * added - unused
    }
}
