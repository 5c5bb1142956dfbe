/// The memory of one device with its host tier and link: books, blocks, records, and the two copy engines.
public struct MemorySystem: Sendable {
    public internal(set) var ledger: Ledger
    public internal(set) var kv: KVPool
    public private(set) var records: RecordStore
    /// What blocks must have in common, besides tokens, for the prefix cache to take one for the other.
    public internal(set) var cacheScope = PrefixCache.Scope(version: nil)
    var toHost: CopyEngine
    var toDevice: CopyEngine
    private var movements: [DataMovement] = []

    /// - Parameters:
    ///   - kvBlocks: most KV blocks that may exist at a time; `nil` leaves it to the device's capacity.
    ///   - hasTrainerDevice: whether the trainer has a device of its own, with as much memory.
    public init(
        device: DeviceConfiguration, kvBlockTokens: Int, sizes: RecordSizes, kvBlocks: Int? = nil,
        hasTrainerDevice: Bool = false
    ) {
        ledger = Ledger(
            device: device.usableMemory, host: device.hostMemory,
            trainerDevice: hasTrainerDevice ? device.usableMemory : .zero)
        kv = KVPool(blockTokens: kvBlockTokens, bytesPerToken: sizes.kvPerToken * sizes.layers, capacity: kvBlocks)
        records = RecordStore(sizes: sizes)
        toHost = CopyEngine(direction: .toHost, bandwidth: device.linkBandwidth, latency: device.linkLatency)
        toDevice = CopyEngine(direction: .toDevice, bandwidth: device.linkBandwidth, latency: device.linkLatency)
    }

    /// The decisions about bytes since the last call, in order.
    public mutating func takeMovements() -> [DataMovement] {
        collectMovements()
        defer { movements.removeAll(keepingCapacity: true) }
        return movements
    }

    private mutating func collectMovements() {
        guard !records.movements.isEmpty else { return }
        movements += records.movements
        records.movements.removeAll(keepingCapacity: true)
    }

    mutating func note(_ movement: DataMovement) {
        collectMovements()
        movements.append(movement)
    }

    /// Reserves a device's bytes; blocks that only the prefix cache holds give way.
    public mutating func reserve(_ bytes: Bytes, for owner: MemoryOwner, on tier: MemoryTier = .device) -> Bool {
        makeRoom(for: bytes, on: tier) && ledger.reserve(bytes, for: owner, on: tier)
    }

    public mutating func release(_ bytes: Bytes, of owner: MemoryOwner, on tier: MemoryTier = .device) {
        ledger.release(bytes, of: owner, on: tier)
    }

    // MARK: Records

    /// Room for the record of `tokens` of a request whose K and V are in `blocks`, or `nil` when there is none.
    public mutating func beginRecord(
        request: Int, tokens: Range<Int>, finalRows: Int, versions: ClosedRange<Int>, blocks: [Int]
    ) -> ChunkID? {
        let used = tokens.lowerBound / kv.blockTokens..<kv.blockCount(for: tokens.upperBound)
        let sizes = records.sizes
        _ = makeRoom(
            for: sizes.activations(tokens: tokens.count, finalRows: finalRows) + sizes.finalPerToken * finalRows)
        // An array of its own: a slice of the sequence's table would have the table copied when it grows.
        return records.begin(
            request: request, tokens: tokens, finalRows: finalRows, versions: versions,
            kvBlocks: ArraySlice(Array(blocks[used])), pool: &kv, ledger: &ledger)
    }

    /// Queues the copies of a chunk to the host in forward order. Returns false, with the chunk dropped, when the host
    /// has no room.
    public mutating func offload(_ id: ChunkID, at now: SimTime) -> Bool {
        guard let copies = records.offload(id, ledger: &ledger) else {
            drop(id)
            return false
        }
        for copy in copies { toHost.enqueue(copy.job, bytes: copy.bytes, at: now) }
        return true
    }

    public mutating func pin(_ id: ChunkID) { records.pin(id, true) }

    public mutating func unpin(_ id: ChunkID) { records.pin(id, false) }

    /// Queues the copy of a part of a piece back to the device, into room that the trainer has reserved.
    public mutating func reload(_ job: CopyJob, bytes: Bytes, at now: SimTime) {
        records.beginReload(job)
        toDevice.enqueue(job, bytes: bytes, at: now)
    }

    public mutating func discard(_ id: ChunkID, layer: Int) {
        records.discard(id, layer: layer, pool: &kv, ledger: &ledger)
    }

    public mutating func drop(_ id: ChunkID) {
        records.drop(id, pool: &kv, ledger: &ledger)
    }

    // MARK: Copies

    /// Starts what the copy engines can start; returns each started copy's direction and duration.
    public mutating func startCopies() -> [(direction: TransferDirection, duration: SimDuration)] {
        var started: [(direction: TransferDirection, duration: SimDuration)] = []
        if let (_, duration) = toHost.startNext(wanted: { records.startLeaving($0, ledger: &ledger) }) {
            started.append((.toHost, duration))
        }
        if let (_, duration) = toDevice.startNext(wanted: { _ in true }) { started.append((.toDevice, duration)) }
        return started
    }

    /// Ends the copy under way in one direction and returns what it moved, and for which request.
    public mutating func finishCopy(_ direction: TransferDirection) -> (entry: CopyEngine.Entry, request: Int)? {
        let finished =
            switch direction {
            case .toHost: toHost.finish()
            case .toDevice: toDevice.finish()
            }
        guard let entry = finished else { return nil }
        switch entry.work {
        case .sequence(let request): return (entry, request)
        case .piece(let job):
            let request = records[job.chunk]?.request ?? -1
            switch direction {
            case .toHost: records.arrivedOnHost(job, pool: &kv, ledger: &ledger)
            case .toDevice: records.arrivedOnDevice(job)
            }
            return (entry, request)
        }
    }

    public var copiesAreIdle: Bool { toHost.isIdle && toDevice.isIdle }
}
