import Engine

/// A sequence served by chunked prefill: its K and V, and the blocks that recorded each chunk.
struct ServedSequence {
    /// Chunks in order: their positions, one block per layer, the final norm's inputs of all their tokens.
    struct Chunk {
        let positions: Range<Int>
        let layers: [ActivationBlock]
        let final: FinalBlock
    }

    let kv: KVBlock
    let chunks: [Chunk]

    /// Serves the first `count` of `tokens` in chunks, each a batch of its own.
    init(
        _ tokens: [Int32], count: Int, chunk: Int, transformer: Transformer, parameters: ModelParameters
    ) {
        let config = transformer.config
        kv = KVBlock(config, capacity: max(count, 1))
        var chunks: [Chunk] = []
        for start in stride(from: 0, to: count, by: chunk) {
            let positions = start..<min(start + chunk, count)
            let served = Self.blank(config, positions)
            let slice = Self.slice(tokens, served, kv)
            _ = transformer.forward([slice], parameters)
            chunks.append(served)
        }
        self.chunks = chunks
    }

    private init(kv: KVBlock, chunks: [Chunk]) {
        self.kv = kv
        self.chunks = chunks
    }

    /// Serves several prompts together: batch after batch, one chunk of every unfinished prompt.
    static func together(
        _ prompts: [[Int32]], chunk: Int, transformer: Transformer, parameters: ModelParameters
    ) -> [ServedSequence] {
        let config = transformer.config
        let stores = prompts.map { KVBlock(config, capacity: max($0.count, 1)) }
        var chunks: [[Chunk]] = prompts.map { _ in [] }
        var start = 0
        while prompts.contains(where: { $0.count > start }) {
            var batch: [ServingSlice] = []
            for (index, prompt) in prompts.enumerated() where prompt.count > start {
                let served = blank(config, start..<min(start + chunk, prompt.count))
                batch.append(slice(prompt, served, stores[index]))
                chunks[index].append(served)
            }
            _ = transformer.forward(batch, parameters)
            start += chunk
        }
        return zip(stores, chunks).map { ServedSequence(kv: $0, chunks: $1) }
    }

    private static func blank(_ config: ModelConfig, _ positions: Range<Int>) -> Chunk {
        Chunk(
            positions: positions,
            layers: (0..<config.layers).map { _ in ActivationBlock(config, rows: positions.count) },
            final: FinalBlock(config, rows: positions.count))
    }

    private static func slice(_ tokens: [Int32], _ chunk: Chunk, _ kv: KVBlock) -> ServingSlice {
        ServingSlice(
            tokens: Array(tokens[chunk.positions]), start: chunk.positions.lowerBound,
            kv: [KVSpan(kv, count: chunk.positions.upperBound)],
            record: SliceRecord(layers: chunk.layers, final: chunk.final))
    }

    /// Attaches the chunks that `isKept` accepts to a pass, as sequence `index`, for one layer.
    func attach(to pass: TrainingPass, sequence index: Int, layer: Int, keeping isKept: (Int) -> Bool) {
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

    /// The positions of the chunks that `isKept` accepts.
    func recorded(keeping isKept: (Int) -> Bool) -> [Range<Int>] {
        chunks.enumerated().filter { isKept($0.offset) }.map(\.element.positions)
    }
}
