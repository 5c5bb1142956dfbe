import Simulator
import Testing

/// Who gives way on a full host and a full device.
@Suite struct GivingWayTests {
    /// A host with a byte too little refuses the chunk, which stays on the device until there is room.
    @Test(arguments: [0, 1]) func aFullHostRefusesTheWholeChunk(missing: Int) throws {
        var memory = RecordFixture.system(device: 10_000, host: 6 * RecordFixture.whole + 12 - missing)
        let (id, blocks) = try RecordFixture.recorded(&memory, tokens: 6)
        memory.offload([id], at: .zero)
        RecordFixture.runCopies(&memory)
        #expect(memory.copiesAreIdle)
        #expect(memory.records[id]?.refused == (missing == 1))
        #expect(
            memory.ledger.level(of: .recorded, on: .host).count == (missing == 1 ? 0 : 6 * RecordFixture.whole + 12))
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
        var memory = RecordFixture.system(device: 10_000, host: 6 * RecordFixture.whole)
        let (a, _) = try RecordFixture.recorded(&memory, request: 0, tokens: 6, finalRows: 0)
        let (b, _) = try RecordFixture.recorded(&memory, request: 1, tokens: 4, finalRows: 0)
        memory.offload([a, b], at: .zero)
        RecordFixture.runCopies(&memory)
        #expect(memory.records[b]?.refused == true && memory.records[b]?.hostRoom.isEmpty == true)
        memory.release(a)
        memory.continueOffload(at: .zero)
        RecordFixture.runCopies(&memory)
        #expect(memory.records[b]?.onDevice.isEmpty == true && memory.records[b]?.refused == false)
    }

    /// Which records a full host gives up: never one in use or on its way.
    @Test(arguments: RecordingConfiguration.HostEviction.allCases)
    func aFullHostEvictsByRule(rule: RecordingConfiguration.HostEviction) throws {
        var memory = RecordFixture.system(device: 20_000, host: 17 * RecordFixture.whole) { $0.hostEviction = rule }
        var ids: [ChunkID] = []
        for request in 0..<4 {
            ids.append(try RecordFixture.recorded(&memory, request: request, tokens: 4, finalRows: 0).id)
        }
        memory.offload(ids, at: .zero)
        RecordFixture.runCopies(&memory)
        memory.pin(ids[0])
        memory.note(ids[1], need: .claimed)
        memory.note(ids[3], need: .waiting)
        let (new, _) = try RecordFixture.recorded(&memory, request: 4, tokens: 8, finalRows: 0)
        memory.offload([new], at: .zero)
        RecordFixture.runCopies(&memory)
        let left = ids.map { memory.records.isUsable($0) }
        switch rule {
        case .none: #expect(left == [true, true, true, true])
        case .oldest: #expect(left == [true, false, false, true])
        case .expiring: #expect(left == [true, true, false, false])
        }
        #expect(memory.records[new]?.refused == (rule == .none))
        #expect(memory.takeLosses().map(\.reason) == (rule == .none ? [] : [.evicted, .evicted]))
    }

    /// Where all that may go would not suffice for the new record, none goes.
    @Test func aFullHostEvictsNothingInVain() throws {
        var memory = RecordFixture.system(device: 20_000, host: 12 * RecordFixture.whole) { $0.hostEviction = .oldest }
        let ids = try (0..<3).map { try RecordFixture.recorded(&memory, request: $0, tokens: 4, finalRows: 0).id }
        memory.offload(ids, at: .zero)
        RecordFixture.runCopies(&memory)
        memory.pin(ids[1])
        let (new, _) = try RecordFixture.recorded(&memory, request: 4, tokens: 9, finalRows: 0)
        memory.offload([new], at: .zero)
        RecordFixture.runCopies(&memory)
        #expect(memory.records[new]?.refused == true && ids.allSatisfy { memory.records.isUsable($0) })
    }

    /// Records on the host give way to a sequence that is swapped out, if that suffices: with `drop` all but those in use
    /// and on their way, with `stall` those that a newer record could take the place of.
    @Test(arguments: RecordingConfiguration.Backpressure.allCases, RecordingConfiguration.HostEviction.allCases)
    func recordsOnTheHostGiveWayToSequences(
        backpressure: RecordingConfiguration.Backpressure, rule: RecordingConfiguration.HostEviction
    ) throws {
        var memory = RecordFixture.system(device: 20_000, host: 12 * RecordFixture.whole) {
            $0.backpressure = backpressure
            $0.hostEviction = rule
        }
        let ids = try (0..<3).map { try RecordFixture.recorded(&memory, request: $0, tokens: 4, finalRows: 0).id }
        memory.offload(ids, at: .zero)
        RecordFixture.runCopies(&memory)
        memory.pin(ids[0])
        memory.note(ids[1], need: .claimed)
        memory.note(ids[2], need: .claimed)
        #expect(memory.ledger.free(on: .host) == .zero)
        // A block has 96 bytes, a record 696.
        let opened = memory.openRequest(9, tokens: 64)
        let blocks = try #require(opened)
        let gives = backpressure == .drop || rule == .oldest
        #expect(memory.swapOut(9, blocks: blocks, at: .zero) == false, "more than records can give")
        #expect(ids.allSatisfy { memory.records.isUsable($0) } && memory.takeLosses() == [])
        #expect(memory.swapOut(9, blocks: Array(blocks[..<7]), at: .zero) == gives)
        let left = ids.map { memory.records.isUsable($0) }
        #expect(left == [true, !gives || backpressure == .drop, !gives || backpressure == .stall])
        #expect(memory.takeLosses().map(\.reason) == (gives ? [.evicted] : []))
    }

    /// A record that is whole on the device loses only its copy on the host.
    @Test func evictionFromTheHostLeavesWhatTheDeviceHas() throws {
        var memory = RecordFixture.system(device: 20_000, host: 6 * RecordFixture.whole) {
            $0.offload = .hedged
            $0.hostEviction = .oldest
        }
        let (a, _) = try RecordFixture.recorded(&memory, request: 0, tokens: 4, finalRows: 0)
        let (b, _) = try RecordFixture.recorded(&memory, request: 1, tokens: 4, finalRows: 0)
        memory.offload([a, b], at: .zero)
        RecordFixture.runCopies(&memory)
        #expect(memory.records[a]?.hostRoom.isEmpty == true && memory.records[a]?.onDevice.count == 3)
        #expect(memory.records[b]?.onHost.count == 3 && memory.takeLosses() == [])
    }

    /// Records that wait for feedback give way first, then those of running requests, then the sample's that came last.
    @Test func theLeastNeededRecordGivesWayFirst() throws {
        var memory = RecordFixture.system(device: 20_000, host: 10_000) { $0.offload = .none }
        var ids: [ChunkID] = []
        for request in 0..<6 {
            ids.append(try RecordFixture.recorded(&memory, request: request, tokens: 4, finalRows: 0).id)
        }
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
}
