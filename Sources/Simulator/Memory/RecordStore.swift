/// All records of an arm: which pieces exist, on which tier, and who still needs them.
///
/// Pieces leave the device in forward order, return in backward order, and each is released exactly once. The store
/// decides and keeps the ledger; the bytes themselves move where `movements` says. No operation looks at more chunks
/// than it changes.
public struct RecordStore: Sendable {
    private struct Slot: Sendable {
        var generation: Int32 = 0
        var chunk: RecordChunk?
        var sums = Sums()
        var places = Places()
    }

    /// What a chunk adds to the sums over all.
    private struct Sums: Sendable {
        var leaving = Bytes.zero
        var hedged = Bytes.zero
        var yielding = Bytes.zero
        var yieldingOnHost = Bytes.zero
        var evictable = Bytes.zero
    }

    /// The list of each kind that a chunk is in, or -1: most changes leave them as they are, and the lists need not be looked
    /// at.
    private struct Places: Sendable, Equatable {
        var onDevice: Int16 = -1
        var yieldingOnHost: Int16 = -1
        var onHost: Int16 = -1
        var hedged: Int16 = -1
        var hedgedBlocks: Int16 = -1
        var unqueued: Int16 = -1
    }

    public let sizes: RecordSizes
    /// Whether pieces keep their device copy when they have arrived on the host.
    let keepsDeviceCopies: Bool
    let hostEviction: RecordingConfiguration.HostEviction
    /// By layer: bytes of the activations of a token, and of a final row besides, in all layers before it.
    private let bytesBefore: [RecordSizes.Layer]
    private var slots: [Slot] = []
    private var unused: [Int32] = []
    private var versions = VersionCounts()
    public private(set) var liveChunks = 0
    /// Activations on the device that queued copies and copies under way will let go.
    public private(set) var leavingBytes = Bytes.zero
    /// Activations on the device that can go at once, because the host has them.
    public private(set) var hedgedBytes = Bytes.zero
    /// Activations on the device that can go at once, those among them, if records are given up.
    public private(set) var yieldingBytes = Bytes.zero
    /// Bytes on the host that can go at once: of chunks that training does not read, with no copy under way.
    public private(set) var yieldingHostBytes = Bytes.zero
    /// Bytes on the host that the rule lets go for newer records.
    public private(set) var evictableHostBytes = Bytes.zero
    /// Chunks that can give way, with pieces on the device that are lost then, by need.
    private(set) var onDevice = SlotLists(count: RecordChunk.Need.allCases.count)
    /// Chunks that can give way, on the host alone or not, with no copy queued or under way, by need; in one list where
    /// need does not count.
    private(set) var onHost = SlotLists(count: RecordChunk.Need.allCases.count)
    /// The same with copies queued or not, by need.
    private(set) var yieldingOnHost = SlotLists(count: RecordChunk.Need.allCases.count)
    /// Chunks whose device copies can go, by the lowest layer of these.
    private(set) var hedged: SlotLists
    /// Chunks that can let their KV blocks go because the host has all that they hold these for, by need.
    private(set) var hedgedBlocks = SlotLists(count: RecordChunk.Need.allCases.count)
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
        var sums = [RecordSizes.Layer(perToken: .zero)]
        for (before, layer) in zip(0..., sizes.activations) {
            sums.append(
                RecordSizes.Layer(
                    perToken: sums[before].perToken + layer.perToken,
                    perFinalRow: sums[before].perFinalRow + layer.perFinalRow))
        }
        bytesBefore = sums
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
        // Nearly always all layers from one to another.
        guard let range = pieces.range else {
            return pieces.reduce(.zero) { $0 + bytes(of: chunk, layer: $1, part: part) }
        }
        let final = range.upperBound > sizes.layers ? bytes(of: chunk, layer: sizes.layers, part: part) : .zero
        let layers = range.clamped(to: 0..<sizes.layers)
        let (first, end) = (bytesBefore[layers.lowerBound], bytesBefore[layers.upperBound])
        let activations =
            (end.perToken - first.perToken) * chunk.capacity + (end.perFinalRow - first.perFinalRow) * chunk.finalRows
        let kv = sizes.kvPerToken * (chunk.capacity * layers.count)
        return switch part {
        case .activations: final + activations
        case .kv: final + kv
        case .all: final + activations + kv
        }
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
        Law.require(capacity >= tokens.count && !tokens.isEmpty, "a record of more tokens than it has room for")
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
        pool.change(kvBlocks, from: [], to: chunk.hold)
        update(id, &pool) { _ in }
        return id
    }

    /// Adds the next token to a chunk that has room for it.
    public mutating func extend(_ id: ChunkID, version: Int, pool: inout KVPool) {
        update(id, &pool) { chunk in
            Law.require(chunk.tokens.count < chunk.capacity, "\(id) is full")
            chunk.tokens = chunk.tokens.lowerBound..<chunk.tokens.upperBound + 1
            chunk.versions = chunk.versions.lowerBound...max(chunk.versions.upperBound, version)
            chunk.writing = true
        }
    }

    /// The iteration that wrote to it has ended.
    public mutating func endWriting(_ id: ChunkID, pool: inout KVPool) { update(id, &pool) { $0.writing = false } }

    /// Nothing is added to a growing chunk any more: its room for further tokens is given back.
    public mutating func seal(_ id: ChunkID, pool: inout KVPool, ledger: inout Ledger) {
        guard let chunk = self[id], !chunk.dead, chunk.tokens.count < chunk.capacity else { return }
        Law.require(!chunk.writing && chunk.finalRows == chunk.capacity, "\(id) does not grow, or is being written")
        let before = bytes(of: chunk, chunk.onDevice, part: .activations)
        update(id, &pool) {
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
    public mutating func link(_ id: ChunkID, pool: inout KVPool) -> Bool {
        guard canLink(id) else { return false }
        update(id, &pool) {
            $0.references += 1
            $0.need = max($0.need, .serving)
        }
        return true
    }

    /// What the chunk is kept for has changed. A shared one keeps its strongest need.
    public mutating func note(_ id: ChunkID, need: RecordChunk.Need, pool: inout KVPool) {
        guard let chunk = self[id], !chunk.dead else { return }
        update(id, &pool) { $0.need = chunk.references > 1 ? max(chunk.need, need) : need }
    }

    /// Keeps the device copies of the chunk where they are, for a micro-batch that holds `uses` of its references.
    public mutating func pin(_ id: ChunkID, uses: Int = 1, pool: inout KVPool) {
        update(id, &pool) {
            $0.pinned = true
            $0.consuming = uses >= $0.references
        }
    }

    public mutating func unpin(_ id: ChunkID, pool: inout KVPool, ledger: inout Ledger) {
        guard let chunk = self[id] else { return }
        update(id, &pool) {
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
        Law.require(chunk.references >= count, "\(id) has \(chunk.references) references, \(count) are given back")
        update(id, &pool) { $0.references -= count }
        if chunk.references == count, !chunk.pinned { drop(id, because: reason, pool: &pool, ledger: &ledger) }
    }

    // MARK: Changing

    /// Changes a chunk and keeps sums and lists, in a time that does not depend on how many chunks there are.
    mutating func update(_ id: ChunkID, _ pool: inout KVPool, _ change: (inout RecordChunk) -> Void) {
        let index = Int(id.slot)
        Law.require(slots[index].generation == id.generation, "\(id) is gone")
        guard let hold = slots[index].chunk?.hold else { Law.broken("\(id) is gone") }
        // In its place: a chunk is some three hundred bytes.
        slots[index].chunk?.apply(change)
        guard let chunk = slots[index].chunk else { Law.broken("\(id) is gone") }
        let now = sums(of: chunk)
        let before = slots[index].sums
        leavingBytes += now.leaving - before.leaving
        hedgedBytes += now.hedged - before.hedged
        yieldingBytes += now.yielding - before.yielding
        yieldingHostBytes += now.yieldingOnHost - before.yieldingOnHost
        evictableHostBytes += now.evictable - before.evictable
        list(id.slot, chunk)
        let holdNow = chunk.hold
        if hold != holdNow { pool.change(chunk.kvBlocks, from: hold, to: holdNow) }
        slots[index].sums = now
    }

    private func sums(of chunk: RecordChunk) -> Sums {
        var sums = Sums()
        let leaving = chunk.onDevice.intersection(chunk.queued.union(chunk.copying))
        sums.leaving = bytes(of: chunk, leaving, part: .activations)
        guard chunk.canGiveWay else { return sums }
        if keepsDeviceCopies { sums.hedged = bytes(of: chunk, chunk.hedged, part: .activations) }
        sums.yielding = bytes(of: chunk, chunk.onDevice.subtracting(chunk.copying), part: .activations)
        guard chunk.copying.isEmpty else { return sums }
        sums.yieldingOnHost = bytes(of: chunk, chunk.hostRoom, part: .all)
        if chunk.queued.isEmpty, mayEvict(chunk) { sums.evictable = sums.yieldingOnHost }
        return sums
    }

    /// Whether the host's rule lets the chunk go for a newer one.
    private func mayEvict(_ chunk: RecordChunk) -> Bool {
        switch hostEviction {
        case .none: false
        case .oldest: true
        case .expiring: chunk.need != .claimed
        }
    }

    private mutating func list(_ slot: Int32, _ chunk: RecordChunk) {
        let now = places(of: chunk)
        let before = slots[Int(slot)].places
        guard now != before else { return }
        slots[Int(slot)].places = now
        if now.onDevice != before.onDevice { onDevice.move(slot, to: now.onDevice) }
        if now.yieldingOnHost != before.yieldingOnHost { yieldingOnHost.move(slot, to: now.yieldingOnHost) }
        if now.onHost != before.onHost { onHost.move(slot, to: now.onHost) }
        if now.hedged != before.hedged { hedged.move(slot, to: now.hedged) }
        if now.hedgedBlocks != before.hedgedBlocks { hedgedBlocks.move(slot, to: now.hedgedBlocks) }
        if now.unqueued != before.unqueued { unqueued.move(slot, to: now.unqueued) }
    }

    private func places(of chunk: RecordChunk) -> Places {
        var places = Places()
        guard chunk.canGiveWay else { return places }
        let need = Int16(chunk.need.rawValue)
        let kept = keepsDeviceCopies ? chunk.copying.union(chunk.onHost) : chunk.copying
        if !chunk.onDevice.subtracting(kept).isEmpty { places.onDevice = need }
        if !chunk.hostRoom.isEmpty, chunk.copying.isEmpty {
            places.yieldingOnHost = need
            if chunk.queued.isEmpty { places.onHost = hostEviction == .expiring ? need : 0 }
        }
        if keepsDeviceCopies {
            places.hedged = chunk.hedged.first.map(Int16.init) ?? -1
            if chunk.holdsBlocks, !chunk.hold.contains(.firm) { places.hedgedBlocks = need }
        }
        if chunk.isComplete, chunk.queued.isEmpty, chunk.hostRoom.isEmpty, !chunk.onDevice.isEmpty {
            places.unqueued = chunk.refused ? 1 : 0
        }
        return places
    }

    /// The slot is free once nothing of its chunk is left.
    mutating func forgetIfGone(_ id: ChunkID, pool: inout KVPool) {
        guard let chunk = self[id], chunk.live.isEmpty else { return }
        update(id, &pool) { $0.dead = true }
        slots[Int(id.slot)].chunk = nil
        slots[Int(id.slot)].sums = Sums()
        versions.remove(chunk.versions.lowerBound)
        unused.append(id.slot)
        liveChunks -= 1
        movements.append(.forgotten(id))
    }
}
