/// The K and V of sequences: blocks that come as tokens are computed, are shared, move to the host, and go.
extension MemorySystem {
    /// Appends `count` new blocks to a sequence's table, or changes nothing and returns false when there is no room.
    public mutating func extend(_ request: Int, _ table: inout [Int], by count: Int) -> Bool {
        let first = table.count
        var evicted: [Int] = []
        if recording.offload == .hedged {
            guard count <= availableBlocks else { return false }
            dropHedges(for: kv.blockBytes * count, blocks: count)
        }
        guard kv.allocate(count, to: &table, ledger: &ledger, freed: &evicted) else { return false }
        if !evicted.isEmpty { note(.freeBlocks(evicted)) }
        note(.extendRequest(request, blocks: Array(table[first...])))
        forgetRecords(of: table[first...])
        return true
    }

    /// Appends known blocks to a sequence's table.
    public mutating func share(_ blocks: [Int], with request: Int, _ table: inout [Int]) {
        for id in blocks { kv.share(id, ledger: &ledger) }
        table += blocks
        note(.shareBlocks(request, blocks: blocks))
    }

    /// Gives a sequence a block of its own with the first `tokens` rows of `shared`, which it does not hold, appended
    /// to its table; false, with nothing changed, when there is no room.
    public mutating func copy(_ shared: Int, tokens: Int, for request: Int, _ table: inout [Int]) -> Bool {
        // Held meanwhile, so that making room does not evict it.
        kv.share(shared, ledger: &ledger)
        let fits = extend(request, &table, by: 1)
        if fits {
            note(.copyBlock(from: shared, to: table[table.count - 1], tokens: tokens))
            copyRecords(
                of: shared, to: table[table.count - 1], before: (table.count - 1) * kv.blockTokens + tokens)
        }
        let freed = kv.releaseFromRequest([shared], ledger: &ledger)
        Law.require(freed.isEmpty, "a block that is found in the cache stays there")
        return fits
    }

    /// A sequence gives its blocks up, because it has ended or is to be computed again.
    public mutating func closeRequest(_ request: Int, blocks: [Int]) {
        note(.closeRequest(request))
        free(blocks)
    }

    /// A sequence gives back the blocks after its first `count`, which hold nothing yet.
    public mutating func shrink(_ request: Int, _ table: inout [Int], to count: Int) {
        guard count < table.count else { return }
        let surplus = Array(table[count...])
        table.removeLast(surplus.count)
        note(.shrinkRequest(request, blocks: count))
        free(surplus)
    }

    private mutating func free(_ blocks: [Int]) {
        let freed = kv.releaseFromRequest(blocks, ledger: &ledger)
        if !freed.isEmpty { note(.freeBlocks(freed)) }
    }

    /// Blocks that can be taken without anything being lost: free ones, cached ones, and those that device copies of pieces
    /// make room for that the host has, too.
    public var availableBlocks: Int { kv.available(ledger, besides: records.hedgedBytes) }

    /// Whether records that give way now make room for `count` blocks.
    public func recordsCanGiveWay(to count: Int) -> Bool {
        kv.capacity - kv.liveBlocks + kv.yieldingBlocks >= count && canGain(kv.blockBytes * count)
    }

    /// Whether there is room for `count` blocks but for what records hold, those included that can not give way now.
    public func recordsHoldRoom(for count: Int) -> Bool {
        let bytes = ledger.free(on: .device) + recordedBytes + ledger.level(of: .cachedKV, on: .device)
        return kv.capacity - kv.liveBlocks + kv.recordOnlyBlocks >= count && kv.blockBytes * count <= bytes
    }

    // MARK: Prefix cache

    /// Lets the prefix cache know what a full block holds.
    ///
    /// - Parameter replaces: whether it takes the place of one that others hold.
    public mutating func register(_ id: Int, as hash: BlockHash, oldestVersion: Int, replaces: Bool = false) {
        let key = hash.keyed(by: cacheScope)
        if let freed = kv.register(id, as: key, oldestVersion: oldestVersion, replaces: replaces, ledger: &ledger) {
            note(.freeBlocks([freed]))
        }
    }

    /// The block that holds what `hash` says, if the prefix cache knows one.
    public func block(for hash: BlockHash) -> Int? { kv.cache.block(for: hash.keyed(by: cacheScope)) }

    /// From now on the prefix cache finds only what `scope` says; what it knew under another goes.
    public mutating func setCacheScope(_ scope: PrefixCache.Scope) {
        guard scope != cacheScope else { return }
        clearPrefixCache()
        cacheScope = scope
    }

    /// The prefix cache forgets everything.
    public mutating func clearPrefixCache() {
        let freed = kv.clearCache(ledger: &ledger)
        if !freed.isEmpty { note(.freeBlocks(freed)) }
    }

    // MARK: Swapping

    /// Queues the copy of a sequence's blocks to the host; false, with nothing changed, when the host has no room and
    /// records can not make it. The blocks stay until the copy is done.
    public mutating func swapOut(_ request: Int, blocks: [Int], at now: SimTime) -> Bool {
        let bytes = kv.blockBytes * blocks.count
        guard makeRoomOnHost(for: bytes), ledger.reserve(bytes, for: .kv, on: .host) else { return false }
        note(.swapsOut(request))
        toHost.enqueue(request: request, bytes: bytes, at: now)
        return true
    }

    /// Has records on the host give way to a sequence: under `drop` all that can, otherwise those that the host's rule
    /// gives up for newer ones. False, with nothing changed, when that does not suffice.
    private mutating func makeRoomOnHost(for bytes: Bytes) -> Bool {
        let drops = recording.backpressure == .drop
        let gained = drops ? records.yieldingHostBytes : records.evictableHostBytes
        guard bytes <= ledger.free(on: .host) + gained else { return false }
        while ledger.free(on: .host) < bytes {
            let isGone =
                drops
                ? records.yieldOnHost(pool: &kv, ledger: &ledger) : records.evictFromHost(pool: &kv, ledger: &ledger)
            guard isGone else { return false }
        }
        return true
    }

    /// The copy of a sequence's blocks to the host is done.
    public mutating func swappedOut(_ request: Int, blocks: [Int]) {
        note(.swappedOut(request))
        if linkableVersions != nil { swappedRecords[request] = blocks.map { blockRecords[$0] } }
        free(blocks)
    }

    /// Queues the copy of a sequence's `blocks` blocks back to the device, into new ones; false when there is no room.
    public mutating func swapIn(_ request: Int, blocks: Int, to table: inout [Int], at now: SimTime) -> Bool {
        guard extend(request, &table, by: blocks) else { return false }
        toDevice.enqueue(request: request, bytes: kv.blockBytes * blocks, at: now)
        return true
    }

    /// The copy of a sequence's blocks back to the device is done.
    public mutating func swappedIn(_ request: Int, blocks: [Int]) {
        ledger.release(kv.blockBytes * blocks.count, of: .kv, on: .host)
        note(.swappedIn(request))
        for (id, chunks) in zip(blocks, swappedRecords.removeValue(forKey: request) ?? []) { blockRecords[id] = chunks }
    }
}
