import Engine

/// FLOPs that a task needs, two per multiply-add of matrix products and attention; what an implementation does beyond
/// them (recomputed scores, recomputed norms, element-wise passes, AdamW) costs time and counts for nothing.
///
/// Causal attention counts the pairs that are seen, about half of all. Backward counts twice the forward, once where
/// weights are frozen. Of the last layer, only q, K and V of all rows and the rest of the rows with loss are needed.
struct NominalWork {
    let config: ModelConfig

    init(_ config: ModelConfig) { self.config = config }

    /// Forward FLOPs of a layer's products per token: q, k and v, and all others.
    private var projection: Double { 2 * Double(config.hidden * config.projectedWidth) }
    private var rest: Double {
        2 * Double(config.queryWidth * config.hidden + 3 * config.hidden * config.intermediate)
    }
    /// Forward FLOPs of the pairs (query, key) of one layer, all heads.
    private func attention(pairs: Double) -> Double { 4 * Double(config.queryWidth) * pairs }

    /// Pairs of the positions `from..<length` with themselves and all before.
    private static func pairs(from: Int, to length: Int) -> Double {
        (Double(length) * Double(length + 1) - Double(from) * Double(from + 1)) / 2
    }

    /// A prompt from position 0, with the logits of its last token.
    func prefill(length: Int) -> Double {
        let layers = Double(config.layers)
        return layers * (Double(length) * (projection + rest) + attention(pairs: Self.pairs(from: 0, to: length)))
            + 2 * Double(config.hidden * config.vocabulary)
    }

    /// Bytes that one decoded token of each of `batch` sequences makes the machine read: all weights once, and each
    /// sequence's K and V.
    func decodedBytes(batch: Int, context: Int, weightBytes: Int) -> Double {
        Double(weightBytes + batch * context * config.kvByteCountPerToken)
    }

    /// Multiply-adds of all adapters of a layer per token: A's of the four inputs and B's of the seven outputs.
    private func adapters(rank: Int) -> (projection: Double, rest: Double) {
        let h = config.hidden
        let i = config.intermediate
        let projection = 3 * h + config.projectedWidth
        let output = config.queryWidth + h
        let gateUp = 2 * h + 2 * i
        let down = i + h
        return (2 * Double(rank * projection), 2 * Double(rank * (output + gateUp + down)))
    }

    /// A training step's forward and backward over one sequence whose last `lossTokens` positions carry loss.
    func step(length: Int, lossTokens: Int, lora rank: Int?) -> Double {
        let all = Double(length)
        let lossRows = Double(lossTokens)
        // Layers that run whole.
        let inner = Double(config.layers - 1)
        let allPairs = Self.pairs(from: 0, to: length)
        let lossPairs = Self.pairs(from: length - lossTokens, to: length)
        let products = inner * all * (projection + rest) + all * projection + lossRows * rest
        let scores = inner * attention(pairs: allPairs) + attention(pairs: lossPairs)
        let head = 2 * Double(config.hidden * config.vocabulary) * lossRows
        guard let rank else { return 3 * (products + scores + head) }
        let own = adapters(rank: rank)
        let added = inner * all * (own.projection + own.rest) + all * own.projection + lossRows * own.rest
        // Frozen weights have no gradient; and below the first layer nothing needs one, so that its q, k and v product
        // does not run backward.
        let inputs = products - all * projection
        return products + inputs + 3 * scores + 2 * head + 3 * added
    }
}
