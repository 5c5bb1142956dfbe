import Simulator
import Testing

/// Where the bytes of records are, by rules told again from the design and not from the store's code.
private struct RecordModel {
    enum Host { case none, queued, copying, there }

    struct Piece {
        var device = true
        var host = Host.none
        var doomed = false
        var returning = false
        var staged = false
        var gone = false
    }

    struct Chunk {
        var tokens: Int
        var finalRows: Int
        var blocks: [Int]
        var pinned = false
        var offloaded = false
        var pieces: [Piece]

        var isGone: Bool { pieces.allSatisfy(\.gone) }
        var holdsBlocks: Bool { pieces.dropLast().contains(where: \.device) }
    }

    let sizes: RecordSizes
    let blockTokens: Int
    var chunks: [ChunkID: Chunk] = [:]
    var order: [ChunkID] = []
    var requests: [Int: (blocks: [Int], next: Int, tokens: Int)] = [:]
    var leaving: [(id: ChunkID, layer: Int)] = []
    var leavingNow: (id: ChunkID, layer: Int)?
    var returning: [(id: ChunkID, layer: Int)] = []
    var returningNow: (id: ChunkID, layer: Int)?

    func activations(_ chunk: Chunk, _ layer: Int) -> Int {
        layer == sizes.layers
            ? chunk.finalRows * sizes.finalPerToken.count
            : sizes.activations(layer: 0, tokens: chunk.tokens, finalRows: 0).count
    }

    func whole(_ chunk: Chunk, _ layer: Int) -> Int {
        activations(chunk, layer) + (layer == sizes.layers ? 0 : chunk.tokens * sizes.kvPerToken.count)
    }

    private func sum(_ bytes: (Chunk, Int) -> Int) -> Int {
        chunks.values.reduce(0) { total, chunk in
            total + chunk.pieces.indices.reduce(0) { $0 + bytes(chunk, $1) }
        }
    }

    var deviceRecorded: Int { sum { $0.pieces[$1].device ? activations($0, $1) : 0 } }
    var hostRecorded: Int { sum { $0.pieces[$1].host != .none ? whole($0, $1) : 0 } }
    var blockBytes: Int { sizes.kvPerToken.count * sizes.layers * blockTokens }
    var ownedBlocks: Set<Int> { Set(requests.values.flatMap(\.blocks)) }
    var recordBlocks: Set<Int> { Set(chunks.values.filter(\.holdsBlocks).flatMap(\.blocks)) }
    var kv: Int { ownedBlocks.count * blockBytes }
    var recordedKV: Int { recordBlocks.subtracting(ownedBlocks).count * blockBytes }
    var device: Int { deviceRecorded + kv + recordedKV }

    mutating func discard(_ id: ChunkID, _ layer: Int) {
        guard let piece = chunks[id]?.pieces[layer], !piece.gone else { return }
        if piece.host == .copying {
            chunks[id]?.pieces[layer].doomed = true
        } else {
            chunks[id]?.pieces[layer] = Piece(device: false, gone: true)
            if chunks[id]?.isGone == true { chunks[id] = nil }
        }
    }

    mutating func startLeaving() -> (id: ChunkID, layer: Int)? {
        guard leavingNow == nil else { return nil }
        while !leaving.isEmpty {
            let next = leaving.removeFirst()
            guard let chunk = chunks[next.id], chunk.pieces[next.layer].host == .queued else { continue }
            chunks[next.id]?.pieces[next.layer].host = chunk.pinned ? .none : .copying
            guard chunk.pinned else {
                leavingNow = next
                return next
            }
        }
        return nil
    }

    mutating func finishLeaving() {
        guard let (id, layer) = leavingNow, let chunk = chunks[id] else { return }
        leavingNow = nil
        chunks[id]?.pieces[layer].host = .there
        if chunk.pieces[layer].doomed {
            discard(id, layer)
        } else if !chunk.pinned {
            chunks[id]?.pieces[layer].device = false
        }
    }
}

@Suite struct MemorySystemTests {
    private static let sizes = RecordSizes(
        layers: 3, activationsPerToken: Bytes(50), kvPerToken: Bytes(8), finalPerToken: Bytes(12))

    private static func system(device: Int, host: Int, blockTokens: Int) -> MemorySystem {
        var configuration = DeviceConfiguration()
        configuration.memory = Bytes(device)
        configuration.hostMemory = Bytes(host)
        configuration.linkBandwidth = 1e9
        configuration.linkLatency = SimDuration(nanoseconds: 3)
        return MemorySystem(device: configuration, kvBlockTokens: blockTokens, sizes: sizes)
    }

    private static func expectSame(_ memory: MemorySystem, _ model: RecordModel) {
        #expect(memory.ledger.level(of: .recorded, on: .device).count == model.deviceRecorded)
        #expect(memory.ledger.level(of: .recorded, on: .host).count == model.hostRecorded)
        #expect(memory.ledger.level(of: .kv, on: .device).count == model.kv)
        #expect(memory.ledger.level(of: .recordedKV, on: .device).count == model.recordedKV)
        #expect(memory.kv.liveBlocks == model.ownedBlocks.union(model.recordBlocks).count)
        #expect(memory.records.liveChunks == model.chunks.count)
        #expect(Set(memory.records.chunks.map(\.id)) == Set(model.chunks.keys))
        for (id, chunk) in model.chunks {
            for (layer, piece) in chunk.pieces.enumerated() {
                let there = piece.device || piece.staged
                #expect(memory.records.isOnDevice(id, layer: layer, part: .activations) == there)
            }
        }
    }

    /// Everything that can happen to records, in random order, with tiers that are often full. Slots are used again
    /// while copies of their earlier chunks are still queued.
    @Test(arguments: 0..<60) func bytesAreWhereTheRulesSay(seed: Int) {
        var stream = RandomStream(seed: UInt64(seed), name: "memory")
        let blockTokens = [1, 4, 7][stream.below(3)]
        let deviceBytes = [6_000, 20_000][stream.below(2)]
        let hostBytes = [3_000, 12_000][stream.below(2)]
        var memory = Self.system(device: deviceBytes, host: hostBytes, blockTokens: blockTokens)
        var model = RecordModel(sizes: Self.sizes, blockTokens: blockTokens)
        let layers = Self.sizes.layers
        var happened = [Int](repeating: 0, count: 12)
        var everSeen: Set<ChunkID> = []
        func pick(_ wanted: (RecordModel.Chunk) -> Bool) -> ChunkID? {
            let ids = model.order.filter { model.chunks[$0].map(wanted) ?? false }
            return ids.isEmpty ? nil : ids[stream.below(ids.count)]
        }
        for number in 0..<700 {
            let now = SimTime(nanoseconds: Int64(number))
            let operation = stream.below(11)
            switch operation {
            case 0:
                let tokens = 1 + stream.below(20)
                let needed = (tokens + blockTokens - 1) / blockTokens * model.blockBytes
                let blocks = memory.openRequest(number, tokens: tokens)
                #expect((blocks != nil) == (model.device + needed <= deviceBytes))
                if let blocks { model.requests[number] = (blocks, 0, tokens) }
            case 1, 2:
                let open = model.requests.filter { $0.value.next < $0.value.tokens }.keys.sorted()
                guard let request = open.first, let (blocks, next, tokens) = model.requests[request] else { break }
                let range = next..<next + 1 + stream.below(tokens - next)
                let finalRows = [0, 1, range.count][stream.below(3)]
                let id = memory.beginRecord(
                    request: request, tokens: range, finalRows: finalRows, versions: 0...0, blocks: blocks)
                let bytes = range.count * layers * 50 + finalRows * 12
                #expect((id != nil) == (model.device + bytes <= deviceBytes))
                model.requests[request]?.next = range.upperBound
                guard let id else { break }
                #expect(everSeen.insert(id).inserted, "the name of a chunk is used again")
                let used = range.lowerBound / blockTokens...(range.upperBound - 1) / blockTokens
                model.order.append(id)
                model.chunks[id] = RecordModel.Chunk(
                    tokens: range.count, finalRows: finalRows, blocks: Array(blocks[used]),
                    pieces: [RecordModel.Piece](repeating: RecordModel.Piece(), count: layers + 1))
                if id.generation > 0, model.leaving.contains(where: { $0.id.slot == id.slot }) { happened[11] += 1 }
            case 3, 4:
                let untouched = { (chunk: RecordModel.Chunk) in
                    !chunk.pinned && !chunk.offloaded && chunk.pieces.allSatisfy { !$0.gone }
                }
                guard let id = pick(untouched), let chunk = model.chunks[id] else { break }
                let total = (0...layers).reduce(0) { $0 + model.whole(chunk, $1) }
                let fits = model.hostRecorded + total <= hostBytes
                #expect(memory.offload(id, at: now) == fits)
                model.chunks[id]?.offloaded = true
                for layer in 0...layers {
                    if !fits {
                        model.discard(id, layer)
                    } else if model.whole(chunk, layer) > 0 {
                        model.chunks[id]?.pieces[layer].host = .queued
                        model.leaving.append((id, layer))
                    }
                }
            case 5:
                let leaving = model.startLeaving()
                var expected: [TransferDirection: Int64] = [:]
                if let (id, layer) = leaving, let chunk = model.chunks[id] {
                    expected[.toHost] = 3 + Int64(model.whole(chunk, layer))
                }
                if model.returningNow == nil, !model.returning.isEmpty {
                    model.returningNow = model.returning.removeFirst()
                    if let (id, layer) = model.returningNow, let chunk = model.chunks[id] {
                        expected[.toDevice] = 3 + Int64(model.activations(chunk, layer))
                    }
                }
                let started = memory.startCopies()
                #expect(Set(started.map(\.direction)) == Set(expected.keys))
                for (direction, duration) in started {
                    #expect(duration.nanoseconds == expected[direction])
                }
            case 6:
                let done = memory.finishCopy(.toHost)
                #expect(done?.entry.job?.chunk == model.leavingNow?.id)
                #expect(done?.entry.job?.layer == model.leavingNow?.layer)
                model.finishLeaving()
            case 7:
                guard let id = pick({ !$0.isGone }), let chunk = model.chunks[id] else { break }
                let canUnpin = chunk.pieces.allSatisfy { !$0.returning }
                if chunk.pinned, canUnpin { memory.unpin(id) } else { memory.pin(id) }
                model.chunks[id]?.pinned = !(chunk.pinned && canUnpin)
            case 8:
                let wanted = { (piece: RecordModel.Piece) in
                    piece.host == .there && !piece.device && !piece.staged && !piece.returning
                }
                if let id = pick({ $0.pinned && $0.pieces.contains(where: wanted) }), let chunk = model.chunks[id],
                    let layer = chunk.pieces.lastIndex(where: wanted)
                {
                    let bytes = memory.records.bytesToReload(id, layer: layer, part: .activations)
                    #expect(bytes.count == model.activations(chunk, layer))
                    memory.reload(CopyJob(chunk: id, layer: layer, part: .activations), bytes: bytes, at: now)
                    #expect(memory.records.bytesToReload(id, layer: layer, part: .activations) == .zero)
                    model.chunks[id]?.pieces[layer].returning = true
                    model.returning.append((id, layer))
                    happened[8] += 1
                }
                let done = memory.finishCopy(.toDevice)
                #expect(done?.entry.job?.chunk == model.returningNow?.id)
                if let (id, layer) = model.returningNow {
                    model.chunks[id]?.pieces[layer].returning = false
                    model.chunks[id]?.pieces[layer].staged = true
                    model.returningNow = nil
                }
            case 9:
                guard let id = pick({ _ in true }), let chunk = model.chunks[id] else { break }
                let layer = stream.below(layers + 1)
                if stream.below(3) > 0 {
                    guard !chunk.pieces[layer].returning else { break }
                    memory.discard(id, layer: layer)
                    model.discard(id, layer)
                } else {
                    memory.drop(id)
                    #expect(memory.records[id].map(\.dead) ?? true != chunk.pinned)
                    if !chunk.pinned { for layer in 0...layers { model.discard(id, layer) } }
                }
            default:
                guard let request = model.requests.keys.min(), let blocks = model.requests[request]?.blocks else {
                    break
                }
                memory.closeRequest(request, blocks: blocks)
                model.requests[request] = nil
            }
            happened[operation] += operation == 8 ? 0 : 1
            Self.expectSame(memory, model)
        }
        // All goes in the end.
        while let (id, layer) = model.returningNow ?? model.returning.first {
            _ = memory.startCopies()
            _ = model.startLeaving()
            if model.returningNow == nil { model.returning.removeFirst() }
            model.returningNow = nil
            _ = memory.finishCopy(.toDevice)
            model.chunks[id]?.pieces[layer].returning = false
        }
        for request in model.requests.keys.sorted() {
            memory.closeRequest(request, blocks: model.requests[request]?.blocks ?? [])
        }
        for id in model.chunks.keys { memory.unpin(id) }
        for id in model.chunks.keys { memory.drop(id) }
        while !memory.copiesAreIdle {
            _ = memory.finishCopy(.toHost)
            _ = memory.startCopies()
        }
        for owner in MemoryOwner.allCases {
            #expect(memory.ledger.level(of: owner, on: .device) == .zero)
            #expect(memory.ledger.level(of: owner, on: .host) == .zero)
        }
        #expect(memory.kv.liveBlocks == 0 && memory.records.liveChunks == 0)
        let ends = memory.takeMovements().reduce(into: [ChunkID: Int]()) { ends, movement in
            if case .forgotten(let id) = movement { ends[id, default: 0] += 1 }
        }
        #expect(ends.count == everSeen.count && ends.values.allSatisfy { $0 == 1 })
        #expect(happened[8] > 0 || deviceBytes == 6_000, "nothing was ever reloaded")
    }

    private static func begun(
        _ memory: inout MemorySystem, tokens: Int, finalRows: Int = 1
    ) throws -> (id: ChunkID, blocks: [Int]) {
        let opened = memory.openRequest(0, tokens: tokens)
        let blocks = try #require(opened)
        let id = memory.beginRecord(
            request: 0, tokens: 0..<tokens, finalRows: finalRows, versions: 0...0, blocks: blocks)
        return (try #require(id), blocks)
    }

    /// Copies leave in forward order, the final norm's input last, and each frees its piece when it is done.
    @Test func offloadGoesForward() throws {
        var memory = Self.system(device: 10_000, host: 10_000, blockTokens: 4)
        let (id, blocks) = try Self.begun(&memory, tokens: 6)
        memory.closeRequest(0, blocks: blocks)
        #expect(memory.offload(id, at: .zero) == true)
        var expected = 6 * 50 * 3 + 12
        for layer in 0...3 {
            #expect(memory.ledger.level(of: .recorded, on: .device).count == expected)
            #expect(memory.startCopies().map(\.direction) == [.toHost])
            #expect(memory.ledger.level(of: .recorded, on: .device).count == expected, "freed before the copy is done")
            #expect(memory.finishCopy(.toHost)?.entry.job?.layer == layer)
            expected -= layer < 3 ? 6 * 50 : 12
            #expect(memory.kv.liveBlocks == (layer < 2 ? 2 : 0), "K and V leave with the last layer's")
        }
        #expect(expected == 0 && memory.copiesAreIdle)
        #expect(memory.ledger.level(of: .recorded, on: .host).count == 6 * 58 * 3 + 12)
    }

    /// A host with a byte too little refuses the chunk, and keeps nothing of it; with that byte it takes it.
    @Test(arguments: [0, 1]) func aFullHostDropsTheWholeChunk(missing: Int) throws {
        var memory = Self.system(device: 10_000, host: 6 * 58 * 3 + 12 - missing, blockTokens: 4)
        let (id, blocks) = try Self.begun(&memory, tokens: 6)
        #expect(memory.offload(id, at: .zero) == (missing == 0))
        #expect(memory.copiesAreIdle == (missing > 0))
        #expect((memory.records[id] == nil) == (missing > 0))
        #expect((memory.ledger.level(of: .recorded, on: .host) == .zero) == (missing > 0))
        #expect(memory.ledger.level(of: .kv, on: .device) == Bytes(24 * 4) * blocks.count)
    }

    /// The store's own refusal leaves the books and the chunk alone.
    @Test func aRefusedOffloadChangesNothing() throws {
        var ledger = Ledger(device: Bytes(10_000), host: Bytes(100))
        var pool = KVPool(blockTokens: 4, bytesPerToken: Bytes(24))
        var store = RecordStore(sizes: Self.sizes)
        let blocks = try #require(pool.allocate(tokens: 6, ledger: &ledger))
        func begin(_ tokens: Int) -> ChunkID? {
            store.begin(
                request: 0, tokens: 0..<tokens, finalRows: 1, versions: 0...0, kvBlocks: blocks[...], pool: &pool,
                ledger: &ledger)
        }
        let id = try #require(begin(6))
        let before = store[id]?.pieces
        let level = ledger.level(of: .recorded, on: .device)
        #expect(store.offload(id, ledger: &ledger) == nil)
        #expect(store[id]?.pieces == before)
        #expect(ledger.level(of: .recorded, on: .host) == .zero)
        #expect(begin(1000) == nil)
        #expect(ledger.level(of: .recorded, on: .device) == level && store.liveChunks == 1)
    }

    /// The queued copies of a chunk that has gone are not taken for those of the one that has its slot now.
    @Test func aLaterChunkInTheSlotIsNotCopiedInstead() throws {
        var memory = Self.system(device: 10_000, host: 10_000, blockTokens: 4)
        let (first, blocks) = try Self.begun(&memory, tokens: 6)
        #expect(memory.offload(first, at: .zero) == true)
        memory.drop(first)
        let begun = memory.beginRecord(request: 0, tokens: 0..<6, finalRows: 1, versions: 0...0, blocks: blocks)
        let second = try #require(begun)
        #expect(second.slot == first.slot && second.generation != first.generation)
        #expect(memory.records[first] == nil && memory.records[second] != nil)
        #expect(memory.startCopies().isEmpty)
        #expect(memory.ledger.level(of: .recorded, on: .host) == .zero)
        #expect(memory.offload(second, at: .zero) == true)
        #expect(memory.startCopies().count == 1)
        #expect(memory.finishCopy(.toHost)?.entry.job == CopyJob(chunk: second, layer: 0, part: .all))
    }
}
