internal import Engine
internal import Simulator

/// Real KV blocks and real records: follows the simulator's decisions about bytes with bytes.
///
/// "Device" and "host" are two sets of allocations in this machine's memory; a copy between them is a real copy, so
/// what training reads after an offload and a reload is what came through both.
final class RecordArena {
    private let config: ModelConfig
    private let blockTokens: Int
    private let buffers = BufferPool()
    private var blocks: [Int: KVBlock] = [:]
    private var requests: [Int: [KVBlock]] = [:]
    private var chunks: [ChunkID: ChunkData] = [:]

    private(set) var kv = ArenaMeter()
    private(set) var deviceRecords = ArenaMeter()
    private(set) var staged = ArenaMeter()
    private(set) var hostRecords = ArenaMeter()

    init(_ config: ModelConfig, blockTokens: Int) {
        self.config = config
        self.blockTokens = blockTokens
    }

    var isEmpty: Bool { blocks.isEmpty && requests.isEmpty && chunks.isEmpty }

    subscript(id: ChunkID) -> ChunkData? { chunks[id] }

    /// The K and V of the first `tokens` positions of a request.
    func spans(of request: Int, tokens: Int) -> [KVSpan] {
        let blocks = requests[request] ?? []
        return stride(from: 0, to: tokens, by: blockTokens).map { start in
            KVSpan(blocks[start / blockTokens], row: 0, count: min(blockTokens, tokens - start))
        }
    }

    // MARK: Making records

    private func begin(_ id: ChunkID, _ record: DataMovement.Record) throws(MeasuredBackendError) {
        var held: [KVBlock] = []
        for block in record.blocks {
            guard let block = blocks[block] else { throw .missing("KV block \(block)") }
            held.append(block)
        }
        let empty = [ChunkData.Copy](repeating: ChunkData.Copy(), count: config.layers + 1)
        var data = ChunkData(record: record, blocks: held, device: empty, host: empty, staged: empty)
        for layer in 0...config.layers { data.device[layer] = room(for: data, layer, part: .activations) }
        deviceRecords.add(data.device.reduce(0) { $0 + $1.byteCount })
        chunks[id] = data
    }

    /// Blocks for a part of a piece.
    private func room(for chunk: ChunkData, _ layer: Int, part: CopyJob.Part) -> ChunkData.Copy {
        var copy = ChunkData.Copy()
        let record = chunk.record
        guard layer < config.layers else {
            guard part != .kv, record.finalRows > 0 else { return copy }
            copy.final =
                record.grows
                ? (0..<record.finalRows).map { _ in takeFinal(rows: 1) } : [takeFinal(rows: record.finalRows)]
            return copy
        }
        if part != .kv { copy.activations = chunk.parts.map { takeActivations(rows: $0.count) } }
        if part != .activations { copy.kv = takeKV(rows: record.rows) }
        return copy
    }

    /// The blocks that serving writes a slice's activations to.
    func blocks(for slice: Simulator.ServingSlice) throws(MeasuredBackendError) -> SliceRecord? {
        guard let id = slice.record else { return nil }
        guard let chunk = chunks[id], let part = chunk.parts.firstIndex(of: slice.tokens) else {
            throw .missing("\(id) for positions \(slice.tokens)")
        }
        let final = chunk.device[config.layers].final
        return SliceRecord(
            layers: (0..<config.layers).map { chunk.device[$0].activations[part] },
            final: slice.finalRows > 0 ? final[part] : nil)
    }

    private func takeActivations(rows: Int) -> ActivationBlock {
        ActivationBlock(config, rows: rows, buffer: buffers.take(rows * ActivationBlock.floatsPerToken(config)))
    }

    private func takeFinal(rows: Int) -> FinalBlock {
        FinalBlock(config, rows: rows, buffer: buffers.take(rows * config.hidden))
    }

    private func takeKV(rows: Int) -> KVBlock {
        KVBlock(config, capacity: rows, layers: 1, buffer: buffers.take(rows * 2 * config.keyWidth))
    }

    private func give(_ copy: ChunkData.Copy) {
        for block in copy.activations { buffers.give(block.buffer) }
        for block in copy.final { buffers.give(block.buffer) }
        if let kv = copy.kv { buffers.give(kv.buffer) }
    }

    // MARK: Following decisions

    func follow(_ movement: DataMovement) throws(MeasuredBackendError) {
        switch movement {
        case .openRequest(let request, let ids):
            requests[request] = ids.map { id in
                let block = KVBlock(config, capacity: blockTokens, buffer: buffers.take(blockFloats))
                blocks[id] = block
                kv.add(block.byteCount)
                return block
            }
        case .closeRequest(let request): requests[request] = nil
        case .freeBlocks(let ids):
            for id in ids {
                guard let block = blocks.removeValue(forKey: id) else { throw .missing("KV block \(id)") }
                kv.remove(block.byteCount)
                buffers.give(block.buffer)
            }
        case .beganRecord(let id, let record): try begin(id, record)
        case .reservedOnHost(let id, let layers):
            for layer in layers { try reserveOnHost(id, layer) }
        case .copiedToHost(let id, let layer): try copyToHost(id, layer)
        case .freedOnHost(let id, let layers):
            for layer in layers { try free(id, layer, \.host, &hostRecords) }
        case .freedOnDevice(let id, let layer): try free(id, layer, \.device, &deviceRecords)
        case .copiedToDevice(let id, let layer, let part): try copyToDevice(id, layer, part)
        case .discarded(let id, let layer):
            try free(id, layer, \.device, &deviceRecords)
            try free(id, layer, \.host, &hostRecords)
            try free(id, layer, \.staged, &staged)
        case .unstaged(let id, let layer): try free(id, layer, \.staged, &staged)
        case .forgotten(let id): chunks[id] = nil
        }
    }

    private var blockFloats: Int { config.layers * blockTokens * 2 * config.keyWidth }

    private func free(
        _ id: ChunkID, _ layer: Int, _ place: WritableKeyPath<ChunkData, [ChunkData.Copy]>, _ meter: inout ArenaMeter
    ) throws(MeasuredBackendError) {
        guard let copy = chunks[id]?[keyPath: place][layer] else { throw .missing("\(id)") }
        meter.remove(copy.byteCount)
        give(copy)
        chunks[id]?[keyPath: place][layer] = ChunkData.Copy()
    }

    private func reserveOnHost(_ id: ChunkID, _ layer: Int) throws(MeasuredBackendError) {
        guard let chunk = chunks[id] else { throw .missing("\(id)") }
        let copy = room(for: chunk, layer, part: .all)
        hostRecords.add(copy.byteCount)
        chunks[id]?.host[layer] = copy
    }

    private func copyToHost(_ id: ChunkID, _ layer: Int) throws(MeasuredBackendError) {
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

    private func copyToDevice(_ id: ChunkID, _ layer: Int, _ part: CopyJob.Part) throws(MeasuredBackendError) {
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
