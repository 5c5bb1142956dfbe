import Simulator
import Testing

/// Where the bytes of records are, told from the movements alone: what a backend would hold that follows them.
private struct RecordBytes {
    let sizes: RecordSizes
    var books = ByteBooks()

    init(sizes: RecordSizes) {
        self.sizes = sizes
        books.layers = sizes.layers
    }

    private func sum(_ bytes: (DataMovement.Record, Int, ByteBooks.Piece) -> Int) -> Int {
        books.pieces.reduce(0) { total, chunk in
            guard let record = books.chunks[chunk.key] else { return total }
            return total + chunk.value.reduce(0) { $0 + bytes(record, $1.key, $1.value) }
        }
    }

    private func activations(_ record: DataMovement.Record, _ layer: Int) -> Int {
        layer == sizes.layers
            ? record.finalRows * sizes.finalPerToken.count
            : sizes.activations(layer: layer, tokens: record.rows, finalRows: record.finalRows).count
    }

    private func kv(_ record: DataMovement.Record, _ layer: Int) -> Int {
        layer == sizes.layers ? 0 : record.rows * sizes.kvPerToken.count
    }

    var device: Int { sum { $2.device ? activations($0, $1) : 0 } }
    var host: Int { sum { $2.hostRoom ? activations($0, $1) + kv($0, $1) : 0 } }
    /// Blocks that the records hold.
    var blocks: Set<Int> {
        Set(
            books.pieces.filter { $0.value.contains { $0.key < sizes.layers && $0.value.device } }.flatMap {
                books.chunks[$0.key]?.blocks ?? []
            })
    }
}

@Suite struct MemorySystemTests {
    static let policies: [(RecordingConfiguration.Offload, RecordingConfiguration.HostEviction)] =
        RecordingConfiguration.Offload.allCases.flatMap { offload in
            RecordingConfiguration.HostEviction.allCases.map { (offload, $0) }
        }

    /// Everything that can happen to records, in random order, with tiers that are often full: the ledger always holds
    /// the bytes that the movements say, and every piece goes once. Slots are used again while copies of their earlier
    /// chunks are still queued.
    @Test(arguments: policies.indices, 0..<25) func bytesAreWhereTheMovementsSay(policy: Int, seed: Int) {
        var stream = RandomStream(seed: UInt64(seed), name: "memory/\(policy)")
        let blockTokens = [1, 4, 7][stream.below(3)]
        var memory = RecordFixture.system(
            device: [6_000, 20_000][stream.below(2)], host: [3_000, 12_000][stream.below(2)], blockTokens: blockTokens,
            sizes: RecordFixture.unevenSizes
        ) {
            ($0.offload, $0.hostEviction) = Self.policies[policy]
            $0.granule = [.layer, .chunk, .request][stream.below(3)]
            $0.headroom = .share(0.6)
        }
        var bytes = RecordBytes(sizes: RecordFixture.unevenSizes)
        var requests: [Int: (blocks: [Int], next: Int, tokens: Int)] = [:]
        var references: [ChunkID: Int] = [:]
        var pinned: [ChunkID: Int] = [:]
        var writing: Set<ChunkID> = []
        var everSeen: Set<ChunkID> = []
        var staged = Bytes.zero
        func pick(_ wanted: (ChunkID, RecordChunk) -> Bool) -> ChunkID? {
            let ids = references.keys.filter { id in
                memory.records[id].map { !$0.dead && wanted(id, $0) } ?? false
            }.sorted { ($0.slot, $0.generation) < ($1.slot, $1.generation) }
            return ids.isEmpty ? nil : ids[stream.below(ids.count)]
        }
        func finishReloads() {
            let late = SimTime(nanoseconds: 1_000_000)
            repeat { _ = memory.startCopies(at: late) } while memory.finishCopy(.toDevice) != nil
        }
        for number in 0..<500 {
            let now = SimTime(nanoseconds: Int64(number) * 100)
            switch stream.below(12) {
            case 0:
                let tokens = 1 + stream.below(20)
                if let blocks = memory.openRequest(number, tokens: tokens) { requests[number] = (blocks, 0, tokens) }
            case 1, 2:
                let open = requests.filter { $0.value.next < $0.value.tokens }.keys.sorted()
                guard let request = open.first, let (blocks, next, tokens) = requests[request] else { break }
                let capacity = 1 + stream.below(tokens - next)
                let range = next..<next + 1 + stream.below(capacity)
                let id = memory.beginRecord(
                    request: request, tokens: range, capacity: capacity, finalRows: [0, 1, capacity][stream.below(3)],
                    versions: stream.below(3)...3, blocks: blocks)
                requests[request]?.next = next + capacity
                guard let id else { break }
                #expect(everSeen.insert(id).inserted, "the name of a chunk is used again")
                references[id] = 1
                writing.insert(id)
            case 3, 4:
                guard let id = pick({ id, chunk in writing.contains(id) || !chunk.isComplete }) else { break }
                guard let chunk = memory.records[id] else { break }
                if chunk.finalRows == chunk.capacity, !writing.contains(id), stream.below(4) == 0 {
                    memory.sealRecord(id)
                    #expect(memory.records[id]?.isComplete == true && memory.records[id]?.tokens == chunk.tokens)
                } else if chunk.tokens.count < chunk.capacity, !writing.contains(id) {
                    memory.extendRecord(id, version: 4)
                    writing.insert(id)
                } else {
                    memory.endWriting(id)
                    writing.remove(id)
                    let copies = Self.policies[policy].0 == .eager || Self.policies[policy].0 == .hedged
                    if chunk.tokens.count == chunk.capacity, copies { memory.offload([id], at: now) }
                }
            case 5, 6:
                memory.continueOffload(at: now)
                _ = memory.startCopies(at: now)
            case 7: _ = memory.finishCopy(.toHost)
            case 8:
                guard let id = pick({ $1.isComplete }), let chunk = memory.records[id] else { break }
                if let uses = pinned.removeValue(forKey: id) {
                    finishReloads()
                    for layer in stride(from: RecordFixture.sizes.layers, through: 0, by: -1) {
                        memory.consume(id, layer: layer)
                    }
                    memory.unpin(id)
                    references[id, default: 0] -= uses
                    memory.release(id, count: uses)
                } else {
                    let uses = 1 + stream.below(chunk.references)
                    memory.pin(id, uses: uses)
                    pinned[id] = uses
                    for layer in chunk.onHost.subtracting(chunk.onDevice) {
                        memory.reload(CopyJob(chunk: id, layer: layer, part: .activations), at: now)
                        #expect(memory.records.bytesToReload(id, layer: layer, part: .activations) == .zero)
                    }
                }
            case 9:
                guard let id = pick({ _, _ in true }), !writing.contains(id) else { break }
                switch stream.below(3) {
                case 0: if memory.link(id) { references[id, default: 0] += 1 }
                case 1 where pinned[id] == nil:
                    references[id, default: 0] -= 1
                    memory.release(id, because: .expired)
                    if references[id] == 0 { #expect(!memory.records.isUsable(id)) }
                default: memory.note(id, need: RecordChunk.Need.allCases[stream.below(3)])
                }
            case 10:
                let wanted = Bytes(stream.below(4_000))
                let before = memory.records.chunks.filter { $0.chunk.pinned || $0.chunk.writing }.map(\.id)
                if memory.giveUpRecords(for: wanted) {
                    #expect(memory.reserve(wanted, for: .staged) == true)
                    staged += wanted
                }
                for id in before { #expect(memory.records.isUsable(id), "a record in use was given up") }
            default:
                memory.release(staged, of: .staged)
                staged = .zero
                guard let request = requests.keys.min(), let blocks = requests[request]?.blocks else { break }
                memory.closeRequest(request, blocks: blocks)
                requests[request] = nil
            }
            for movement in memory.takeMovements() { bytes.books.follow(movement) }
            let owned = Set(requests.values.flatMap(\.blocks))
            let block = RecordFixture.sizes.kvPerToken.count * RecordFixture.sizes.layers * blockTokens
            #expect(memory.ledger.level(of: .recorded, on: .device).count == bytes.device)
            #expect(memory.ledger.level(of: .recorded, on: .host).count == bytes.host)
            #expect(memory.ledger.level(of: .kv, on: .device).count == owned.count * block)
            #expect(
                memory.ledger.level(of: .recordedKV, on: .device).count == bytes.blocks.subtracting(owned).count * block
            )
            #expect(Set(memory.records.chunks.map(\.id)) == Set(bytes.books.chunks.keys))
            #expect(memory.records.oldestVersion == memory.records.chunks.map(\.chunk.versions.lowerBound).min())
            for (id, chunk) in memory.records.chunks where !chunk.dead {
                #expect(chunk.references == references[id])
                #expect(chunk.consuming || chunk.live == chunk.made, "\(id) lost a piece that may be read")
            }
            #expect(bytes.books.problems == [])
            if !bytes.books.problems.isEmpty { return }
        }
        // All goes in the end.
        memory.release(staged, of: .staged)
        for request in requests.keys.sorted() { memory.closeRequest(request, blocks: requests[request]?.blocks ?? []) }
        _ = memory.startCopies(at: SimTime(nanoseconds: 1_000_000))
        finishReloads()
        for id in writing where memory.records[id] != nil { memory.endWriting(id) }
        for id in pinned.keys where memory.records[id] != nil { memory.unpin(id) }
        for (id, _) in memory.records.chunks { memory.drop(id) }
        while !memory.copiesAreIdle {
            _ = memory.finishCopy(.toHost)
            _ = memory.startCopies(at: SimTime(nanoseconds: 1_000_000))
        }
        for owner in MemoryOwner.allCases {
            #expect(memory.ledger.level(of: owner, on: .device) == .zero)
            #expect(memory.ledger.level(of: owner, on: .host) == .zero)
        }
        #expect(memory.kv.liveBlocks == 0 && memory.records.liveChunks == 0)
        #expect(memory.records.leavingBytes == .zero && memory.records.hedgedBytes == .zero)
        for movement in memory.takeMovements() { bytes.books.follow(movement) }
        #expect(bytes.books.problems == [] && bytes.books.isEmpty && everSeen.count > 5)
    }

    @Test(arguments: 0..<30) func layerSetsAreSets(seed: Int) {
        var stream = RandomStream(seed: UInt64(seed), name: "layers")
        var (a, b) = (LayerSet(), LayerSet())
        var (x, y) = (Set<Int>(), Set<Int>())
        for _ in 0..<60 {
            let layer = stream.below(LayerSet.limit)
            let there = stream.below(3) > 0
            if stream.below(2) == 0 {
                a[layer] = there
                if there { x.insert(layer) } else { x.remove(layer) }
            } else {
                b[layer] = there
                if there { y.insert(layer) } else { y.remove(layer) }
            }
        }
        #expect(Array(a) == x.sorted() && a.count == x.count && a.first == x.min() && a.isEmpty == x.isEmpty)
        #expect(Set(a.union(b)) == x.union(y) && Set(a.intersection(b)) == x.intersection(y))
        #expect(Set(a.subtracting(b)) == x.subtracting(y) && a.isSuperset(of: b) == x.isSuperset(of: y))
        let (low, high) = (stream.below(129), stream.below(129))
        let range = min(low, high)..<max(low, high)
        #expect(Array(LayerSet(range)) == Array(range) && x.allSatisfy { a[$0] })
    }
}
