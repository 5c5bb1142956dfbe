/// The memory of one device with its host tier and link: books, blocks, records, and the two copy engines.
public struct MemorySystem: Sendable {
    public internal(set) var ledger: Ledger
    public internal(set) var kv: KVPool
    public internal(set) var records: RecordStore
    /// What blocks must have in common, besides tokens, for the prefix cache to take one for the other.
    public internal(set) var cacheScope = PrefixCache.Scope(version: nil)
    /// Versions that a record may go back to for another request to refer to it; `nil` if none does.
    public var linkableVersions: ClosedRange<Int>?
    /// By KV block: the chunks that record its tokens, and which of these, in their order. Some may be gone.
    var blockRecords: [[RecordReference]] = []
    /// The same of the blocks of requests that are on the host.
    var swappedRecords: [Int: [[RecordReference]]] = [:]
    let recording: RecordingConfiguration
    var toHost: CopyEngine
    var toDevice: CopyEngine
    private var movements: [DataMovement] = []
    /// Whether anybody follows what is decided about bytes.
    package var notesMovements = true

    /// - Parameters:
    ///   - kvBlocks: most KV blocks that may exist at a time; `nil` leaves it to the device's capacity.
    ///   - hasTrainerDevice: whether the trainer has a device of its own, with as much memory.
    public init(
        device: DeviceConfiguration, kvBlockTokens: Int, sizes: RecordSizes, kvBlocks: Int? = nil,
        recording: RecordingConfiguration = RecordingConfiguration(), hasTrainerDevice: Bool = false
    ) {
        self.recording = recording
        ledger = Ledger(
            device: device.usableMemory, host: device.hostMemory,
            trainerDevice: hasTrainerDevice ? device.usableMemory : .zero)
        kv = KVPool(
            blockTokens: kvBlockTokens, bytesPerToken: sizes.cachedKVPerToken * sizes.layers, capacity: kvBlocks)
        records = RecordStore(sizes: sizes, configuration: recording)
        toHost = CopyEngine(direction: .toHost, bandwidth: device.linkBandwidth, latency: device.linkLatency)
        toDevice = CopyEngine(direction: .toDevice, bandwidth: device.linkBandwidth, latency: device.linkLatency)
    }

    /// The decisions about bytes since the last call, in order.
    public mutating func takeMovements() -> [DataMovement] {
        guard notesMovements else {
            records.movements.removeAll(keepingCapacity: true)
            return []
        }
        collectMovements()
        defer { movements.removeAll(keepingCapacity: true) }
        return movements
    }

    private mutating func collectMovements() {
        guard !records.movements.isEmpty else { return }
        movements += records.movements
        records.movements.removeAll(keepingCapacity: true)
    }

    mutating func note(_ movement: @autoclosure () -> DataMovement) {
        guard notesMovements else { return }
        collectMovements()
        movements.append(movement())
    }

    /// Reserves a device's bytes; pieces that the host has, too, and blocks that only the prefix cache holds give way.
    /// False, and nothing reserved, when that does not suffice.
    public mutating func reserve(_ bytes: Bytes, for owner: MemoryOwner, on tier: MemoryTier = .device) -> Bool {
        makeRoom(for: bytes, on: tier) && ledger.reserve(bytes, for: owner, on: tier)
    }

    public mutating func release(_ bytes: Bytes, of owner: MemoryOwner, on tier: MemoryTier = .device) {
        ledger.release(bytes, of: owner, on: tier)
    }

    // MARK: Room on the device

    /// Makes room on the device that serves: device copies of pieces that the host has go first, then blocks that only
    /// the prefix cache holds. False, with nothing changed, if that does not suffice. Another tier has nothing that could
    /// go.
    ///
    /// - Parameter evictingCache: whether the prefix cache gives way.
    public mutating func makeRoom(
        for bytes: Bytes, on tier: MemoryTier = .device, evictingCache: Bool = true
    ) -> Bool {
        guard tier == .device else { return ledger.free(on: tier) >= bytes }
        guard hasRoom(for: bytes, evictingCache: evictingCache) else { return false }
        dropHedges(for: bytes)
        var evicted: [Int] = []
        while evictingCache, ledger.free(on: .device) < bytes, let id = kv.evictOldest(ledger: &ledger) {
            evicted.append(id)
        }
        if !evicted.isEmpty { note(.freeBlocks(evicted)) }
        return ledger.free(on: .device) >= bytes
    }

    /// Whether `bytes` are free, or would be without what gives way at no loss: device copies that the host has, too, and
    /// cached blocks.
    public func hasRoom(for bytes: Bytes, evictingCache: Bool = true) -> Bool {
        let gained = ledger.free(on: .device) + records.hedgedBytes
        guard bytes > gained else { return true }
        guard evictingCache else {
            // Which of the blocks that hedges hold would stay in the cache is not counted.
            return kv.cache.count == 0 && bytes <= gained + kv.blockBytes * kv.hedgedBlocks
        }
        return bytes <= gained + kv.blockBytes * kv.hedgedBlocks + ledger.level(of: .cachedKV, on: .device)
    }

    /// Drops device copies of pieces that the host has, as far as they are in the way of `bytes`, or of KV blocks of the
    /// pool.
    mutating func dropHedges(for bytes: Bytes, blocks: Int = 0) {
        guard recording.offload == .hedged else { return }
        if blocks > kv.unclaimedSlots, kv.hedgedBlocks > 0 {
            records.dropHedges(blocks: blocks - kv.unclaimedSlots, pool: &kv, ledger: &ledger)
        }
        if ledger.free(on: .device) < bytes { records.dropHedges(until: bytes, pool: &kv, ledger: &ledger) }
    }

    /// Whether `bytes` would be free if all records gave way that can, and the prefix cache.
    func canGain(_ bytes: Bytes) -> Bool {
        let gained = ledger.free(on: .device) + ledger.level(of: .cachedKV, on: .device) + records.yieldingBytes
        return bytes <= gained + kv.blockBytes * kv.yieldingBlocks
    }

    /// Bytes on the device that only records hold.
    public var recordedBytes: Bytes {
        ledger.level(of: .recorded, on: .device) + ledger.level(of: .recordedKV, on: .device)
    }
}
