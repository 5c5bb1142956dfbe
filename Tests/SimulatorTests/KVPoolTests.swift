import Simulator
import Testing

@Suite struct KVPoolTests {
    private struct Block {
        var byRequest = true
        var records = 0
    }

    /// Requests and records come and go at random; each block is freed once, by whoever holds it last.
    @Test(arguments: 0..<40) func agreesWithPlainReferenceCounts(seed: Int) {
        var stream = RandomStream(seed: UInt64(seed), name: "blocks")
        let blockTokens = [1, 4, 16][stream.below(3)]
        var pool = KVPool(blockTokens: blockTokens, bytesPerToken: Bytes(3))
        let blockBytes = 3 * blockTokens
        var ledger = Ledger(device: Bytes(blockBytes * 24), host: .zero)
        var live: [Int: Block] = [:]
        var requests: [[Int]] = []
        var records: [[Int]] = []
        var refused = 0
        for _ in 0..<500 {
            switch stream.below(4) {
            case 0,
                1 where requests.isEmpty:
                let tokens = stream.below(9 * blockTokens)
                let needed = (tokens + blockTokens - 1) / blockTokens
                #expect(pool.blockCount(for: tokens) == needed)
                let blocks = pool.allocate(tokens: tokens, ledger: &ledger)
                #expect((blocks != nil) == (live.count + needed <= 24))
                guard let blocks else {
                    refused += 1
                    break
                }
                #expect(blocks.count == needed && Set(blocks).count == needed)
                #expect(blocks.allSatisfy { live[$0] == nil }, "a live block was handed out again")
                for block in blocks { live[block] = Block() }
                requests.append(blocks)
            case 1:
                let blocks = requests[stream.below(requests.count)]
                let first = stream.below(blocks.count + 1)
                let held = blocks[first..<first + stream.below(blocks.count - first + 1)]
                pool.retain(held)
                for block in held { live[block]?.records += 1 }
                records.append(Array(held))
            case 2 where !records.isEmpty:
                let held = records.remove(at: stream.below(records.count))
                for block in held { live[block]?.records -= 1 }
                let expected = held.filter { live[$0]?.byRequest == false && live[$0]?.records == 0 }
                #expect(pool.releaseFromRecord(held[...], ledger: &ledger) == expected)
                for block in expected { live[block] = nil }
            case 3 where !requests.isEmpty:
                let blocks = requests.remove(at: stream.below(requests.count))
                for block in blocks { live[block]?.byRequest = false }
                let expected = blocks.filter { live[$0]?.records == 0 }
                #expect(pool.releaseFromRequest(blocks, ledger: &ledger) == expected.reversed())
                for block in expected { live[block] = nil }
            default: break
            }
            let byRequest = live.values.count { $0.byRequest }
            #expect(pool.liveBlocks == live.count)
            #expect(ledger.level(of: .kv, on: .device).count == blockBytes * byRequest)
            #expect(ledger.level(of: .recordedKV, on: .device).count == blockBytes * (live.count - byRequest))
        }
        #expect(refused > 0, "the pool was never full")
    }

    @Test("A block that sequences share goes with the last of them, and no sooner")
    func sharedBlocks() {
        var pool = KVPool(blockTokens: 4, bytesPerToken: Bytes(1))
        var ledger = Ledger(device: Bytes(100), host: .zero)
        guard let blocks = pool.allocate(tokens: 4, ledger: &ledger) else { return #expect(Bool(false)) }
        for _ in 0..<2 { pool.share(blocks[0], ledger: &ledger) }
        for left in [2, 1] {
            #expect(pool.releaseFromRequest(blocks, ledger: &ledger) == [])
            #expect(pool.references(of: blocks[0]).sequences == left && pool.liveBlocks == 1)
        }
        #expect(pool.releaseFromRequest(blocks, ledger: &ledger) == blocks)
        #expect(pool.liveBlocks == 0 && ledger.level(of: .kv, on: .device) == .zero)
    }

    @Test("Cached blocks give way in the order of their last use")
    func leastRecentlyUsed() {
        var pool = KVPool(blockTokens: 4, bytesPerToken: Bytes(1))
        var ledger = Ledger(device: Bytes(100), host: .zero)
        var blocks: [Int] = []
        for text in 0..<4 as Range<UInt64> {
            guard let block = pool.allocate(tokens: 4, ledger: &ledger)?.first else { return #expect(Bool(false)) }
            var hash = BlockHash()
            hash.absorb(text)
            #expect(pool.register(block, as: hash, oldestVersion: 0, ledger: &ledger) == nil)
            #expect(pool.releaseFromRequest([block], ledger: &ledger) == [])
            blocks.append(block)
        }
        pool.share(blocks[1], ledger: &ledger)
        _ = pool.releaseFromRequest([blocks[1]], ledger: &ledger)
        let order = (0..<4).map { _ in pool.evictOldest(ledger: &ledger) }
        #expect(order == [blocks[0], blocks[2], blocks[3], blocks[1]])
        #expect(pool.evictOldest(ledger: &ledger) == nil && ledger.level(of: .cachedKV, on: .device) == .zero)
    }

    @Test func aBlockIsNotReleasedTwice() async {
        await #expect(processExitsWith: .failure) {
            var pool = KVPool(blockTokens: 4, bytesPerToken: Bytes(1))
            var ledger = Ledger(device: Bytes(100), host: .zero)
            guard let blocks = pool.allocate(tokens: 4, ledger: &ledger) else { return }
            _ = pool.releaseFromRequest(blocks, ledger: &ledger)
            _ = pool.releaseFromRequest(blocks, ledger: &ledger)
        }
        await #expect(processExitsWith: .failure) {
            var pool = KVPool(blockTokens: 4, bytesPerToken: Bytes(1))
            var ledger = Ledger(device: Bytes(100), host: .zero)
            guard let blocks = pool.allocate(tokens: 4, ledger: &ledger) else { return }
            _ = pool.releaseFromRecord(blocks[...], ledger: &ledger)
        }
    }
}
