internal import Engine
internal import Simulator

/// Real KV blocks and real records: follows the simulator's decisions about bytes with bytes.
///
/// "Device" and "host" are two sets of allocations in this machine's memory; a copy between them is a real copy, so
/// what training reads after an offload and a reload is what came through both.
final class RecordArena {
    private let config: ModelConfig
    private let plan: PassPlan
    private let blockTokens: Int
    private let buffers = BufferPool()
    private var blocks: [Int: ArenaBlock] = [:]
    private var requests: [Int: [ArenaBlock]] = [:]
    /// Copies of the blocks of requests that are swapped out.
    private var swapped: [Int: [ArenaBlock]] = [:]
    private var chunks: [ChunkID: ChunkData] = [:]

    private(set) var kv = ArenaMeter()
    private(set) var deviceRecords = ArenaMeter()
    private(set) var hostRecords = ArenaMeter()

    /// - Parameter plan: what is kept of recorded tokens.
    init(_ config: ModelConfig, plan: PassPlan, blockTokens: Int) {
        self.config = config
        self.plan = plan
        self.blockTokens = blockTokens
    }

    var isEmpty: Bool { blocks.isEmpty && requests.isEmpty && swapped.isEmpty && chunks.isEmpty }

    subscript(id: ChunkID) -> ChunkData? { chunks[id] }

    /// The K and V of the first `tokens` positions of a request.
    func spans(of request: Int, tokens: Int) -> [KVSpan] {
        let blocks = requests[request] ?? []
        return stride(from: 0, to: tokens, by: blockTokens).map { start in
            KVSpan(blocks[start / blockTokens].kv, row: 0, count: min(blockTokens, tokens - start))
        }
    }

    /// Notes which weights computed the K and V of some positions of a request.
    func note(_ tokens: Range<Int>, of request: Int, version: Int) {
        guard let blocks = requests[request] else { return }
        var position = tokens.lowerBound
        while position < tokens.upperBound {
            let row = position % blockTokens
            let count = min(blockTokens - row, tokens.upperBound - position)
            blocks[position / blockTokens].made.append((row..<row + count, version))
            position += count
        }
    }

    /// Which weights computed the K and V of the first `tokens` positions of a request.
    func versions(of request: Int, tokens: Int) -> [(tokens: Range<Int>, version: Int)] {
        (requests[request] ?? []).enumerated().flatMap { index, block in
            block.made.compactMap { rows, version in
                let first = index * blockTokens
                let positions = (rows.lowerBound + first..<rows.upperBound + first).clamped(to: 0..<tokens)
                return positions.isEmpty ? nil : (positions, version)
            }
        }
    }

    // MARK: Making records

    /// Blocks for the activations of a slice, to be written by serving.
    func beginRecord(_ id: ChunkID, slice: Simulator.ServingSlice) -> SliceRecord {
        let rows = slice.tokens.count
        var device = (0..<config.layers).map { layer in
            let isLast = layer == config.layers - 1
            return ChunkData.Copy(
                activations: takeActivations(
                    rows: rows, queryRows: isLast ? slice.finalRows : rows, plan: plan.recorded(layer)))
        }
        let final = slice.finalRows > 0 ? takeFinal(rows: slice.finalRows) : nil
        device.append(ChunkData.Copy(final: final))
        let empty = [ChunkData.Copy](repeating: ChunkData.Copy(), count: config.layers + 1)
        chunks[id] = ChunkData(
            request: slice.request, tokens: slice.tokens, blocks: (requests[slice.request] ?? []).map(\.kv),
            device: device,
            host: empty, staged: empty)
        deviceRecords.add(device.reduce(0) { $0 + $1.byteCount })
        return SliceRecord(layers: device.dropLast().map(\.activations), final: final)
    }

    private func takeActivations(rows: Int, queryRows: Int, plan: Engine.SavePlan) -> ActivationBlock {
        let floats = ActivationBlock.floatCount(config, rows: rows, queryRows: queryRows, plan: plan)
        return ActivationBlock(
            config, rows: rows, queryRows: queryRows, plan: plan, buffer: buffers.take(floats))
    }

    /// A block for a copy of `block`.
    private func takeActivations(like block: ActivationBlock) -> ActivationBlock {
        takeActivations(rows: block.rows, queryRows: block.queryRows, plan: block.plan)
    }

    private func takeFinal(rows: Int) -> FinalBlock {
        FinalBlock(config, rows: rows, buffer: buffers.take(rows * config.hidden))
    }

    private func takeKV(rows: Int) -> KVBlock {
        KVBlock(config, capacity: rows, layers: 1, buffer: buffers.take(rows * 2 * config.keyWidth))
    }

    private func give(_ copy: ChunkData.Copy) {
        for buffer in [copy.activations?.buffer, copy.kv?.buffer, copy.final?.buffer] {
            if let buffer { buffers.give(buffer) }
        }
    }

    // MARK: Following decisions

    func follow(_ movement: DataMovement) throws(MeasuredBackendError) {
        switch movement {
        case .extendRequest(let request, let ids):
            for id in ids {
                let block = takeBlock()
                blocks[id] = block
                kv.add(block.kv.byteCount)
                requests[request, default: []].append(block)
            }
        case .shareBlocks(let request, let ids):
            for id in ids { requests[request, default: []].append(try block(id)) }
        case .copyBlock(let source, let target, let tokens):
            try block(target).copy(try block(source), rows: tokens)
        case .closeRequest(let request): requests[request] = nil
        case .freeBlocks(let ids):
            for id in ids {
                guard let block = blocks.removeValue(forKey: id) else { throw .missing("KV block \(id)") }
                kv.remove(block.kv.byteCount)
                buffers.give(block.kv.buffer)
            }
        case .swappedOut(let request):
            swapped[request] = (requests.removeValue(forKey: request) ?? []).map { block in
                let copy = takeBlock()
                copy.copy(block, rows: blockTokens)
                return copy
            }
        case .swappedIn(let request):
            guard let copies = swapped.removeValue(forKey: request) else { throw .missing("request \(request)") }
            for (block, copy) in zip(requests[request] ?? [], copies) {
                block.copy(copy, rows: blockTokens)
                buffers.give(copy.kv.buffer)
            }
        case .copiedToHost(let id, let layer): try copyToHost(id, layer)
        case .freedOnDevice(let id, let layer): try free(id, layer, \.device, &deviceRecords)
        case .copiedToDevice(let id, let layer, let part): try copyToDevice(id, layer, part)
        case .discarded(let id, let layer):
            try free(id, layer, \.device, &deviceRecords)
            try free(id, layer, \.host, &hostRecords)
            try free(id, layer, \.staged, &deviceRecords)
        case .forgotten(let id): chunks[id] = nil
        }
    }

    private func block(_ id: Int) throws(MeasuredBackendError) -> ArenaBlock {
        guard let block = blocks[id] else { throw .missing("KV block \(id)") }
        return block
    }

    private func takeBlock() -> ArenaBlock {
        ArenaBlock(KVBlock(config, capacity: blockTokens, buffer: buffers.take(blockFloats)))
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

    private func copyToHost(_ id: ChunkID, _ layer: Int) throws(MeasuredBackendError) {
        guard let chunk = chunks[id] else { throw .missing("\(id)") }
        let source = chunk.device[layer]
        var copy = ChunkData.Copy()
        if let activations = source.activations {
            let target = takeActivations(like: activations)
            activations.copyContents(to: target)
            copy.activations = target
            copy.kv = gatherKV(of: chunk, layer)
        }
        if let final = source.final {
            let target = takeFinal(rows: final.rows)
            final.copyContents(to: target)
            copy.final = target
        }
        hostRecords.add(copy.byteCount)
        chunks[id]?.host[layer] = copy
    }

    /// K and V of the chunk's tokens out of the blocks of its request.
    private func gatherKV(of chunk: ChunkData, _ layer: Int) -> KVBlock {
        let target = takeKV(rows: chunk.tokens.count)
        var position = chunk.tokens.lowerBound
        while position < chunk.tokens.upperBound {
            let row = position % blockTokens
            let count = min(blockTokens - row, chunk.tokens.upperBound - position)
            let first = position - chunk.tokens.lowerBound
            move(
                chunk.blocks[position / blockTokens].bytes(layer: layer, rows: row..<row + count),
                to: target.bytes(layer: 0, rows: first..<first + count))
            position += count
        }
        return target
    }

    private func copyToDevice(_ id: ChunkID, _ layer: Int, _ part: CopyJob.Part) throws(MeasuredBackendError) {
        guard let source = chunks[id]?.host[layer], source.byteCount > 0 else { throw .missing("\(id) on the host") }
        var staged = ChunkData.Copy()
        if part != .kv, let activations = source.activations {
            let target = takeActivations(like: activations)
            activations.copyContents(to: target)
            staged.activations = target
        }
        if part != .kv, let final = source.final {
            let target = takeFinal(rows: final.rows)
            final.copyContents(to: target)
            staged.final = target
        }
        if part != .activations, let kv = source.kv {
            let target = takeKV(rows: kv.capacity)
            move(kv.bytes(layer: 0, rows: 0..<kv.capacity), to: target.bytes(layer: 0, rows: 0..<kv.capacity))
            staged.kv = target
        }
        deviceRecords.add(staged.byteCount)
        let known = chunks[id]?.staged[layer] ?? ChunkData.Copy()
        chunks[id]?.staged[layer] = ChunkData.Copy(
            activations: staged.activations ?? known.activations, kv: staged.kv ?? known.kv,
            final: staged.final ?? known.final)
    }

    // MARK: What training reads

    /// The K and V of a chunk at a layer: in the request's blocks while the chunk holds them, else as staged.
    func keysAndValues(of id: ChunkID, layer: Int) throws(MeasuredBackendError) -> [KVSegment] {
        guard let chunk = chunks[id] else { throw .missing("\(id)") }
        if chunk.device[layer].activations == nil {
            guard let kv = chunk.staged[layer].kv else { throw .missing("K and V of \(id), layer \(layer)") }
            return [kv.segment(layer: 0, start: chunk.tokens.lowerBound, count: chunk.tokens.count)]
        }
        var segments: [KVSegment] = []
        var position = chunk.tokens.lowerBound
        while position < chunk.tokens.upperBound {
            let row = position % blockTokens
            let count = min(blockTokens - row, chunk.tokens.upperBound - position)
            segments.append(
                chunk.blocks[position / blockTokens].segment(layer: layer, row: row, start: position, count: count))
            position += count
        }
        return segments
    }

    func activations(of id: ChunkID, layer: Int) throws(MeasuredBackendError) -> ActivationBlock {
        guard let block = chunks[id]?.device[layer].activations ?? chunks[id]?.staged[layer].activations else {
            throw .missing("activations of \(id), layer \(layer)")
        }
        return block
    }

    /// The final norm's input of the last rows of a chunk, if any were kept.
    func final(of id: ChunkID) -> FinalBlock? {
        chunks[id]?.device[config.layers].final ?? chunks[id]?.staged[config.layers].final
    }
}
