internal import Engine
internal import Simulator

/// Copies between the two sets of allocations, and what training reads of them.
extension RecordArena {
    func copyToHost(_ id: ChunkID, _ layer: Int) throws(MeasuredBackendError) {
        guard let chunk = chunks[id], chunk.host[layer].byteCount > 0 else { throw .missing("\(id) on the host") }
        let (source, target) = (chunk.device[layer], chunk.host[layer])
        for (from, to) in zip(source.activations, target.activations) { from.copyContents(to: to) }
        for (from, to) in zip(source.final, target.final) { from.copyContents(to: to) }
        guard let kv = target.kv else { return }
        for run in runs(of: chunk) {
            let rows = run.row..<run.row + run.count
            switch kv {
            case .plain(let kv):
                move(
                    run.block.bytes(layer: layer, rows: rows),
                    to: kv.bytes(layer: 0, rows: run.first..<run.first + run.count))
            case .narrow(let kv):
                rounding =
                    rounding + measured { kv.store(run.block, layer: layer, rows: rows, at: run.first, pool: pool) }
            }
        }
    }

    /// What rounding K and V that left the device took since the last call.
    func takeRounding() -> SimDuration {
        defer { rounding = .zero }
        return rounding
    }

    /// The chunk's tokens as runs within KV blocks: `count` tokens from the chunk's token `first` on, in the block from
    /// its row `row` on.
    private func runs(of chunk: ChunkData) -> [(block: KVBlock, row: Int, first: Int, count: Int)] {
        var runs: [(block: KVBlock, row: Int, first: Int, count: Int)] = []
        var position = chunk.tokens.lowerBound
        let firstBlock = position / blockTokens
        while position < chunk.tokens.upperBound {
            let row = position % blockTokens
            let count = min(blockTokens - row, chunk.tokens.upperBound - position)
            runs.append(
                (chunk.blocks[position / blockTokens - firstBlock], row, position - chunk.tokens.lowerBound, count))
            position += count
        }
        return runs
    }

    func copyToDevice(_ id: ChunkID, _ layer: Int, _ part: CopyJob.Part) throws(MeasuredBackendError) {
        guard let chunk = chunks[id], chunk.host[layer].byteCount > 0 else { throw .missing("\(id) on the host") }
        let source = chunk.host[layer]
        let target = room(for: chunk, layer, part: part)
        for (from, to) in zip(source.activations, target.activations) { from.copyContents(to: to) }
        for (from, to) in zip(source.final, target.final) { from.copyContents(to: to) }
        if let from = source.kv, let to = target.kv { from.copyContents(to: to) }
        staged.add(target.byteCount)
        if part != .kv { chunks[id]?.staged[layer].activations = target.activations }
        if part != .kv { chunks[id]?.staged[layer].final = target.final }
        if part != .activations { chunks[id]?.staged[layer].kv = target.kv }
    }

    // MARK: What training reads

    /// K and V of a part of a span: floats that attention can read where they are, or rows of a piece that is rounded.
    enum KVPart {
        case plain(KVSegment)
        case narrow(RecordPart<NarrowBlock>)
    }

    /// Positions of a span whose values lie from row `row` of a block on.
    struct RecordPart<Block> {
        let positions: Range<Int>
        let block: Block
        let row: Int
        /// The block's first position.
        var start: Int { positions.lowerBound - row }
        var rows: Range<Int> { row..<row + positions.count }
    }

    /// The K and V of a span at a layer: in the request's blocks while the chunk holds them, else as staged.
    func keysAndValues(of span: RecordedSpan, layer: Int) throws(MeasuredBackendError) -> [KVPart] {
        guard let chunk = chunks[span.chunk] else { throw .missing("\(span.chunk)") }
        guard chunk.device[layer].activations.isEmpty else {
            return runs(of: chunk).compactMap { run in
                let start = chunk.tokens.lowerBound + run.first
                let own = (start..<start + run.count).clamped(to: span.tokens)
                guard !own.isEmpty else { return nil }
                let row = run.row + own.lowerBound - start
                return .plain(run.block.segment(layer: layer, row: row, start: own.lowerBound, count: own.count))
            }
        }
        let row = span.tokens.lowerBound - chunk.tokens.lowerBound
        switch chunk.staged[layer].kv {
        case .plain(let kv):
            return [.plain(kv.segment(layer: 0, row: row, start: span.tokens.lowerBound, count: span.tokens.count))]
        case .narrow(let kv): return [.narrow(RecordPart(positions: span.tokens, block: kv, row: row))]
        case nil: throw .missing("K and V of \(span.chunk), layer \(layer)")
        }
    }

    /// The activations of a span at a layer: its positions, and where they are.
    func activations(
        of span: RecordedSpan, layer: Int
    ) throws(MeasuredBackendError) -> [RecordPart<Stored<ActivationBlock>>] {
        guard let chunk = chunks[span.chunk] else { throw .missing("\(span.chunk)") }
        let onDevice = chunk.device[layer].activations
        let blocks = onDevice.isEmpty ? chunk.staged[layer].activations : onDevice
        guard !blocks.isEmpty else { throw .missing("activations of \(span.chunk), layer \(layer)") }
        return zip(chunk.parts, blocks).compactMap { part, block in
            let own = part.clamped(to: span.tokens)
            return own.isEmpty
                ? nil : RecordPart(positions: own, block: block, row: own.lowerBound - part.lowerBound)
        }
    }

    /// The final norm's inputs that were kept of a span: their positions, and where they are.
    func final(of span: RecordedSpan) -> [RecordPart<Stored<FinalBlock>>] {
        guard let chunk = chunks[span.chunk] else { return [] }
        let onDevice = chunk.device[config.layers].final
        var start = chunk.tokens.upperBound - chunk.record.finalRows
        return (onDevice.isEmpty ? chunk.staged[config.layers].final : onDevice).compactMap { block in
            let part = start..<start + block.rows
            start = part.upperBound
            let own = part.clamped(to: span.tokens)
            return own.isEmpty
                ? nil : RecordPart(positions: own, block: block, row: own.lowerBound - part.lowerBound)
        }
    }
}
