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
            move(
                run.block.bytes(layer: layer, rows: run.row..<run.row + run.count),
                to: kv.bytes(layer: 0, rows: run.first..<run.first + run.count))
        }
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
        if let from = source.kv, let to = target.kv {
            let rows = 0..<from.capacity
            move(from.bytes(layer: 0, rows: rows), to: to.bytes(layer: 0, rows: rows))
        }
        staged.add(target.byteCount)
        if part != .kv { chunks[id]?.staged[layer].activations = target.activations }
        if part != .kv { chunks[id]?.staged[layer].final = target.final }
        if part != .activations { chunks[id]?.staged[layer].kv = target.kv }
    }

    // MARK: What training reads

    /// The K and V of a span at a layer: in the request's blocks while the chunk holds them, else as staged.
    func keysAndValues(of span: RecordedSpan, layer: Int) throws(MeasuredBackendError) -> [KVSegment] {
        guard let chunk = chunks[span.chunk] else { throw .missing("\(span.chunk)") }
        guard chunk.device[layer].activations.isEmpty else {
            return runs(of: chunk).compactMap { run in
                let start = chunk.tokens.lowerBound + run.first
                let own = (start..<start + run.count).clamped(to: span.tokens)
                guard !own.isEmpty else { return nil }
                let row = run.row + own.lowerBound - start
                return run.block.segment(layer: layer, row: row, start: own.lowerBound, count: own.count)
            }
        }
        guard let kv = chunk.staged[layer].kv else { throw .missing("K and V of \(span.chunk), layer \(layer)") }
        let row = span.tokens.lowerBound - chunk.tokens.lowerBound
        return [kv.segment(layer: 0, row: row, start: span.tokens.lowerBound, count: span.tokens.count)]
    }

    /// The activations of a span at a layer: its positions, and where they are.
    func activations(
        of span: RecordedSpan, layer: Int
    ) throws(MeasuredBackendError) -> [(positions: Range<Int>, block: ActivationBlock, row: Int)] {
        guard let chunk = chunks[span.chunk] else { throw .missing("\(span.chunk)") }
        let onDevice = chunk.device[layer].activations
        let blocks = onDevice.isEmpty ? chunk.staged[layer].activations : onDevice
        guard !blocks.isEmpty else { throw .missing("activations of \(span.chunk), layer \(layer)") }
        return zip(chunk.parts, blocks).compactMap { part, block in
            let own = part.clamped(to: span.tokens)
            return own.isEmpty ? nil : (own, block, own.lowerBound - part.lowerBound)
        }
    }

    /// The final norm's inputs that were kept of a span: their positions, and where they are.
    func final(of span: RecordedSpan) -> [(positions: Range<Int>, block: FinalBlock, row: Int)] {
        guard let chunk = chunks[span.chunk] else { return [] }
        let onDevice = chunk.device[config.layers].final
        var start = chunk.tokens.upperBound - chunk.record.finalRows
        return (onDevice.isEmpty ? chunk.staged[config.layers].final : onDevice).compactMap { block in
            let part = start..<start + block.rows
            start = part.upperBound
            let own = part.clamped(to: span.tokens)
            return own.isEmpty ? nil : (own, block, own.lowerBound - part.lowerBound)
        }
    }
}
