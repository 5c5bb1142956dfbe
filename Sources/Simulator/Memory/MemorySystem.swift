/// The memory of one device with its host tier and link: books, blocks, records, and the two copy engines.
public struct MemorySystem: Sendable {
    public internal(set) var ledger: Ledger
    public internal(set) var kv: KVPool
    public internal(set) var records: RecordStore
    let recording: RecordingConfiguration
    var toHost: CopyEngine
    var toDevice: CopyEngine
    private var movements: [DataMovement] = []

    /// - Parameter hasTrainerDevice: whether the trainer has a device of its own, with as much memory.
    public init(
        device: DeviceConfiguration, kvBlockTokens: Int, sizes: RecordSizes,
        recording: RecordingConfiguration = RecordingConfiguration(), hasTrainerDevice: Bool = false
    ) {
        self.recording = recording
        ledger = Ledger(
            device: device.memory, host: device.hostMemory, trainerDevice: hasTrainerDevice ? device.memory : .zero)
        kv = KVPool(blockTokens: kvBlockTokens, bytesPerToken: sizes.kvPerToken * sizes.layers)
        records = RecordStore(sizes: sizes, configuration: recording)
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

    private mutating func note(_ movement: DataMovement) {
        collectMovements()
        movements.append(movement)
    }

    /// Reserves bytes; on the device, pieces that the host has, too, give way. False, and nothing reserved, when that does
    /// not suffice.
    public mutating func reserve(_ bytes: Bytes, for owner: MemoryOwner, on tier: MemoryTier = .device) -> Bool {
        if tier == .device { makeRoom(for: bytes) }
        return ledger.reserve(bytes, for: owner, on: tier)
    }

    public mutating func release(_ bytes: Bytes, of owner: MemoryOwner, on tier: MemoryTier = .device) {
        ledger.release(bytes, of: owner, on: tier)
    }

    // MARK: Requests

    /// KV blocks for all tokens of a request, or `nil` when they do not fit.
    public mutating func openRequest(_ request: Int, tokens: Int) -> [Int]? {
        makeRoom(for: kv.blockBytes * kv.blockCount(for: tokens))
        guard let blocks = kv.allocate(tokens: tokens, ledger: &ledger) else { return nil }
        note(.openRequest(request, blocks: blocks))
        return blocks
    }

    public mutating func closeRequest(_ request: Int, blocks: [Int]) {
        note(.closeRequest(request))
        let freed = kv.releaseFromRequest(blocks, ledger: &ledger)
        if !freed.isEmpty { note(.freeBlocks(freed)) }
    }
}
