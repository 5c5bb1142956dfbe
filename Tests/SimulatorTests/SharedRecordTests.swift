import Simulator
import Testing

/// Records that several refer to, that grow, and whose slots are used again.
@Suite struct SharedRecordTests {
    /// Two samples share a chunk: the first leaves it to the second, which uses it up.
    @Test(arguments: [RecordingConfiguration.Offload.none, .eager, .hedged])
    func aSharedChunkOutlivesItsFirstSample(offload: RecordingConfiguration.Offload) throws {
        var memory = RecordFixture.system(device: 10_000, host: 10_000) { $0.offload = offload }
        let (id, blocks) = try RecordFixture.recorded(&memory, tokens: 4, finalRows: 0)
        #expect(memory.link(id) == true)
        memory.closeRequest(0, blocks: blocks)
        if offload != .none { memory.offload([id], at: .zero) }
        RecordFixture.runCopies(&memory)
        for sample in 0..<2 {
            memory.pin(id, uses: 1)
            #expect(memory.link(id) == (sample == 0), "a chunk that is being used up is not shared any more")
            if sample == 0 { memory.release(id) }
            for layer in 0..<3 where memory.records.bytesToReload(id, layer: layer, part: .activations) > .zero {
                for part in [CopyJob.Part.kv, .activations] {
                    memory.reload(CopyJob(chunk: id, layer: layer, part: part), at: .zero)
                }
            }
            RecordFixture.runCopies(&memory)
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
        var memory = RecordFixture.system(device: 10_000, host: 10_000) {
            $0.offload = .headroom; $0.headroom = .share(1)
        }
        let opened = memory.openRequest(0, tokens: 8)
        let blocks = try #require(opened)
        let begun = memory.beginRecord(
            request: 0, tokens: 5..<6, capacity: 3, finalRows: 3, versions: 1...1, blocks: blocks)
        let id = try #require(begun)
        for position in 5..<8 {
            #expect(memory.ledger.level(of: .recorded, on: .device).count == 3 * (RecordFixture.perToken + 12))
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
        var memory = RecordFixture.system(device: 10_000, host: 10_000)
        let (first, blocks) = try RecordFixture.recorded(&memory, tokens: 6)
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
}
