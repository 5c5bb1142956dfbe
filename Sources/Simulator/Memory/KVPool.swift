/// KV blocks on the device: fixed runs of tokens over all layers, shared by sequences, the records of their prompts and
/// the prefix cache.
///
/// A block is *live* while a sequence or a record refers to it. While any sequence does, its bytes belong to `kv`; bytes
/// that only records hold belong to `recordedKV`. A full block that the prefix cache knows is not freed when the last of
/// them lets go: it is then *cached*, belongs to `cachedKV`, and gives way, least recently used first, to whoever needs
/// its room. Blocks times their size never exceed what the books or the pool's own limit allow.
public struct KVPool: Sendable {
    private struct Block: Sendable {
        var sequences: Int32 = 0
        var records: Int32 = 0
    }

    /// Tokens of one block.
    public let blockTokens: Int
    /// Bytes of one block over all layers, K and V.
    public let blockBytes: Bytes
    /// Most blocks that may be live or cached at a time.
    public let capacity: Int
    public private(set) var cache = PrefixCache()
    private var blocks: [Block] = []
    private var unused: [Int] = []
    /// Blocks that a sequence or a record refers to.
    public private(set) var liveBlocks = 0
    /// Live blocks that only records refer to.
    public private(set) var recordOnlyBlocks = 0

    /// - Parameter capacity: most blocks that may exist at a time; `nil` leaves it to the books.
    public init(blockTokens: Int, bytesPerToken: Bytes, capacity: Int? = nil) {
        precondition(blockTokens > 0)
        self.blockTokens = blockTokens
        self.capacity = capacity ?? .max
        blockBytes = bytesPerToken * blockTokens
    }

    /// Blocks that hold `tokens` tokens.
    public func blockCount(for tokens: Int) -> Int { (tokens + blockTokens - 1) / blockTokens }

    /// Blocks that only the prefix cache holds.
    public var cachedBlocks: Int { cache.idleCount }

    /// Blocks that can be taken without anybody giving way, if `spare` bytes besides are free.
    private func unclaimed(_ ledger: Ledger, besides spare: Bytes = .zero) -> Int {
        let free = ledger.free(on: .device) + spare
        return min(capacity - liveBlocks - cache.idleCount, free.count / max(blockBytes.count, 1))
    }

    /// Blocks that can be taken: those that nobody holds, and those that only the prefix cache does.
    ///
    /// - Parameter spare: bytes of others that can be freed.
    public func available(_ ledger: Ledger, besides spare: Bytes = .zero) -> Int {
        unclaimed(ledger, besides: spare) + cache.idleCount
    }

    // MARK: Sequences

    /// Appends `count` new blocks to a sequence's table, or changes nothing and returns false when there is no room.
    ///
    /// - Parameter freed: receives the cached blocks that give way.
    public mutating func allocate(
        _ count: Int, to table: inout [Int], ledger: inout Ledger, freed: inout [Int]
    ) -> Bool {
        let room = unclaimed(ledger)
        guard count <= room + cache.idleCount else { return false }
        for _ in 0..<max(0, count - room) {
            if let id = evictOldest(ledger: &ledger) { freed.append(id) }
        }
        guard ledger.reserve(blockBytes * count, for: .kv, on: .device) else {
            preconditionFailure("blocks that are available fit")
        }
        liveBlocks += count
        for _ in 0..<count {
            if let id = unused.popLast() {
                blocks[id] = Block(sequences: 1)
                table.append(id)
            } else {
                table.append(blocks.count)
                blocks.append(Block(sequences: 1))
            }
        }
        return true
    }

    /// One more sequence refers to a block that is live or cached.
    public mutating func share(_ id: Int, ledger: inout Ledger) {
        if blocks[id].sequences == 0 {
            if blocks[id].records > 0 {
                recordOnlyBlocks -= 1
                ledger.move(blockBytes, from: .recordedKV, to: .kv, on: .device)
            } else {
                cache.wake(id)
                liveBlocks += 1
                ledger.move(blockBytes, from: .cachedKV, to: .kv, on: .device)
            }
        }
        blocks[id].sequences += 1
    }

    /// Whether only the prefix cache holds a block.
    public func isIdle(_ id: Int) -> Bool { blocks[id].sequences == 0 && blocks[id].records == 0 }

    /// A sequence no longer refers to `ids`. Returns the blocks that this frees.
    ///
    /// The last goes first, so that of one sequence's cached blocks the later give way before those they build upon.
    public mutating func releaseFromRequest(_ ids: [Int], ledger: inout Ledger) -> [Int] {
        var freed: [Int] = []
        var kept = (records: 0, cache: 0)
        for id in ids.reversed() {
            precondition(blocks[id].sequences > 0, "KV block \(id) released by more sequences than hold it")
            blocks[id].sequences -= 1
            guard blocks[id].sequences == 0 else { continue }
            if blocks[id].records > 0 {
                kept.records += 1
            } else if cache.contains(id) {
                cache.rest(id)
                kept.cache += 1
            } else {
                unused.append(id)
                freed.append(id)
            }
        }
        liveBlocks -= kept.cache + freed.count
        recordOnlyBlocks += kept.records
        ledger.move(blockBytes * kept.records, from: .kv, to: .recordedKV, on: .device)
        ledger.move(blockBytes * kept.cache, from: .kv, to: .cachedKV, on: .device)
        ledger.release(blockBytes * freed.count, of: .kv, on: .device)
        return freed
    }

    // MARK: Records

    /// A record refers to `ids`, too.
    public mutating func retain(_ ids: ArraySlice<Int>) {
        for id in ids { blocks[id].records += 1 }
    }

    /// A record no longer refers to `ids`. Returns the blocks that this frees.
    public mutating func releaseFromRecord(_ ids: ArraySlice<Int>, ledger: inout Ledger) -> [Int] {
        ids.filter { id in
            blocks[id].records -= 1
            precondition(blocks[id].records >= 0, "KV block \(id) released by more records than retained it")
            guard blocks[id].records == 0, blocks[id].sequences == 0 else { return false }
            liveBlocks -= 1
            recordOnlyBlocks -= 1
            guard !cache.contains(id) else {
                cache.rest(id)
                ledger.move(blockBytes, from: .recordedKV, to: .cachedKV, on: .device)
                return false
            }
            unused.append(id)
            ledger.release(blockBytes, of: .recordedKV, on: .device)
            return true
        }
    }

    // MARK: Prefix cache

    /// Lets the prefix cache know what a full block holds. A live block of the same contents that it knows already stays
    /// the known one, unless the new one `replaces` it; an idle one gives its place up.
    ///
    /// - Returns: the idle block that this frees.
    public mutating func register(
        _ id: Int, as key: BlockHash, oldestVersion: Int, replaces: Bool = false, ledger: inout Ledger
    ) -> Int? {
        var freed: Int?
        if let known = cache.block(for: key) {
            if isIdle(known) {
                cache.forget(known)
                unused.append(known)
                ledger.release(blockBytes, of: .cachedKV, on: .device)
                freed = known
            } else {
                guard replaces else { return nil }
                cache.displace(known)
            }
        }
        cache.register(id, as: key, oldestVersion: oldestVersion)
        return freed
    }

    /// Frees the least recently used block that only the cache holds.
    public mutating func evictOldest(ledger: inout Ledger) -> Int? {
        guard let id = cache.evictOldest() else { return nil }
        unused.append(id)
        ledger.release(blockBytes, of: .cachedKV, on: .device)
        return id
    }

    /// Forgets every cached block; returns those that this frees.
    public mutating func clearCache(ledger: inout Ledger) -> [Int] {
        let freed = cache.removeAll()
        unused += freed
        ledger.release(blockBytes * freed.count, of: .cachedKV, on: .device)
        return freed
    }

    // MARK: Laws

    /// Who refers to a block: what a walk over sequences and records must find.
    package func references(of id: Int) -> (sequences: Int, records: Int) {
        (Int(blocks[id].sequences), Int(blocks[id].records))
    }

    /// Every block there has ever been, and those that nobody holds now.
    package var blockCounts: (known: Int, unused: Int) { (blocks.count, unused.count) }
}
