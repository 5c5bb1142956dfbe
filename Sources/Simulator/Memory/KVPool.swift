/// KV blocks on the device: fixed runs of tokens over all layers, shared by a request and the records of its prompt.
///
/// A block is freed when neither its request nor any record refers to it. While its request lives, its bytes belong
/// to `kv`; bytes that only records hold belong to `recordedKV`.
public struct KVPool: Sendable {
    private struct Block: Sendable {
        var heldByRequest = true
        var records = 0
    }

    /// Tokens of one block.
    public let blockTokens: Int
    /// Bytes of one block over all layers, K and V.
    public let blockBytes: Bytes
    private var blocks: [Block] = []
    private var unused: [Int] = []
    public private(set) var liveBlocks = 0

    public init(blockTokens: Int, bytesPerToken: Bytes) {
        precondition(blockTokens > 0)
        self.blockTokens = blockTokens
        blockBytes = bytesPerToken * blockTokens
    }

    /// Blocks that hold `tokens` tokens.
    public func blockCount(for tokens: Int) -> Int { (tokens + blockTokens - 1) / blockTokens }

    /// Blocks for `tokens` tokens of one request, or `nil`, and nothing changed, when the device has no room.
    public mutating func allocate(tokens: Int, ledger: inout Ledger) -> [Int]? {
        let count = blockCount(for: tokens)
        guard ledger.reserve(blockBytes * count, for: .kv, on: .device) else { return nil }
        liveBlocks += count
        return (0..<count).map { _ in
            if let id = unused.popLast() {
                blocks[id] = Block()
                return id
            }
            blocks.append(Block())
            return blocks.count - 1
        }
    }

    /// A record refers to `ids`, too.
    public mutating func retain(_ ids: ArraySlice<Int>) {
        for id in ids { blocks[id].records += 1 }
    }

    /// A record no longer refers to `ids`. Returns the blocks that this frees.
    public mutating func releaseFromRecord(_ ids: ArraySlice<Int>, ledger: inout Ledger) -> [Int] {
        ids.filter { id in
            blocks[id].records -= 1
            precondition(blocks[id].records >= 0, "KV block \(id) released by more records than retained it")
            guard blocks[id].records == 0, !blocks[id].heldByRequest else { return false }
            free(id, owner: .recordedKV, ledger: &ledger)
            return true
        }
    }

    /// The request that `ids` were allocated for has ended. Returns the blocks that this frees.
    public mutating func releaseFromRequest(_ ids: [Int], ledger: inout Ledger) -> [Int] {
        ids.filter { id in
            precondition(blocks[id].heldByRequest, "KV block \(id) released twice by its request")
            blocks[id].heldByRequest = false
            guard blocks[id].records > 0 else {
                free(id, owner: .kv, ledger: &ledger)
                return true
            }
            ledger.move(blockBytes, from: .kv, to: .recordedKV, on: .device)
            return false
        }
    }

    private mutating func free(_ id: Int, owner: MemoryOwner, ledger: inout Ledger) {
        ledger.release(blockBytes, of: owner, on: .device)
        unused.append(id)
        liveBlocks -= 1
    }
}
