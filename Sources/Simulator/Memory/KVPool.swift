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
        // Of these records, how many hold it in each way.
        var firm: Int32 = 0
        var fixed: Int32 = 0
        var staying: Int32 = 0
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
    /// Of these, the ones that records can let go at no loss.
    public private(set) var hedgedBlocks = 0
    /// Those that records can let go at once, at a loss or without.
    public private(set) var yieldingBlocks = 0
    /// Those that copies to the host, queued or under way, will have let go.
    public private(set) var leavingBlocks = 0

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
        return min(unclaimedSlots, free.count / max(blockBytes.count, 1))
    }

    /// Blocks that the pool's own limit leaves.
    public var unclaimedSlots: Int { capacity - liveBlocks - cache.idleCount }

    /// Blocks that can be taken without a loss: those that nobody holds, those that only the prefix cache does, and those of
    /// records that the host has, too.
    ///
    /// - Parameter spare: bytes of others that can be freed.
    public func available(_ ledger: Ledger, besides spare: Bytes = .zero) -> Int {
        unclaimed(ledger, besides: spare) + cache.idleCount + hedgedBlocks
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
            Law.broken("blocks that are available fit")
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
                count(id, -1)
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

    /// Whether records alone hold a block, and can let it go at no loss.
    func isHedged(_ id: Int) -> Bool { isRecordOnly(id) && blocks[id].firm == 0 }

    /// Whether records alone hold a block, and can let it go, but not without one of them being given up.
    func yields(_ id: Int) -> Bool { isRecordOnly(id) && blocks[id].fixed == 0 && blocks[id].firm > 0 }

    /// Whether a block can be taken at no loss.
    func isSpare(_ id: Int) -> Bool { isIdle(id) || isHedged(id) }

    /// Whether a block can be taken, or could be if records gave way.
    func canBeTaken(_ id: Int) -> Bool { isIdle(id) || isRecordOnly(id) && blocks[id].fixed == 0 }

    private func isRecordOnly(_ id: Int) -> Bool { blocks[id].sequences == 0 && blocks[id].records > 0 }

    /// A sequence no longer refers to `ids`. Returns the blocks that this frees.
    ///
    /// The last goes first, so that of one sequence's cached blocks the later give way before those they build upon.
    public mutating func releaseFromRequest(_ ids: [Int], ledger: inout Ledger) -> [Int] {
        var freed: [Int] = []
        var kept = (records: 0, cache: 0)
        for id in ids.reversed() {
            Law.require(blocks[id].sequences > 0, "KV block \(id) released by more sequences than hold it")
            blocks[id].sequences -= 1
            guard blocks[id].sequences == 0 else { continue }
            if blocks[id].records > 0 {
                kept.records += 1
                count(id, 1)
            } else if cache.contains(id) {
                cache.rest(id)
                kept.cache += 1
            } else {
                unused.append(id)
                freed.append(id)
            }
        }
        liveBlocks -= kept.cache + freed.count
        ledger.move(blockBytes * kept.records, from: .kv, to: .recordedKV, on: .device)
        ledger.move(blockBytes * kept.cache, from: .kv, to: .cachedKV, on: .device)
        ledger.release(blockBytes * freed.count, of: .kv, on: .device)
        return freed
    }

    // MARK: Records

    /// A record refers to `ids`, too, which a sequence holds.
    public mutating func retain(_ ids: ArraySlice<Int>) {
        for id in ids {
            Law.require(blocks[id].sequences > 0, "KV block \(id) is recorded but no sequence writes it")
            blocks[id].records += 1
        }
    }

    /// A record that refers to `ids` holds them in another way.
    mutating func change(_ ids: ArraySlice<Int>, from old: RecordHold, to new: RecordHold) {
        func change(_ way: RecordHold) -> Int32 { (new.contains(way) ? 1 : 0) - (old.contains(way) ? 1 : 0) }
        let (firm, fixed, staying) = (change(.firm), change(.fixed), change(.staying))
        for id in ids {
            count(id, -1)
            blocks[id].firm += firm
            blocks[id].fixed += fixed
            blocks[id].staying += staying
            count(id, 1)
        }
    }

    /// Counts a block, or no longer, among those that records alone hold.
    private mutating func count(_ id: Int, _ sign: Int) {
        guard isRecordOnly(id) else { return }
        recordOnlyBlocks += sign
        if blocks[id].firm == 0 { hedgedBlocks += sign }
        if blocks[id].fixed == 0 { yieldingBlocks += sign }
        if blocks[id].staying == 0 { leavingBlocks += sign }
    }

    /// A record no longer refers to `ids`. Returns the blocks that this frees.
    public mutating func releaseFromRecord(_ ids: ArraySlice<Int>, ledger: inout Ledger) -> [Int] {
        ids.filter { id in
            count(id, -1)
            blocks[id].records -= 1
            Law.require(blocks[id].records >= 0, "KV block \(id) released by more records than retained it")
            count(id, 1)
            guard blocks[id].records == 0, blocks[id].sequences == 0 else { return false }
            liveBlocks -= 1
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
