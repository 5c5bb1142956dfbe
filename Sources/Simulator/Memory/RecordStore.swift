/// All records of an arm: which pieces exist, on which tier, and who still needs them.
///
/// Pieces leave the device in forward order, return in backward order, and each is released exactly once. The store
/// decides and keeps the ledger; the bytes themselves move where `movements` says. No operation looks at more chunks
/// than it changes.
public struct RecordStore: Sendable {
    private struct Slot: Sendable {
        var generation: Int32 = 0
        var chunk: RecordChunk?
    }

    public let sizes: RecordSizes
    /// Whether pieces keep their device copy when they have arrived on the host.
    let keepsDeviceCopies: Bool
    let hostEviction: RecordingConfiguration.HostEviction
    private var slots: [Slot] = []
    private var unused: [Int32] = []
    private var versions = VersionCounts()
    public private(set) var liveChunks = 0
    /// Activations on the device that queued copies and copies under way will let go.
    public private(set) var leavingBytes = Bytes.zero
    /// Activations on the device that can go at once, because the host has them.
    public private(set) var hedgedBytes = Bytes.zero
    /// Chunks that can give way, with pieces on the device, by need.
    private(set) var onDevice = SlotLists(count: RecordChunk.Need.allCases.count)
    /// Chunks that can give way, on the host alone or not, with no copy queued or under way, by need; in one list where
    /// need does not count.
    private(set) var onHost = SlotLists(count: RecordChunk.Need.allCases.count)
    /// Chunks whose device copies can go, by the lowest layer of these.
    private(set) var hedged: SlotLists
    /// Complete chunks of which nothing has been queued for the host; those that the host refused are in a list apart.
    private(set) var unqueued = SlotLists(count: 2)
    /// Decisions about bytes that the backend has not been told yet.
    public var movements: [DataMovement] = []
    /// Records given up that the loop has not noted yet.
    public internal(set) var losses: [RecordLoss] = []

    public init(sizes: RecordSizes, configuration: RecordingConfiguration = RecordingConfiguration()) {
        precondition(sizes.layers < LayerSet.limit, "records have at most \(LayerSet.limit - 1) layers")
        self.sizes = sizes
        keepsDeviceCopies = configuration.offload == .hedged
        hostEviction = configuration.hostEviction
        hedged = SlotLists(count: sizes.layers + 1)
    }

    public subscript(id: ChunkID) -> RecordChunk? {
        let slot = slots[Int(id.slot)]
        return slot.generation == id.generation ? slot.chunk : nil
    }

    /// Whether a sample may be trained on it.
    public func isUsable(_ id: ChunkID) -> Bool { self[id].map { !$0.dead } ?? false }

    /// Every live chunk, in the order of slots: for the laws, which look at all.
    public var chunks: [(id: ChunkID, chunk: RecordChunk)] {
        slots.enumerated().compactMap { index, slot in
            slot.chunk.map { (ChunkID(slot: Int32(index), generation: slot.generation), $0) }
        }
    }

    /// The oldest version that any live record goes back to.
    public var oldestVersion: Int? { versions.oldest }

    func id(of slot: Int32) -> ChunkID { ChunkID(slot: slot, generation: slots[Int(slot)].generation) }

    /// Bytes of one part of some pieces.
    public func bytes(of chunk: RecordChunk, _ pieces: LayerSet, part: CopyJob.Part) -> Bytes {
        pieces.reduce(.zero) { $0 + bytes(of: chunk, layer: $1, part: part) }
    }

    /// Bytes of one part of a piece.
    public func bytes(of chunk: RecordChunk, layer: Int, part: CopyJob.Part) -> Bytes {
        if chunk.isFinal(layer) { return part == .kv ? .zero : sizes.finalPerToken * chunk.finalRows }
        let activations = sizes.activations(layer: layer, tokens: chunk.capacity, finalRows: chunk.finalRows)
        let kv = sizes.kvPerToken * chunk.capacity
        return switch part {
        case .activations: activations
        case .kv: kv
        case .all: activations + kv
        }
    }

    // MARK: Making

    /// Makes room for a record before serving computes it, or returns `nil` when there is none.
    ///
    /// - Parameters:
    ///   - tokens: positions that the next iteration writes.
    ///   - capacity: tokens that there is room for in the end; later iterations add the others, see `extend`.
    ///   - finalRows: rows of the final norm's input that it has room for.
    ///   - kvBlocks: blocks that hold the K and V of these tokens.
    public mutating func begin(
        request: Int, tokens: Range<Int>, capacity: Int? = nil, finalRows: Int, versions: ClosedRange<Int>,
        kvBlocks: ArraySlice<Int>, pool: inout KVPool, ledger: inout Ledger
    ) -> ChunkID? {
        let capacity = capacity ?? tokens.count
        precondition(capacity >= tokens.count && !tokens.isEmpty, "a record of more tokens than it has room for")
        let bytes = sizes.deviceBytes(tokens: capacity, finalRows: finalRows)
        guard ledger.reserve(bytes, for: .recorded, on: .device) else { return nil }
        pool.retain(kvBlocks)
        var chunk = RecordChunk(
            request: request, tokens: tokens, capacity: capacity, finalRows: finalRows, versions: versions,
            kvBlocks: kvBlocks, layers: sizes.layers, onDevice: LayerSet())
        chunk.onDevice = chunk.made
        self.versions.add(versions.lowerBound)
        liveChunks += 1
        let slot: Int32
        if let free = unused.popLast() {
            slot = free
            slots[Int(slot)].generation += 1
            slots[Int(slot)].chunk = chunk
        } else {
            slot = Int32(slots.count)
            slots.append(Slot(chunk: chunk))
        }
        let id = id(of: slot)
        movements.append(
            .beganRecord(
                id,
                DataMovement.Record(
                    first: tokens.lowerBound, rows: capacity, finalRows: finalRows, grows: capacity > tokens.count,
                    blocks: Array(kvBlocks))))
        update(id) { _ in }
        return id
    }

    /// Adds the next token to a chunk that has room for it.
    public mutating func extend(_ id: ChunkID, version: Int) {
        update(id) { chunk in
            precondition(chunk.tokens.count < chunk.capacity, "\(id) is full")
            chunk.tokens = chunk.tokens.lowerBound..<chunk.tokens.upperBound + 1
            chunk.versions = chunk.versions.lowerBound...max(chunk.versions.upperBound, version)
            chunk.writing = true
        }
    }

    /// The iteration that wrote to it has ended.
    public mutating func endWriting(_ id: ChunkID) { update(id) { $0.writing = false } }

    /// Nothing is added to a growing chunk any more: its room for further tokens is given back.
    public mutating func seal(_ id: ChunkID, ledger: inout Ledger) {
        guard let chunk = self[id], !chunk.dead, chunk.tokens.count < chunk.capacity else { return }
        precondition(!chunk.writing && chunk.finalRows == chunk.capacity, "\(id) does not grow, or is being written")
        let before = bytes(of: chunk, chunk.onDevice, part: .activations)
        update(id) {
            $0.capacity = $0.tokens.count
            $0.finalRows = $0.tokens.count
        }
        let after = self[id].map { bytes(of: $0, $0.onDevice, part: .activations) } ?? .zero
        ledger.release(before - after, of: .recorded, on: .device)
        movements.append(.sealed(id, rows: chunk.tokens.count))
    }

    // MARK: Who needs it

    /// Whether the chunk is all there and stays.
    func canLink(_ id: ChunkID) -> Bool {
        guard let chunk = self[id] else { return false }
        return !chunk.dead && !chunk.consuming && chunk.isComplete && chunk.live == chunk.made
    }

    /// Another request's record has the same tokens at the same positions: it refers to the chunk, too. Returns false, and
    /// changes nothing, when the chunk is going or not all there.
    public mutating func link(_ id: ChunkID) -> Bool {
        guard canLink(id) else { return false }
        update(id) {
            $0.references += 1
            $0.need = max($0.need, .serving)
        }
        return true
    }

    /// What the chunk is kept for has changed. A shared one keeps its strongest need.
    public mutating func note(_ id: ChunkID, need: RecordChunk.Need) {
        guard let chunk = self[id], !chunk.dead else { return }
        update(id) { $0.need = chunk.references > 1 ? max(chunk.need, need) : need }
    }

    /// Keeps the device copies of the chunk where they are, for a micro-batch that holds `uses` of its references.
    public mutating func pin(_ id: ChunkID, uses: Int = 1) {
        update(id) {
            $0.pinned = true
            $0.consuming = uses >= $0.references
        }
    }

    public mutating func unpin(_ id: ChunkID, pool: inout KVPool, ledger: inout Ledger) {
        guard let chunk = self[id] else { return }
        update(id) {
            $0.pinned = false
            $0.consuming = false
        }
        // Copies that came while training read the pieces.
        if !keepsDeviceCopies { freeDeviceCopies(id, chunk.hedged, pool: &pool, ledger: &ledger) }
    }

    /// Gives `count` references back. With the last one all of the chunk goes; a reason notes its tokens as lost.
    public mutating func release(
        _ id: ChunkID, count: Int = 1, because reason: LossReason? = nil, pool: inout KVPool, ledger: inout Ledger
    ) {
        guard let chunk = self[id], !chunk.dead else { return }
        precondition(chunk.references >= count, "\(id) has \(chunk.references) references, \(count) are given back")
        update(id) { $0.references -= count }
        if chunk.references == count, !chunk.pinned { drop(id, because: reason, pool: &pool, ledger: &ledger) }
    }

    // MARK: Changing

    /// Changes a chunk and keeps sums and lists, in a time that does not depend on how many chunks there are.
    mutating func update(_ id: ChunkID, _ change: (inout RecordChunk) -> Void) {
        precondition(slots[Int(id.slot)].generation == id.generation, "\(id) is gone")
        guard var chunk = slots[Int(id.slot)].chunk else { preconditionFailure("\(id) is gone") }
        let (leaving, hedged) = goingBytes(chunk)
        slots[Int(id.slot)].chunk = nil
        change(&chunk)
        let (nowLeaving, nowHedged) = goingBytes(chunk)
        leavingBytes += nowLeaving - leaving
        hedgedBytes += nowHedged - hedged
        list(id.slot, chunk)
        slots[Int(id.slot)].chunk = chunk
    }

    private func goingBytes(_ chunk: RecordChunk) -> (leaving: Bytes, hedged: Bytes) {
        let leaving = chunk.onDevice.intersection(chunk.queued.union(chunk.copying))
        return (
            bytes(of: chunk, leaving, part: .activations),
            keepsDeviceCopies && chunk.canGiveWay ? bytes(of: chunk, chunk.hedged, part: .activations) : .zero
        )
    }

    private mutating func list(_ slot: Int32, _ chunk: RecordChunk) {
        let can = chunk.canGiveWay
        onDevice.move(slot, to: can && !chunk.onDevice.isEmpty ? chunk.need.rawValue : nil)
        let isSettled = can && !chunk.hostRoom.isEmpty && chunk.queued.isEmpty && chunk.copying.isEmpty
        onHost.move(slot, to: isSettled ? (hostEviction == .expiring ? chunk.need.rawValue : 0) : nil)
        hedged.move(slot, to: keepsDeviceCopies && can ? chunk.hedged.first : nil)
        let isUnqueued = can && chunk.isComplete && chunk.queued.isEmpty && chunk.hostRoom.isEmpty
        unqueued.move(slot, to: isUnqueued && !chunk.onDevice.isEmpty ? (chunk.refused ? 1 : 0) : nil)
    }

    /// The slot is free once nothing of its chunk is left.
    mutating func forgetIfGone(_ id: ChunkID) {
        guard let chunk = self[id], chunk.live.isEmpty else { return }
        update(id) { $0.dead = true }
        slots[Int(id.slot)].chunk = nil
        versions.remove(chunk.versions.lowerBound)
        unused.append(id.slot)
        liveChunks -= 1
        movements.append(.forgotten(id))
    }
}
