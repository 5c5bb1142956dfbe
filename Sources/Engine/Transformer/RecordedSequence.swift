/// A sequence that is served chunk by chunk, with everything recorded of the chunks: what reuse is checked and measured
/// with. Simulations keep records in pieces of their own.
package struct RecordedSequence {
    /// One block per layer, and the final norm's input of every token.
    package struct Chunk {
        package let positions: Range<Int>
        package let layers: [ActivationBlock]
        package let final: FinalBlock
    }

    package let config: ModelConfig
    package let kv: KVBlock
    /// The recorded chunks, in order.
    package private(set) var chunks: [Chunk] = []

    /// A sequence of at most `capacity` tokens, of which nothing has been served.
    package init(_ config: ModelConfig, capacity: Int) {
        self.config = config
        kv = KVBlock(config, capacity: max(capacity, 1))
    }

    /// Serves the first `count` of `tokens` in chunks, each a batch of its own.
    package init(
        _ tokens: [Int32], count: Int, chunk: Int, transformer: Transformer, parameters: ModelParameters
    ) {
        self.init(transformer.config, capacity: count)
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
            let chunk = Chunk(
                positions: positions,
                layers: (0..<config.layers).map { _ in ActivationBlock(config, rows: positions.count) },
                final: FinalBlock(config, rows: positions.count))
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
    package func attach(
        to pass: TrainingPass, sequence index: Int, layer: Int, keeping isKept: (Int) -> Bool = { _ in true }
    ) {
        for (number, chunk) in chunks.enumerated() where isKept(number) {
            let start = chunk.positions.lowerBound
            pass.attachKV(
                layer: layer, sequence: index,
                kv.segment(layer: layer, row: start, start: start, count: chunk.positions.count))
            pass.attachActivations(
                layer: layer, sequence: index, positions: chunk.positions, chunk.layers[layer])
            if layer == 0 { pass.attachFinal(sequence: index, positions: chunk.positions, chunk.final) }
        }
    }
}
