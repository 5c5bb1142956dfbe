/// All records of an arm: which pieces exist, on which tier, and who still needs them.
///
/// Pieces leave the device in forward order, return in backward order, and each is released exactly once. The store
/// decides and keeps the ledger; the bytes themselves move where `movements` says.
public struct RecordStore: Sendable {
    private struct Slot: Sendable {
        var generation: Int32 = 0
        var chunk: RecordChunk?
    }

    public let sizes: RecordSizes
    private var slots: [Slot] = []
    private var unused: [Int32] = []
    public private(set) var liveChunks = 0
    /// Decisions about bytes that the backend has not been told yet.
    public var movements: [DataMovement] = []

    public init(sizes: RecordSizes) { self.sizes = sizes }

    public private(set) subscript(id: ChunkID) -> RecordChunk? {
        get {
            let slot = slots[Int(id.slot)]
            return slot.generation == id.generation ? slot.chunk : nil
        }
        _modify {
            precondition(slots[Int(id.slot)].generation == id.generation, "\(id) is gone")
            yield &slots[Int(id.slot)].chunk
        }
    }

    /// Every live chunk, in the order of slots.
    public var chunks: [(id: ChunkID, chunk: RecordChunk)] {
        slots.enumerated().compactMap { index, slot in
            slot.chunk.map { (ChunkID(slot: Int32(index), generation: slot.generation), $0) }
        }
    }

    /// The oldest version that any live record goes back to.
    public var oldestVersion: Int? { slots.compactMap { $0.chunk?.versions.lowerBound }.min() }

    /// Bytes of one part of a piece.
    public func bytes(of chunk: RecordChunk, layer: Int, part: CopyJob.Part) -> Bytes {
        if chunk.isFinal(layer) { return part == .kv ? .zero : sizes.finalPerToken * chunk.finalRows }
        let activations = sizes.activations(
            layer: layer, tokens: chunk.tokens.count, finalRows: chunk.finalRows)
        let kv = sizes.kvPerToken * chunk.tokens.count
        return switch part {
        case .activations: activations
        case .kv: kv
        case .all: activations + kv
        }
    }

    /// Makes room for the record of `tokens` before serving computes them, or returns `nil` when there is none.
    public mutating func begin(
        request: Int, tokens: Range<Int>, finalRows: Int, versions: ClosedRange<Int>, kvBlocks: ArraySlice<Int>,
        pool: inout KVPool, ledger: inout Ledger
    ) -> ChunkID? {
        let bytes =
            sizes.activations(tokens: tokens.count, finalRows: finalRows) + sizes.finalPerToken * finalRows
        guard ledger.reserve(bytes, for: .recorded, on: .device) else { return nil }
        pool.retain(kvBlocks)
        let chunk = RecordChunk(
            request: request, tokens: tokens, finalRows: finalRows, versions: versions, kvBlocks: kvBlocks,
            pieces: [RecordChunk.Piece](repeating: RecordChunk.Piece(), count: sizes.layers + 1),
            layersHoldingKV: sizes.layers)
        liveChunks += 1
        if let slot = unused.popLast() {
            slots[Int(slot)].generation += 1
            slots[Int(slot)].chunk = chunk
            return ChunkID(slot: slot, generation: slots[Int(slot)].generation)
        }
        slots.append(Slot(chunk: chunk))
        return ChunkID(slot: Int32(slots.count - 1), generation: 0)
    }

    // MARK: Leaving the device

    /// Reserves the host's room for a whole chunk and returns its copies in forward order, or `nil` if the host is full.
    public mutating func offload(_ id: ChunkID, ledger: inout Ledger) -> [(job: CopyJob, bytes: Bytes)]? {
        guard let chunk = self[id] else { return nil }
        let copies = chunk.pieces.indices.map { layer in
            (job: CopyJob(chunk: id, layer: layer, part: .all), bytes: bytes(of: chunk, layer: layer, part: .all))
        }.filter { $0.bytes > .zero }
        let total = copies.reduce(Bytes.zero) { $0 + $1.bytes }
        guard ledger.reserve(total, for: .recorded, on: .host) else { return nil }
        for copy in copies { self[id]?.pieces[copy.job.layer].leaving = true }
        return copies
    }

    /// Whether a queued copy to the host is still worth starting; if not, its room on the host is given back.
    public mutating func startLeaving(_ job: CopyJob, ledger: inout Ledger) -> Bool {
        guard let chunk = self[job.chunk], chunk.pieces[job.layer].leaving else { return false }
        guard chunk.pinned else {
            self[job.chunk]?.pieces[job.layer].copying = true
            return true
        }
        self[job.chunk]?.pieces[job.layer].leaving = false
        ledger.release(bytes(of: chunk, layer: job.layer, part: .all), of: .recorded, on: .host)
        return false
    }

    /// A copy to the host is complete: the piece leaves the device unless training reads it there.
    public mutating func arrivedOnHost(_ job: CopyJob, pool: inout KVPool, ledger: inout Ledger) {
        guard let chunk = self[job.chunk] else { return }
        self[job.chunk]?.pieces[job.layer].leaving = false
        self[job.chunk]?.pieces[job.layer].copying = false
        self[job.chunk]?.pieces[job.layer].onHost = true
        movements.append(.copiedToHost(job.chunk, layer: job.layer))
        if chunk.pieces[job.layer].doomed {
            discard(job.chunk, layer: job.layer, pool: &pool, ledger: &ledger)
        } else if !chunk.pinned {
            freeDeviceCopy(job.chunk, layer: job.layer, pool: &pool, ledger: &ledger)
        }
    }

    private mutating func freeDeviceCopy(_ id: ChunkID, layer: Int, pool: inout KVPool, ledger: inout Ledger) {
        guard let chunk = self[id], chunk.pieces[layer].onDevice else { return }
        self[id]?.pieces[layer].onDevice = false
        ledger.release(bytes(of: chunk, layer: layer, part: .activations), of: .recorded, on: .device)
        movements.append(.freedOnDevice(id, layer: layer))
        guard !chunk.isFinal(layer) else { return }
        self[id]?.layersHoldingKV -= 1
        if chunk.layersHoldingKV == 1 {
            let freed = pool.releaseFromRecord(chunk.kvBlocks, ledger: &ledger)
            if !freed.isEmpty { movements.append(.freeBlocks(freed)) }
        }
    }

    // MARK: Training

    /// Keeps the device copies of the chunk where they are, or no longer.
    public mutating func pin(_ id: ChunkID, _ pinned: Bool) { self[id]?.pinned = pinned }

    /// Whether the part is on the device, as serving left it or staged.
    public func isOnDevice(_ id: ChunkID, layer: Int, part: CopyJob.Part) -> Bool {
        guard let piece = self[id]?.pieces[layer] else { return false }
        if piece.onDevice { return true }
        return switch part {
        case .activations: piece.stagedActivations
        case .kv: piece.stagedKV
        case .all: piece.stagedActivations && piece.stagedKV
        }
    }

    /// The bytes that a reload of the part would stage; zero when it is on the device or on its way.
    public func bytesToReload(_ id: ChunkID, layer: Int, part: CopyJob.Part) -> Bytes {
        guard let chunk = self[id], !isOnDevice(id, layer: layer, part: part) else { return .zero }
        let piece = chunk.pieces[layer]
        guard part == .kv ? !piece.returningKV : !piece.returningActivations else { return .zero }
        return bytes(of: chunk, layer: layer, part: part)
    }

    /// Marks a reload as asked for. The trainer has reserved the room.
    public mutating func beginReload(_ job: CopyJob) {
        precondition(
            self[job.chunk]?.pieces[job.layer].onHost == true,
            "layer \(job.layer) of \(job.chunk) is reloaded but not on the host")
        if job.part == .kv {
            self[job.chunk]?.pieces[job.layer].returningKV = true
        } else {
            self[job.chunk]?.pieces[job.layer].returningActivations = true
        }
    }

    public mutating func arrivedOnDevice(_ job: CopyJob) {
        if job.part == .kv {
            self[job.chunk]?.pieces[job.layer].returningKV = false
            self[job.chunk]?.pieces[job.layer].stagedKV = true
        } else {
            self[job.chunk]?.pieces[job.layer].returningActivations = false
            self[job.chunk]?.pieces[job.layer].stagedActivations = true
        }
        movements.append(.copiedToDevice(job.chunk, layer: job.layer, part: job.part))
    }

    // MARK: The end of pieces

    /// Releases everything of one piece, or, while it is being copied, has it released when the copy is done. Staged
    /// bytes belong to the trainer's reservation and are not released here.
    public mutating func discard(_ id: ChunkID, layer: Int, pool: inout KVPool, ledger: inout Ledger) {
        guard let chunk = self[id], chunk.pieces[layer].isLive else { return }
        guard !chunk.pieces[layer].copying else {
            self[id]?.pieces[layer].doomed = true
            return
        }
        freeDeviceCopy(id, layer: layer, pool: &pool, ledger: &ledger)
        if chunk.pieces[layer].onHost || chunk.pieces[layer].leaving {
            ledger.release(bytes(of: chunk, layer: layer, part: .all), of: .recorded, on: .host)
        }
        self[id]?.pieces[layer] = RecordChunk.Piece(onDevice: false)
        movements.append(.discarded(id, layer: layer))
        guard self[id]?.pieces.contains(where: \.isLive) == false else { return }
        self[id] = nil
        unused.append(id.slot)
        liveChunks -= 1
        movements.append(.forgotten(id))
    }

    /// Gives up a whole chunk that training is not reading.
    public mutating func drop(_ id: ChunkID, pool: inout KVPool, ledger: inout Ledger) {
        guard let chunk = self[id], !chunk.pinned else { return }
        self[id]?.dead = true
        for layer in chunk.pieces.indices { discard(id, layer: layer, pool: &pool, ledger: &ledger) }
    }
}
