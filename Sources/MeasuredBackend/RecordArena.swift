internal import Engine
internal import Simulator

/// Real KV blocks and real records: follows the simulator's decisions about bytes with bytes.
///
/// "Device" and "host" are two sets of allocations in this machine's memory; a copy between them is a real copy, so
/// what training reads after an offload and a reload is what came through both.
final class RecordArena {
    let config: ModelConfig
    private let plan: PassPlan
    /// What records are rounded to, and K and V that leave the device; nil where they are not.
    private let activationPrecision: NarrowPrecision?
    private let kvPrecision: NarrowPrecision?
    let pool: ThreadPool
    let blockTokens: Int
    private let buffers = BufferPool()
    private var blocks: [Int: ArenaBlock] = [:]
    private var requests: [Int: [ArenaBlock]] = [:]
    /// Copies of the blocks of requests that are swapped out.
    private var swapped: [Int: [ArenaBlock]] = [:]
    var chunks: [ChunkID: ChunkData] = [:]

    /// Time that rounding K and V has taken and that nobody has been charged for.
    var rounding = SimDuration.zero

    private(set) var kv = ArenaMeter()
    private(set) var deviceRecords = ArenaMeter()
    var staged = ArenaMeter()
    private(set) var hostRecords = ArenaMeter()
    private(set) var hostKV = ArenaMeter()

    init(_ config: ModelConfig, _ footprint: Footprint, blockTokens: Int, pool: ThreadPool) {
        self.config = config
        plan = PassPlan(footprint.plans, layers: config.layers)
        let precision = NarrowPrecision(footprint.plans.precision)
        activationPrecision = footprint.narrowsActivations ? precision : nil
        kvPrecision = footprint.narrowsKV ? precision : nil
        self.blockTokens = blockTokens
        self.pool = pool
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

    private func begin(_ id: ChunkID, _ record: DataMovement.Record) throws(MeasuredBackendError) {
        var held: [KVBlock] = []
        for id in record.blocks { held.append(try block(id).kv) }
        let empty = [ChunkData.Copy](repeating: ChunkData.Copy(), count: config.layers + 1)
        var data = ChunkData(record: record, blocks: held, device: empty, host: empty, staged: empty)
        for layer in 0...config.layers { data.device[layer] = room(for: data, layer, part: .activations) }
        deviceRecords.add(data.device.reduce(0) { $0 + $1.byteCount })
        chunks[id] = data
    }

    /// Gives the room back that decoding will not fill.
    private func seal(_ id: ChunkID, rows: Int) throws(MeasuredBackendError) {
        guard var chunk = chunks[id] else { throw .missing("\(id)") }
        for layer in chunk.device.indices {
            let surplus = ChunkData.Copy(
                activations: Array(chunk.device[layer].activations.dropFirst(rows)),
                final: Array(chunk.device[layer].final.dropFirst(rows)))
            deviceRecords.remove(surplus.byteCount)
            give(surplus)
            chunk.device[layer].activations.removeLast(surplus.activations.count)
            chunk.device[layer].final.removeLast(surplus.final.count)
        }
        chunk.record.rows = rows
        chunk.record.finalRows = rows
        chunks[id] = chunk
    }

    /// Blocks for a part of a piece.
    func room(for chunk: ChunkData, _ layer: Int, part: CopyJob.Part) -> ChunkData.Copy {
        var copy = ChunkData.Copy()
        let record = chunk.record
        guard layer < config.layers else {
            guard part != .kv, record.finalRows > 0 else { return copy }
            copy.final =
                record.grows
                ? (0..<record.finalRows).map { _ in takeFinal(rows: 1) } : [takeFinal(rows: record.finalRows)]
            return copy
        }
        if part != .kv {
            copy.activations = chunk.parts.map { takeActivations(layer, $0, of: record) }
        }
        if part != .activations { copy.kv = takeKV(rows: record.rows) }
        return copy
    }

    /// A block for a layer of some of a chunk's tokens. Of the last layer a record holds more than the input only of
    /// tokens whose final norm's input it holds.
    private func takeActivations(
        _ layer: Int, _ part: Range<Int>, of record: DataMovement.Record
    ) -> Stored<ActivationBlock> {
        let isLast = layer == config.layers - 1
        let final = record.first + record.rows - record.finalRows
        let queryRows = isLast ? max(0, part.upperBound - max(part.lowerBound, final)) : part.count
        let plan = plan.recorded(layer)
        if let activationPrecision {
            return narrow(
                .activations(config, rows: part.count, queryRows: queryRows, plan: plan, activationPrecision))
        }
        let floats = ActivationBlock.floatCount(config, rows: part.count, queryRows: queryRows, plan: plan)
        return .plain(
            ActivationBlock(config, rows: part.count, queryRows: queryRows, plan: plan, buffer: buffers.take(floats)))
    }

    private func narrow<Plain>(_ layout: NarrowLayout) -> Stored<Plain> {
        .narrow(NarrowBlock(layout, buffer: buffers.take(NarrowBlock.floatCount(layout))))
    }

    /// The blocks that serving writes a slice's activations to.
    func blocks(for slice: Simulator.ServingSlice) throws(MeasuredBackendError) -> SliceRecord? {
        guard let id = slice.record else { return nil }
        guard let chunk = chunks[id], let part = chunk.parts.firstIndex(of: slice.tokens) else {
            throw .missing("\(id) for positions \(slice.tokens)")
        }
        let final = chunk.device[config.layers].final
        return SliceRecord(
            stored: (0..<config.layers).map { chunk.device[$0].activations[part] },
            final: slice.finalRows > 0 ? final[part] : nil)
    }

    private func takeFinal(rows: Int) -> Stored<FinalBlock> {
        if let activationPrecision { return narrow(.final(config, rows: rows, activationPrecision)) }
        return .plain(FinalBlock(config, rows: rows, buffer: buffers.take(rows * config.hidden)))
    }

    private func takeKV(rows: Int) -> Stored<KVBlock> {
        if let kvPrecision { return narrow(.keysAndValues(config, rows: rows, kvPrecision)) }
        return .plain(
            KVBlock(config, capacity: rows, layers: 1, buffer: buffers.take(rows * 2 * config.keyWidth)))
    }

    private func give(_ copy: ChunkData.Copy) {
        for block in copy.activations { buffers.give(block.buffer) }
        for block in copy.final { buffers.give(block.buffer) }
        if let kv = copy.kv { buffers.give(kv.buffer) }
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
        case .shrinkRequest(let request, let count):
            let surplus = (requests[request]?.count ?? 0) - count
            guard surplus >= 0 else { throw .missing("blocks of request \(request)") }
            requests[request]?.removeLast(surplus)
        case .closeRequest(let request): requests[request] = nil
        case .freeBlocks(let ids):
            for id in ids {
                guard let block = blocks.removeValue(forKey: id) else { throw .missing("KV block \(id)") }
                kv.remove(block.kv.byteCount)
                buffers.give(block.kv.buffer)
            }
        case .swapsOut(let request):
            swapped[request] = (requests[request] ?? []).map { _ in takeBlock() }
            hostKV.add((swapped[request] ?? []).reduce(0) { $0 + $1.kv.byteCount })
        case .swappedOut(let request):
            let blocks = requests.removeValue(forKey: request) ?? []
            for (copy, block) in zip(swapped[request] ?? [], blocks) { copy.copy(block, rows: blockTokens) }
        case .swappedIn(let request):
            guard let copies = swapped.removeValue(forKey: request) else { throw .missing("request \(request)") }
            for (block, copy) in zip(requests[request] ?? [], copies) {
                block.copy(copy, rows: blockTokens)
                hostKV.remove(copy.kv.byteCount)
                buffers.give(copy.kv.buffer)
            }
        case .beganRecord(let id, let record): try begin(id, record)
        case .sealed(let id, let rows): try seal(id, rows: rows)
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

    private func reserveOnHost(_ id: ChunkID, _ layer: Int) throws(MeasuredBackendError) {
        guard let chunk = chunks[id] else { throw .missing("\(id)") }
        let copy = room(for: chunk, layer, part: .all)
        hostRecords.add(copy.byteCount)
        chunks[id]?.host[layer] = copy
    }
}
