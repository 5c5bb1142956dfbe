import Simulator
import Testing

/// Who gives way where it is KV blocks that are short, and not bytes: a device with ample memory, and a small pool.
@Suite struct BlockPressureTests {
    private static func system(
        blocks: Int, offload: RecordingConfiguration.Offload = .hedged,
        _ change: (inout RecordingConfiguration) -> Void = { _ in }
    ) -> MemorySystem {
        RecordFixture.system(device: 100_000, host: 100_000, kvBlocks: blocks) {
            $0.offload = offload
            change(&$0)
        }
    }

    /// A record of two blocks that no sequence holds any more.
    private static func leftBehind(
        _ memory: inout MemorySystem, request: Int, need: RecordChunk.Need, copied: Bool = true
    ) throws -> ChunkID {
        let (id, blocks) = try RecordFixture.recorded(&memory, request: request, tokens: 8, finalRows: 0)
        memory.closeRequest(request, blocks: blocks)
        memory.note(id, need: need)
        if copied {
            memory.offload([id], at: .zero)
            RecordFixture.runCopies(&memory)
        }
        return id
    }

    /// What the host has, too, lets its blocks go to sequences, as many chunks as it takes, and nothing is lost.
    @Test(arguments: 1...6) func hedgesGiveBlocksBack(wanted: Int) throws {
        var memory = Self.system(blocks: 6)
        let ids = try [RecordChunk.Need.claimed, .waiting, .serving].enumerated().map {
            try Self.leftBehind(&memory, request: $0.offset, need: $0.element)
        }
        #expect(memory.kv.liveBlocks == 6 && memory.availableBlocks == 6)
        #expect(memory.openRequest(9, tokens: 4 * wanted)?.count == wanted)
        #expect(memory.takeLosses() == [] && ids.allSatisfy { memory.records.isUsable($0) })
        // The one that waits for feedback first, the sample's last.
        let held = ids.map { memory.records[$0]?.holdsBlocks == true }
        #expect(held == [wanted < 5, false, wanted < 3])
        #expect(memory.availableBlocks == 6 - wanted)
    }

    /// A block with tokens of two chunks is free when both have let it go.
    @Test func hedgesThatShareABlockGoTogether() throws {
        var memory = Self.system(blocks: 3)
        let opened = memory.openRequest(0, tokens: 12)
        let blocks = try #require(opened)
        let ids = [0..<6, 6..<12].compactMap {
            memory.beginRecord(request: 0, tokens: $0, finalRows: 0, versions: 0...0, blocks: blocks)
        }
        for id in ids { memory.endWriting(id) }
        memory.offload([ids[0]], at: .zero)
        RecordFixture.runCopies(&memory)
        #expect(memory.availableBlocks == 0, "the request holds them")
        memory.closeRequest(0, blocks: blocks)
        #expect(memory.availableBlocks == 1)
        memory.offload([ids[1]], at: .zero)
        RecordFixture.runCopies(&memory)
        #expect(memory.availableBlocks == 3)
        #expect(memory.openRequest(1, tokens: 8) != nil && memory.takeLosses() == [])
    }

    /// Where hedges do not suffice nothing changes until records are given up, and then not what the host has.
    @Test func whatTheHostHasIsNotGivenUp() throws {
        var memory = Self.system(blocks: 4)
        let copied = try Self.leftBehind(&memory, request: 0, need: .waiting)
        let other = try Self.leftBehind(&memory, request: 1, need: .claimed, copied: false)
        #expect(memory.openRequest(2, tokens: 12) == nil)
        #expect(memory.records[copied]?.onDevice.count == 3)
        #expect(memory.recordsCanGiveWay(to: 4) && memory.giveUpOneRecord(for: 4))
        #expect(memory.openRequest(2, tokens: 16) != nil)
        #expect(memory.records.isUsable(copied) && !memory.records.isUsable(other))
        #expect(memory.takeLosses().map(\.request) == [1])
    }

    /// Records whose blocks running sequences hold free none, and neither does one that training reads: they stay.
    @Test func onlyWhatFreesBlocksIsGivenUp() throws {
        var memory = Self.system(blocks: 8, offload: .none)
        let (running, _) = try RecordFixture.recorded(&memory, request: 0, tokens: 8)
        let read = try Self.leftBehind(&memory, request: 1, need: .waiting, copied: false)
        memory.pin(read)
        let claimed = try [2, 3].map { try Self.leftBehind(&memory, request: $0, need: .claimed, copied: false) }
        memory.note(running, need: .waiting)
        #expect(!memory.recordsCanGiveWay(to: 5) && memory.recordsHoldRoom(for: 6))
        #expect(memory.recordsCanGiveWay(to: 3) && memory.giveUpOneRecord(for: 3))
        #expect(memory.records.isUsable(running) && memory.records.isUsable(read))
        #expect(claimed.map { memory.records.isUsable($0) } == [true, false])
        #expect(memory.giveUpOneRecord(for: 3) && memory.openRequest(9, tokens: 12) != nil)
        #expect(!memory.giveUpOneRecord(for: 3) && memory.records.isUsable(running))
    }

    /// A sequence gives the blocks back that hold nothing before it is copied.
    @Test func emptyBlocksAreGivenBack() throws {
        var memory = Self.system(blocks: 8)
        let opened = memory.openRequest(0, tokens: 20)
        var table = try #require(opened)
        memory.shrink(0, &table, to: 2)
        #expect(table.count == 2 && memory.kv.liveBlocks == 2)
        memory.shrink(0, &table, to: 2)
        var books = ByteBooks()
        for movement in memory.takeMovements() { books.follow(movement) }
        #expect(books.problems == [] && books.requests[0] == table && books.liveBlocks.count == 2)
    }

    // MARK: The prefix cache

    private static func cached(_ memory: inout MemorySystem, blocks count: Int) throws {
        let opened = memory.openRequest(100, tokens: 4 * count)
        let blocks = try #require(opened)
        var hash = BlockHash()
        for id in blocks {
            hash.absorb(1)
            memory.register(id, as: hash, oldestVersion: 0)
        }
        memory.closeRequest(100, blocks: blocks)
        #expect(memory.kv.cachedBlocks == count)
    }

    /// A record takes cached blocks only where it may and where that suffices.
    @Test(arguments: [false, true], [5, 7]) func recordsAndThePrefixCache(evicts: Bool, tokens: Int) throws {
        // 5 blocks of 96 bytes are cached; what is left has room for the K and V of a request, not for its record.
        var memory = RecordFixture.system(device: 5 * 96 + 192 + 300, host: 0) { $0.evictsPrefixCache = evicts }
        try Self.cached(&memory, blocks: 5)
        let opened = memory.openRequest(0, tokens: tokens)
        let blocks = try #require(opened)
        let id = memory.beginRecord(request: 0, tokens: 0..<tokens, finalRows: 0, versions: 0...0, blocks: blocks)
        #expect((id != nil) == (evicts && tokens == 5))
        // 750 bytes of 300: five blocks' worth; 1050 are more than there is.
        #expect(memory.kv.cachedBlocks == (id == nil ? 5 : 0))
        #expect(memory.makeRoom(for: Bytes(2_000)) == false)
        #expect(memory.kv.cachedBlocks == (id == nil ? 5 : 0), "nothing goes in vain")
    }

    /// A micro-batch that can not have its room leaves records and cache as they are.
    @Test func nothingIsGivenUpInVain() throws {
        var memory = RecordFixture.system(device: 3_000, host: 0) { $0.offload = .none }
        try Self.cached(&memory, blocks: 3)
        let (id, _) = try RecordFixture.recorded(&memory, request: 0, tokens: 4, finalRows: 0)
        #expect(memory.giveUpRecords(for: Bytes(2_950)) == false)
        #expect(memory.records.isUsable(id) && memory.kv.cachedBlocks == 3)
        #expect(memory.giveUpRecords(for: Bytes(2_900)) == true)
        #expect(!memory.records.isUsable(id) && memory.kv.cachedBlocks == 0)
    }
}
