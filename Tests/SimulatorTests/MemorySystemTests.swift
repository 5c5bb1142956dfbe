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
    private static let sizes = RecordSizes(
        layers: 3, activationsPerToken: Bytes(50), kvPerToken: Bytes(8), finalPerToken: Bytes(12))
    /// Of the last layer most is kept of the final rows alone.
    private static let unevenSizes = RecordSizes(
        activations: [
            RecordSizes.Layer(perToken: Bytes(50)), RecordSizes.Layer(perToken: Bytes(70)),
            RecordSizes.Layer(perToken: Bytes(20), perFinalRow: Bytes(30)),
        ], kvPerToken: Bytes(8), finalPerToken: Bytes(12))
    /// Bytes of the three layers' activations of a token, and of all of a token's pieces.
    private static let perToken = 150
    private static let whole = 174

    private static func system(
        device: Int, host: Int, blockTokens: Int = 4, latency: Int64 = 3, sizes: RecordSizes = sizes,
        _ change: (inout RecordingConfiguration) -> Void = { _ in }
    ) -> MemorySystem {
        var configuration = DeviceConfiguration()
        configuration.memory = Bytes(device)
        configuration.hostMemory = Bytes(host)
        configuration.linkBandwidth = 1e9
        configuration.linkLatency = SimDuration(nanoseconds: latency)
        var recording = RecordingConfiguration()
        change(&recording)
        return MemorySystem(device: configuration, kvBlockTokens: blockTokens, sizes: sizes, recording: recording)
    }

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
        var memory = Self.system(
            device: [6_000, 20_000][stream.below(2)], host: [3_000, 12_000][stream.below(2)], blockTokens: blockTokens,
            sizes: Self.unevenSizes
        ) {
            ($0.offload, $0.hostEviction) = Self.policies[policy]
            $0.granule = [.layer, .chunk, .request][stream.below(3)]
            $0.headroom = .share(0.6)
        }
        var bytes = RecordBytes(sizes: Self.unevenSizes)
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
                    for layer in stride(from: Self.sizes.layers, through: 0, by: -1) {
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
            let block = Self.sizes.kvPerToken.count * Self.sizes.layers * blockTokens
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

    /// A complete record of the first tokens of a new request.
    private static func recorded(
        _ memory: inout MemorySystem, request: Int = 0, tokens: Int, finalRows: Int = 1
    ) throws -> (id: ChunkID, blocks: [Int]) {
        let opened = memory.openRequest(request, tokens: tokens)
        let blocks = try #require(opened)
        let id = memory.beginRecord(
            request: request, tokens: 0..<tokens, finalRows: finalRows, versions: 0...0, blocks: blocks)
        memory.endWriting(try #require(id))
        return (try #require(id), blocks)
    }

    /// Runs all queued transfers; returns the durations of those to the host.
    @discardableResult
    private static func runCopies(_ memory: inout MemorySystem) -> [Int64] {
        var durations: [Int64] = []
        while true {
            let started = memory.startCopies(at: SimTime(nanoseconds: 1_000_000)).started
            durations += started.filter { $0.direction == .toHost }.map(\.duration.nanoseconds)
            guard !started.isEmpty else { return durations }
            _ = memory.finishCopy(.toHost)
            _ = memory.finishCopy(.toDevice)
        }
    }

    /// Copies leave in forward order, the final norm's input last, and each frees its piece when it is done.
    @Test func eagerOffloadGoesForward() throws {
        var memory = Self.system(device: 10_000, host: 10_000)
        let (id, blocks) = try Self.recorded(&memory, tokens: 6)
        memory.closeRequest(0, blocks: blocks)
        memory.offload([id], at: .zero)
        #expect(memory.ledger.level(of: .recorded, on: .host) == .zero, "room is reserved when a copy starts")
        var expected = 6 * Self.perToken + 12
        #expect(memory.records.leavingBytes.count == expected)
        for layer in 0...3 {
            #expect(memory.ledger.level(of: .recorded, on: .device).count == expected)
            #expect(memory.startCopies(at: .zero).started.map(\.direction) == [.toHost])
            #expect(memory.ledger.level(of: .recorded, on: .host).count == 6 * Self.whole + 12, "for the whole chunk")
            #expect(memory.ledger.level(of: .recorded, on: .device).count == expected, "freed before the copy is done")
            #expect(memory.finishCopy(.toHost)?.entry.jobs.map(\.layer) == [layer])
            expected -= layer < 3 ? 6 * 50 : 12
            #expect(memory.kv.liveBlocks == (layer < 2 ? 2 : 0), "K and V leave with the last layer's")
        }
        #expect(expected == 0 && memory.copiesAreIdle && memory.records.leavingBytes == .zero)
    }

    /// What one transfer moves: its latency is paid once, and the device's bytes go when all of it has arrived.
    @Test(arguments: RecordingConfiguration.Granule.allCases)
    func aTransferMovesItsGranule(granule: RecordingConfiguration.Granule) throws {
        var memory = Self.system(device: 10_000, host: 10_000, latency: 1000) { $0.granule = granule }
        let opened = memory.openRequest(0, tokens: 10)
        let blocks = try #require(opened)
        var ids: [ChunkID] = []
        for tokens in [0..<4, 4..<10] {
            let id = memory.beginRecord(request: 0, tokens: tokens, finalRows: 0, versions: 0...0, blocks: blocks)
            memory.endWriting(try #require(id))
            ids.append(try #require(id))
        }
        memory.offload(ids, at: .zero)
        let expected: [Int64] =
            switch granule {
            case .layer: [4, 4, 4, 6, 6, 6].map { 1000 + $0 * 58 }
            case .chunk: [4, 6].map { 1000 + $0 * 174 }
            case .request: [1000 + 10 * 174]
            }
        #expect(Self.runCopies(&memory) == expected)
        #expect(memory.ledger.level(of: .recorded, on: .device) == .zero)
        #expect(memory.ledger.level(of: .recorded, on: .host).count == 10 * Self.whole)
    }

    /// The copy of a layer starts when the iteration is through it, and not before.
    @Test func layersLeaveWhileTheIterationRuns() throws {
        var memory = Self.system(device: 10_000, host: 10_000)
        let (id, _) = try Self.recorded(&memory, tokens: 4)
        let (start, end) = (SimTime(nanoseconds: 1000), SimTime(nanoseconds: 4000))
        memory.offload([id], at: start, written: (start, end))
        for (layer, ready) in [(0, 2000), (1, 3000), (2, 4000), (3, 4000)] as [(Int, Int64)] {
            if layer < 3 {
                let early = memory.startCopies(at: SimTime(nanoseconds: ready - 1))
                #expect(early.started.isEmpty && early.next?.nanoseconds == ready)
            }
            #expect(memory.startCopies(at: SimTime(nanoseconds: ready)).started.count == 1)
            #expect(memory.finishCopy(.toHost)?.entry.jobs.map(\.layer) == [layer])
        }
    }

    /// Hedged copies stay until room is wanted; then the lowest layers of all chunks go first, and no more than needed.
    @Test func hedgedCopiesGoLayerByLayerWhenRoomIsWanted() throws {
        var memory = Self.system(device: 4_000, host: 10_000) { $0.offload = .hedged }
        let (a, _) = try Self.recorded(&memory, request: 0, tokens: 4, finalRows: 0)
        let (b, _) = try Self.recorded(&memory, request: 1, tokens: 8, finalRows: 0)
        let (c, _) = try Self.recorded(&memory, request: 2, tokens: 4, finalRows: 0)
        memory.offload([a, b], at: .zero)
        Self.runCopies(&memory)
        let level = memory.ledger.level(of: .recorded, on: .device)
        #expect(level.count == 16 * Self.perToken, "all is still on the device")
        #expect(memory.records.hedgedBytes.count == 12 * Self.perToken)
        func held(_ id: ChunkID) -> [Int] { memory.records[id].map { Array($0.onDevice) } ?? [] }
        let free = memory.ledger.free(on: .device)
        #expect(memory.reserve(free + Bytes(1), for: .trainWorkspace) == true)
        #expect(held(a) == [1, 2] && held(b) == [0, 1, 2], "one byte more takes one piece")
        #expect(memory.reserve(Bytes(250), for: .trainWorkspace) == true)
        #expect(held(a) == [1, 2] && held(b) == [1, 2], "layer 0 of every chunk goes before layer 1 of any")
        #expect(memory.reserve(Bytes(400), for: .trainWorkspace) == true)
        #expect(held(a) == [2] && held(b) == [1, 2])
        // What the host does not have stays, however much is wanted.
        #expect(memory.reserve(Bytes(3_000), for: .trainWorkspace) == false)
        #expect(held(c) == [0, 1, 2])
        #expect(memory.records.bytesToReload(b, layer: 0, part: .activations) == Bytes(400))
        #expect(memory.records.bytesToReload(b, layer: 1, part: .activations) == .zero)
        #expect(memory.records.hedgedBytes(of: b).count == 2 * 8 * 58)
    }

    /// A micro-batch that reads a record keeps its device copies from going.
    @Test func aPinnedHedgeStays() throws {
        var memory = Self.system(device: 4_000, host: 10_000) { $0.offload = .hedged }
        let (id, _) = try Self.recorded(&memory, tokens: 8, finalRows: 0)
        memory.offload([id], at: .zero)
        Self.runCopies(&memory)
        memory.pin(id)
        #expect(memory.reserve(memory.ledger.free(on: .device) + Bytes(1), for: .trainWorkspace) == false)
        memory.unpin(id)
        #expect(memory.reserve(memory.ledger.free(on: .device) + Bytes(1), for: .trainWorkspace) == true)
    }

    /// Copies start when less than the headroom is free, the oldest record's first, and no more than it takes.
    @Test func headroomIsKeptFree() throws {
        var memory = Self.system(device: 5_000, host: 10_000) {
            $0.offload = .headroom
            $0.headroom = .bytes(Bytes(2_000))
        }
        var ids: [ChunkID] = []
        for request in 0..<3 { ids.append(try Self.recorded(&memory, request: request, tokens: 4, finalRows: 0).id) }
        memory.continueOffload(at: .zero)
        #expect(memory.copiesAreIdle, "enough is free")
        ids.append(try Self.recorded(&memory, request: 3, tokens: 4, finalRows: 0).id)
        // 5000 - 4 (600 + 96) = 2216 are free; one more leaves 1520, and one record makes 2120 of it.
        ids.append(try Self.recorded(&memory, request: 4, tokens: 4, finalRows: 0).id)
        memory.continueOffload(at: .zero)
        Self.runCopies(&memory)
        #expect(ids.map { memory.records[$0]?.onDevice.isEmpty } == [true, false, false, false, false])
    }

    /// A host with a byte too little refuses the chunk, which stays on the device until there is room.
    @Test(arguments: [0, 1]) func aFullHostRefusesTheWholeChunk(missing: Int) throws {
        var memory = Self.system(device: 10_000, host: 6 * Self.whole + 12 - missing)
        let (id, blocks) = try Self.recorded(&memory, tokens: 6)
        memory.offload([id], at: .zero)
        Self.runCopies(&memory)
        #expect(memory.copiesAreIdle)
        #expect(memory.records[id]?.refused == (missing == 1))
        #expect(memory.ledger.level(of: .recorded, on: .host).count == (missing == 1 ? 0 : 6 * Self.whole + 12))
        #expect(memory.ledger.level(of: .kv, on: .device) == Bytes(24 * 4) * blocks.count)
        #expect(memory.lack == (missing == 1 ? .hostFull : .deviceFull))
        memory.continueOffload(at: .zero)
        #expect(memory.copiesAreIdle, "there is still no room")
        if missing == 1 {
            #expect(memory.giveUpRecords(for: Bytes(9_800)) == true)
            #expect(memory.takeLosses().map(\.reason) == [.hostFull])
        }
    }

    @Test func aRefusedChunkLeavesWhenTheHostHasRoom() throws {
        var memory = Self.system(device: 10_000, host: 6 * Self.whole)
        let (a, _) = try Self.recorded(&memory, request: 0, tokens: 6, finalRows: 0)
        let (b, _) = try Self.recorded(&memory, request: 1, tokens: 4, finalRows: 0)
        memory.offload([a, b], at: .zero)
        Self.runCopies(&memory)
        #expect(memory.records[b]?.refused == true && memory.records[b]?.hostRoom.isEmpty == true)
        memory.release(a)
        memory.continueOffload(at: .zero)
        Self.runCopies(&memory)
        #expect(memory.records[b]?.onDevice.isEmpty == true && memory.records[b]?.refused == false)
    }

    /// Which records a full host gives up: never one in use or on its way.
    @Test(arguments: RecordingConfiguration.HostEviction.allCases)
    func aFullHostEvictsByRule(rule: RecordingConfiguration.HostEviction) throws {
        var memory = Self.system(device: 20_000, host: 17 * Self.whole) { $0.hostEviction = rule }
        var ids: [ChunkID] = []
        for request in 0..<4 { ids.append(try Self.recorded(&memory, request: request, tokens: 4, finalRows: 0).id) }
        memory.offload(ids, at: .zero)
        Self.runCopies(&memory)
        memory.pin(ids[0])
        memory.note(ids[1], need: .claimed)
        memory.note(ids[3], need: .waiting)
        let (new, _) = try Self.recorded(&memory, request: 4, tokens: 8, finalRows: 0)
        memory.offload([new], at: .zero)
        Self.runCopies(&memory)
        let left = ids.map { memory.records.isUsable($0) }
        switch rule {
        case .none: #expect(left == [true, true, true, true])
        case .oldest: #expect(left == [true, false, false, true])
        case .expiring: #expect(left == [true, true, false, false])
        }
        #expect(memory.records[new]?.refused == (rule == .none))
        #expect(memory.takeLosses().map(\.reason) == (rule == .none ? [] : [.evicted, .evicted]))
    }

    /// A record that is whole on the device loses only its copy on the host.
    @Test func evictionFromTheHostLeavesWhatTheDeviceHas() throws {
        var memory = Self.system(device: 20_000, host: 6 * Self.whole) {
            $0.offload = .hedged
            $0.hostEviction = .oldest
        }
        let (a, _) = try Self.recorded(&memory, request: 0, tokens: 4, finalRows: 0)
        let (b, _) = try Self.recorded(&memory, request: 1, tokens: 4, finalRows: 0)
        memory.offload([a, b], at: .zero)
        Self.runCopies(&memory)
        #expect(memory.records[a]?.hostRoom.isEmpty == true && memory.records[a]?.onDevice.count == 3)
        #expect(memory.records[b]?.onHost.count == 3 && memory.takeLosses() == [])
    }

    /// Records that wait for feedback give way first, then those of running requests, then the sample's that came last.
    @Test func theLeastNeededRecordGivesWayFirst() throws {
        var memory = Self.system(device: 20_000, host: 10_000) { $0.offload = .none }
        var ids: [ChunkID] = []
        for request in 0..<6 { ids.append(try Self.recorded(&memory, request: request, tokens: 4, finalRows: 0).id) }
        for (index, need) in [(0, .claimed), (1, .claimed), (4, .waiting), (3, .waiting)]
            as [(Int, RecordChunk.Need)]
        {
            memory.note(ids[index], need: need)
        }
        memory.pin(ids[5])
        var order: [Int] = []
        while memory.giveUpOneRecord() { order += memory.takeLosses().map(\.request) }
        #expect(order == [4, 3, 2, 1, 0] && memory.records.isUsable(ids[5]))
    }

    /// Two samples share a chunk: the first leaves it to the second, which uses it up.
    @Test(arguments: [RecordingConfiguration.Offload.none, .eager, .hedged])
    func aSharedChunkOutlivesItsFirstSample(offload: RecordingConfiguration.Offload) throws {
        var memory = Self.system(device: 10_000, host: 10_000) { $0.offload = offload }
        let (id, blocks) = try Self.recorded(&memory, tokens: 4, finalRows: 0)
        #expect(memory.link(id) == true)
        memory.closeRequest(0, blocks: blocks)
        if offload != .none { memory.offload([id], at: .zero) }
        Self.runCopies(&memory)
        for sample in 0..<2 {
            memory.pin(id, uses: 1)
            #expect(memory.link(id) == (sample == 0), "a chunk that is being used up is not shared any more")
            if sample == 0 { memory.release(id) }
            for layer in 0..<3 where memory.records.bytesToReload(id, layer: layer, part: .activations) > .zero {
                for part in [CopyJob.Part.kv, .activations] {
                    memory.reload(CopyJob(chunk: id, layer: layer, part: part), at: .zero)
                }
            }
            Self.runCopies(&memory)
            for layer in [2, 1, 0] {
                #expect(memory.records.isOnDevice(id, layer: layer, part: .all))
                memory.consume(id, layer: layer)
                #expect((memory.records[id]?.live[layer] == true) == (sample == 0))
            }
            if memory.records[id] != nil {
                memory.unpin(id)
                memory.release(id)
            }
        }
        #expect(memory.records.liveChunks == 0 && memory.kv.liveBlocks == 0)
        #expect(memory.ledger.level(of: .recorded, on: .host) == .zero)
        #expect(memory.takeLosses() == [])
    }

    /// A chunk that decoding fills reserves its room at once, is not shared or copied before it is full, and knows the
    /// newest version that wrote to it.
    @Test func aGrowingChunkIsWholeWhenItIsFull() throws {
        var memory = Self.system(device: 10_000, host: 10_000) {
            $0.offload = .headroom; $0.headroom = .share(1)
        }
        let opened = memory.openRequest(0, tokens: 8)
        let blocks = try #require(opened)
        let begun = memory.beginRecord(
            request: 0, tokens: 5..<6, capacity: 3, finalRows: 3, versions: 1...1, blocks: blocks)
        let id = try #require(begun)
        for position in 5..<8 {
            #expect(memory.ledger.level(of: .recorded, on: .device).count == 3 * (Self.perToken + 12))
            memory.continueOffload(at: .zero)
            #expect(memory.link(id) == false && memory.copiesAreIdle)
            memory.endWriting(id)
            if position < 7 { memory.extendRecord(id, version: position - 3) }
        }
        #expect(memory.records[id]?.tokens == 5..<8 && memory.records[id]?.versions == 1...3)
        #expect(memory.link(id) == true)
        memory.continueOffload(at: .zero)
        #expect(!memory.copiesAreIdle)
    }

    /// The queued copies of a chunk that has gone are not taken for those of the one that has its slot now.
    @Test func aLaterChunkInTheSlotIsNotCopiedInstead() throws {
        var memory = Self.system(device: 10_000, host: 10_000)
        let (first, blocks) = try Self.recorded(&memory, tokens: 6)
        memory.offload([first], at: .zero)
        memory.drop(first)
        let begun = memory.beginRecord(request: 0, tokens: 0..<6, finalRows: 1, versions: 0...0, blocks: blocks)
        let second = try #require(begun)
        memory.endWriting(second)
        #expect(second.slot == first.slot && second.generation != first.generation)
        #expect(memory.records[first] == nil && memory.records[second] != nil)
        #expect(memory.startCopies(at: .zero).started.isEmpty)
        #expect(memory.ledger.level(of: .recorded, on: .host) == .zero)
        memory.offload([second], at: .zero)
        #expect(memory.startCopies(at: .zero).started.count == 1)
        #expect(memory.finishCopy(.toHost)?.entry.jobs == [CopyJob(chunk: second, layer: 0, part: .all)])
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
