/// A sequence that is served chunk by chunk, with everything recorded of the chunks: what reuse is checked and measured
/// with. Simulations keep records in pieces of their own.
package struct RecordedSequence {
    /// One block per layer, and the final norm's input of the tokens that carry loss: the last ones.
    package struct Chunk {
        package let positions: Range<Int>
        package let layers: [ActivationBlock]
        package let final: FinalBlock?
    }

    package let config: ModelConfig
    /// What is kept of each layer.
    package let plan: PassPlan
    /// The first position that carries loss.
    package let lossStart: Int
    package let kv: KVBlock
    /// The recorded chunks, in order.
    package private(set) var chunks: [Chunk] = []

    /// A sequence of at most `capacity` tokens, of which nothing has been served.
    package init(_ config: ModelConfig, capacity: Int, plan: PassPlan = PassPlan(), lossStart: Int = 0) {
        self.config = config
        self.plan = plan
        self.lossStart = lossStart
        kv = KVBlock(config, capacity: max(capacity, 1))
    }

    /// Serves the first `count` of `tokens` in chunks, each a batch of its own.
    package init(
        _ tokens: [Int32], count: Int, chunk: Int, transformer: Transformer, parameters: ModelParameters,
        plan: PassPlan = PassPlan(), lossStart: Int = 0
    ) {
        self.init(transformer.config, capacity: count, plan: plan, lossStart: lossStart)
        for start in stride(from: 0, to: count, by: chunk) {
            let slice = slice(tokens, start..<min(start + chunk, count))
            _ = transformer.forward([slice], parameters)
        }
    }

    /// The tokens at `positions`, which follow those served before, as part of a batch.
    package mutating func slice(_ tokens: [Int32], _ positions: Range<Int>, isRecorded: Bool = true) -> ServingSlice {
        var slice = ServingSlice(
            tokens: Array(tokens[positions]), start: positions.lowerBound,
            kv: [KVSpan(kv, count: positions.upperBound)])
        if isRecorded {
            let lossRows = max(0, positions.upperBound - max(positions.lowerBound, lossStart))
            let chunk = Chunk(
                positions: positions,
                layers: (0..<config.layers).map { layer in
                    let isLast = layer == config.layers - 1
                    return ActivationBlock(
                        config, rows: positions.count, queryRows: isLast ? lossRows : positions.count,
                        plan: plan.recorded(layer))
                },
                final: lossRows > 0 ? FinalBlock(config, rows: lossRows) : nil)
            chunks.append(chunk)
            slice.record = SliceRecord(layers: chunk.layers, final: chunk.final)
        }
        return slice
    }

    /// The positions of the chunks that `isKept` accepts, by their numbers.
    package func recorded(keeping isKept: (Int) -> Bool = { _ in true }) -> [Range<Int>] {
        chunks.enumerated().filter { isKept($0.offset) }.map(\.element.positions)
    }

    /// Attaches those chunks to a pass, as its sequence `index`, for one layer; with layer 0 their final norm's inputs.
    ///
    /// - Parameter positions: those that the sequence reads, by default all.
    package func attach(
        to pass: TrainingPass, sequence index: Int, layer: Int, within positions: Range<Int>? = nil,
        keeping isKept: (Int) -> Bool = { _ in true }
    ) {
        for (number, chunk) in chunks.enumerated() where isKept(number) {
            let own = chunk.positions.clamped(to: positions ?? chunk.positions)
            guard !own.isEmpty else { continue }
            let row = own.lowerBound - chunk.positions.lowerBound
            pass.attachKV(
                layer: layer, sequence: index,
                kv.segment(layer: layer, row: own.lowerBound, start: own.lowerBound, count: own.count))
            pass.attachActivations(
                layer: layer, sequence: index, positions: own, chunk.layers[layer], row: row)
            guard layer == 0, let final = chunk.final else { continue }
            let first = chunk.positions.upperBound - final.rows
            let kept = own.clamped(to: first..<chunk.positions.upperBound)
            guard !kept.isEmpty else { continue }
            pass.attachFinal(sequence: index, positions: kept, final, row: kept.lowerBound - first)
        }
    }
}
