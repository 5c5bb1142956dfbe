import Simulator
import Testing

/// Copies to the host: their order, what one moves, and when device copies go.
@Suite struct OffloadTests {
    /// Copies leave in forward order, the final norm's input last, and each frees its piece when it is done.
    @Test func eagerOffloadGoesForward() throws {
        var memory = RecordFixture.system(device: 10_000, host: 10_000)
        let (id, blocks) = try RecordFixture.recorded(&memory, tokens: 6)
        memory.closeRequest(0, blocks: blocks)
        memory.offload([id], at: .zero)
        #expect(memory.ledger.level(of: .recorded, on: .host) == .zero, "room is reserved when a copy starts")
        var expected = 6 * RecordFixture.perToken + 12
        #expect(memory.records.leavingBytes.count == expected)
        for layer in 0...3 {
            #expect(memory.ledger.level(of: .recorded, on: .device).count == expected)
            #expect(memory.startCopies(at: .zero).started.map(\.direction) == [.toHost])
            #expect(
                memory.ledger.level(of: .recorded, on: .host).count == 6 * RecordFixture.whole + 12,
                "for the whole chunk")
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
        var memory = RecordFixture.system(device: 10_000, host: 10_000, latency: 1000) { $0.granule = granule }
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
        #expect(RecordFixture.runCopies(&memory) == expected)
        #expect(memory.ledger.level(of: .recorded, on: .device) == .zero)
        #expect(memory.ledger.level(of: .recorded, on: .host).count == 10 * RecordFixture.whole)
    }

    /// The copy of a layer starts when the iteration is through it, and not before.
    @Test func layersLeaveWhileTheIterationRuns() throws {
        var memory = RecordFixture.system(device: 10_000, host: 10_000)
        let (id, _) = try RecordFixture.recorded(&memory, tokens: 4)
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

    /// What two slices of an iteration record leaves layer by layer: none waits for the end of the iteration because
    /// another's last layer does.
    @Test func layersOfAllSlicesLeaveAsTheyAreMade() throws {
        var memory = RecordFixture.system(device: 10_000, host: 10_000)
        let ids = try (0..<2).map { try RecordFixture.recorded(&memory, request: $0, tokens: 4, finalRows: 0).id }
        memory.offload(ids, at: .zero, written: (.zero, SimTime(nanoseconds: 3000)))
        var started: [[CopyJob]] = []
        for (layer, ready) in [(0, 1000), (1, 2000), (2, 3000)] as [(Int, Int64)] {
            for id in ids {
                #expect(memory.startCopies(at: SimTime(nanoseconds: ready)).started.count == 1)
                started.append(memory.finishCopy(.toHost)?.entry.jobs ?? [])
                #expect(started.last == [CopyJob(chunk: id, layer: layer, part: .all)])
            }
            #expect(memory.startCopies(at: SimTime(nanoseconds: ready)).started.isEmpty)
        }
        #expect(memory.copiesAreIdle)
    }

    /// Under `headroom` records leave when little of the pool is left, too, however much of the device is free: as many as
    /// that takes.
    @Test func headroomIsKeptFreeInThePool() throws {
        var memory = RecordFixture.system(device: 100_000, host: 100_000, kvBlocks: 6) {
            $0.offload = .headroom
            $0.headroom = .share(0.5)
        }
        var ids: [ChunkID] = []
        for request in 0..<3 {
            let (id, blocks) = try RecordFixture.recorded(&memory, request: request, tokens: 4)
            memory.closeRequest(request, blocks: blocks)
            ids.append(id)
        }
        memory.continueOffload(at: .zero)
        #expect(memory.copiesAreIdle, "half of the pool is free")
        let (last, blocks) = try RecordFixture.recorded(&memory, request: 3, tokens: 8)
        memory.closeRequest(3, blocks: blocks)
        memory.continueOffload(at: .zero)
        RecordFixture.runCopies(&memory)
        #expect((ids + [last]).map { memory.records[$0]?.onDevice.isEmpty } == [true, true, false, false])
        #expect(memory.kv.liveBlocks == 3)
    }

    /// Hedged copies stay until room is wanted; then the lowest layers of all chunks go first, and no more than needed.
    @Test func hedgedCopiesGoLayerByLayerWhenRoomIsWanted() throws {
        var memory = RecordFixture.system(device: 4_000, host: 10_000) { $0.offload = .hedged }
        let (a, _) = try RecordFixture.recorded(&memory, request: 0, tokens: 4, finalRows: 0)
        let (b, _) = try RecordFixture.recorded(&memory, request: 1, tokens: 8, finalRows: 0)
        let (c, _) = try RecordFixture.recorded(&memory, request: 2, tokens: 4, finalRows: 0)
        memory.offload([a, b], at: .zero)
        RecordFixture.runCopies(&memory)
        let level = memory.ledger.level(of: .recorded, on: .device)
        #expect(level.count == 16 * RecordFixture.perToken, "all is still on the device")
        #expect(memory.records.hedgedBytes.count == 12 * RecordFixture.perToken)
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

    @Test(
        "What the host has, or is about to have, is not copied again",
        arguments: RecordingConfiguration.Granule.allCases)
    func copiedOnce(granule: RecordingConfiguration.Granule) throws {
        var memory = RecordFixture.system(device: 4_000, host: 10_000) {
            $0.offload = .hedged
            $0.granule = granule
        }
        let (id, _) = try RecordFixture.recorded(&memory, tokens: 4)
        memory.offload([id], at: .zero)
        let first = memory.startCopies(at: SimTime(nanoseconds: 1))
        #expect(first.started.count == 1)
        memory.offload([id], at: .zero)
        var transfers = 0
        for _ in 0..<20 {
            guard let (entry, _) = memory.finishCopy(.toHost) else { break }
            transfers += entry.jobs.reduce(0) { $0 + $1.layers.count }
            memory.offload([id], at: .zero)
            _ = memory.startCopies(at: SimTime(nanoseconds: 1))
        }
        #expect(transfers == 4, "each layer, and the final norm's input, once")
        #expect(memory.copiesAreIdle)
    }

    /// A micro-batch that reads a record keeps its device copies from going.
    @Test func aPinnedHedgeStays() throws {
        var memory = RecordFixture.system(device: 4_000, host: 10_000) { $0.offload = .hedged }
        let (id, _) = try RecordFixture.recorded(&memory, tokens: 8, finalRows: 0)
        memory.offload([id], at: .zero)
        RecordFixture.runCopies(&memory)
        memory.pin(id)
        #expect(memory.reserve(memory.ledger.free(on: .device) + Bytes(1), for: .trainWorkspace) == false)
        memory.unpin(id)
        #expect(memory.reserve(memory.ledger.free(on: .device) + Bytes(1), for: .trainWorkspace) == true)
    }

    /// Copies start when less than the headroom is free, the oldest record's first, and no more than it takes.
    @Test func headroomIsKeptFree() throws {
        var memory = RecordFixture.system(device: 5_000, host: 10_000) {
            $0.offload = .headroom
            $0.headroom = .bytes(Bytes(2_000))
        }
        var ids: [ChunkID] = []
        for request in 0..<3 {
            ids.append(try RecordFixture.recorded(&memory, request: request, tokens: 4, finalRows: 0).id)
        }
        memory.continueOffload(at: .zero)
        #expect(memory.copiesAreIdle, "enough is free")
        ids.append(try RecordFixture.recorded(&memory, request: 3, tokens: 4, finalRows: 0).id)
        // 5000 - 4 (600 + 96) = 2216 are free; one more leaves 1520, and one record makes 2120 of it.
        ids.append(try RecordFixture.recorded(&memory, request: 4, tokens: 4, finalRows: 0).id)
        memory.continueOffload(at: .zero)
        RecordFixture.runCopies(&memory)
        #expect(ids.map { memory.records[$0]?.onDevice.isEmpty } == [true, false, false, false, false])
    }
}
