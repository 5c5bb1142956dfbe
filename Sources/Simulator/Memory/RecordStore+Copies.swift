extension RecordStore {
    // MARK: To the host

    /// What came of a copy that could start.
    enum Leaving {
        /// Nobody wants it.
        case unwanted
        /// The host lacks room for the chunk.
        case noRoom(Bytes)
        case starts(Bytes)
    }

    /// Marks those pieces of the job that are on the device and not on their way as queued; false when there are none.
    public mutating func queueCopy(_ job: CopyJob, pool: inout KVPool) -> Bool {
        guard let chunk = self[job.chunk], !chunk.dead else { return false }
        let pieces = LayerSet(job.layers).intersection(chunk.onDevice).subtracting(chunk.hostRoom)
            .subtracting(chunk.queued)
        guard !pieces.isEmpty else { return false }
        update(job.chunk, &pool) {
            $0.queued.formUnion(pieces)
            $0.refused = false
        }
        return true
    }

    /// Starts a copy to the host if it is still wanted, and reserves the room of the whole chunk with its first.
    ///
    /// A micro-batch that holds the last references needs no copy: what is queued of the chunk is given up.
    mutating func startLeaving(_ job: CopyJob, pool: inout KVPool, ledger: inout Ledger) -> Leaving {
        guard let chunk = self[job.chunk] else { return .unwanted }
        let wanted = chunk.queued.intersection(LayerSet(job.layers))
        guard !wanted.isEmpty else { return .unwanted }
        guard !chunk.consuming else {
            cancelQueued(job.chunk, pool: &pool, ledger: &ledger)
            return .unwanted
        }
        let missing = chunk.queued.subtracting(chunk.hostRoom)
        if !missing.isEmpty {
            let room = bytes(of: chunk, missing, part: .all)
            guard ledger.reserve(room, for: .recorded, on: .host) else { return .noRoom(room) }
            movements.append(.reservedOnHost(job.chunk, missing))
        }
        update(job.chunk, &pool) {
            $0.hostRoom.formUnion(missing)
            $0.queued.subtract(wanted)
            $0.copying.formUnion(wanted)
        }
        return .starts(bytes(of: chunk, wanted, part: .all))
    }

    /// Takes the chunk's queued copies back, with their room on the host.
    mutating func cancelQueued(
        _ id: ChunkID, refused: Bool = false, pool: inout KVPool, ledger: inout Ledger
    ) {
        guard let chunk = self[id] else { return }
        releaseHostRoom(id, chunk.hostRoom.intersection(chunk.queued), pool: &pool, ledger: &ledger)
        update(id, &pool) {
            $0.queued = LayerSet()
            $0.refused = refused
        }
    }

    private mutating func releaseHostRoom(
        _ id: ChunkID, _ pieces: LayerSet, pool: inout KVPool, ledger: inout Ledger
    ) {
        guard let chunk = self[id], !pieces.isEmpty else { return }
        ledger.release(bytes(of: chunk, pieces, part: .all), of: .recorded, on: .host)
        movements.append(.freedOnHost(id, pieces))
        update(id, &pool) {
            $0.hostRoom.subtract(pieces)
            $0.onHost.subtract(pieces)
        }
    }

    /// A transfer to the host is complete: the pieces leave the device unless training reads them there, or they are kept
    /// as a hedge.
    public mutating func arrivedOnHost(_ job: CopyJob, pool: inout KVPool, ledger: inout Ledger) {
        guard let chunk = self[job.chunk] else { return }
        let pieces = chunk.copying.intersection(LayerSet(job.layers))
        update(job.chunk, &pool) {
            $0.copying.subtract(pieces)
            $0.onHost.formUnion(pieces)
        }
        for layer in pieces { movements.append(.copiedToHost(job.chunk, layer: layer)) }
        for layer in pieces.intersection(chunk.doomed) {
            discard(job.chunk, layer: layer, pool: &pool, ledger: &ledger)
        }
        guard !chunk.pinned, !keepsDeviceCopies else { return }
        freeDeviceCopies(job.chunk, pieces.subtracting(chunk.doomed), pool: &pool, ledger: &ledger)
    }

    // MARK: Giving way

    /// Drops the device copies of pieces that the host has until `bytes` are free: the lowest layers of all chunks first,
    /// because backward needs them last.
    mutating func dropHedges(until bytes: Bytes, pool: inout KVPool, ledger: inout Ledger) {
        guard ledger.free(on: .device) < bytes, hedgedBytes > .zero else { return }
        var layer = 0
        while layer < hedged.listCount, ledger.free(on: .device) < bytes {
            guard let slot = hedged.first(in: layer) else {
                layer += 1
                continue
            }
            freeDeviceCopies(id(of: slot), LayerSet(layer..<layer + 1), pool: &pool, ledger: &ledger)
        }
    }

    /// Drops the device copies of chunks that the host has until `blocks` more KV blocks are free or in the prefix cache
    /// alone: first of those that wait for feedback, last of the sample that is trained on next. Chunks that let no block
    /// go stay.
    mutating func dropHedges(blocks: Int, pool: inout KVPool, ledger: inout Ledger) {
        let wanted = pool.liveBlocks - blocks
        for need in RecordChunk.Need.allCases {
            let fromEnd = need == .claimed
            var next = fromEnd ? hedgedBlocks.last(in: need.rawValue) : hedgedBlocks.first(in: need.rawValue)
            while let slot = next, pool.liveBlocks > wanted, pool.hedgedBlocks > 0 {
                next = fromEnd ? hedgedBlocks.previous(before: slot) : hedgedBlocks.next(after: slot)
                let id = id(of: slot)
                guard let blocks = self[id]?.kvBlocks, blocks.contains(where: { pool.isHedged($0) }) else { continue }
                freeDeviceCopies(id, LayerSet(0..<sizes.layers), pool: &pool, ledger: &ledger)
            }
        }
    }

    /// The record that gives its place on the device up first: it waits for feedback, or is of a running request, or of
    /// the sample that is trained on last.
    ///
    /// - Parameter blocks: whether it is to let KV blocks go that nobody else holds.
    func firstToGiveWay(blocks: Bool, _ pool: KVPool) -> ChunkID? {
        for need in RecordChunk.Need.allCases {
            let fromEnd = need == .claimed
            var next = fromEnd ? onDevice.last(in: need.rawValue) : onDevice.first(in: need.rawValue)
            while let slot = next {
                let id = id(of: slot)
                guard blocks else { return id }
                if let chunk = self[id], chunk.holdsBlocks, chunk.kvBlocks.contains(where: { pool.yields($0) }) {
                    return id
                }
                next = fromEnd ? onDevice.previous(before: slot) : onDevice.next(after: slot)
            }
        }
        return nil
    }

    /// Takes one record from the host, whatever it is kept for: first those that wait for feedback, then those of running
    /// requests, then that of the sample that is trained on last. False when there is none that can go.
    mutating func yieldOnHost(pool: inout KVPool, ledger: inout Ledger) -> Bool {
        let slot =
            yieldingOnHost.first(in: RecordChunk.Need.waiting.rawValue)
            ?? yieldingOnHost.first(in: RecordChunk.Need.serving.rawValue)
            ?? yieldingOnHost.last(in: RecordChunk.Need.claimed.rawValue)
        guard let slot else { return false }
        takeFromHost(id(of: slot), pool: &pool, ledger: &ledger)
        return true
    }

    /// A record leaves the host: one whose pieces are all on the device, too, stays there, and is copied again when there
    /// is room; any other is lost.
    private mutating func takeFromHost(_ id: ChunkID, pool: inout KVPool, ledger: inout Ledger) {
        guard let chunk = self[id] else { return }
        if chunk.onDevice.isSuperset(of: chunk.made) {
            cancelQueued(id, refused: true, pool: &pool, ledger: &ledger)
            releaseHostRoom(id, chunk.hostRoom.subtracting(chunk.queued), pool: &pool, ledger: &ledger)
        } else {
            drop(id, because: .evicted, pool: &pool, ledger: &ledger)
        }
    }

    /// Gives one record up so that the host has room for a newer one; false when none may go. A record whose pieces are
    /// all on the device, too, stays there.
    mutating func evictFromHost(pool: inout KVPool, ledger: inout Ledger) -> Bool {
        let slot: Int32? =
            switch hostEviction {
            case .none: nil
            case .oldest: onHost.first(in: 0)
            case .expiring:
                onHost.first(in: RecordChunk.Need.waiting.rawValue)
                    ?? onHost.first(in: RecordChunk.Need.serving.rawValue)
            }
        guard let slot else { return false }
        takeFromHost(id(of: slot), pool: &pool, ledger: &ledger)
        return true
    }

    // MARK: Back to the device

    /// Whether the part is on the device, as serving left it or staged.
    public func isOnDevice(_ id: ChunkID, layer: Int, part: CopyJob.Part) -> Bool {
        guard let chunk = self[id] else { return false }
        if chunk.onDevice[layer] || !chunk.made[layer] { return true }
        return switch part {
        case .activations: chunk.stagedActivations[layer]
        case .kv: chunk.stagedKV[layer]
        case .all: chunk.stagedActivations[layer] && (chunk.stagedKV[layer] || chunk.isFinal(layer))
        }
    }

    /// The bytes that a reload of the part would stage; zero when it is on the device or on its way.
    public func bytesToReload(_ id: ChunkID, layer: Int, part: CopyJob.Part) -> Bytes {
        guard let chunk = self[id], !isOnDevice(id, layer: layer, part: part) else { return .zero }
        guard part == .kv ? !chunk.returningKV[layer] : !chunk.returningActivations[layer] else { return .zero }
        return bytes(of: chunk, layer: layer, part: part)
    }

    /// The bytes of a chunk that need no reload because their device copy has been kept beside the host's.
    public func hedgedBytes(of id: ChunkID) -> Bytes {
        self[id].map { bytes(of: $0, $0.hedged, part: .all) } ?? .zero
    }

    /// Marks a reload as asked for. The trainer has reserved the room.
    public mutating func beginReload(_ job: CopyJob, pool: inout KVPool) {
        Law.require(
            self[job.chunk]?.onHost[job.layer] == true,
            "layer \(job.layer) of \(job.chunk) is reloaded but not on the host")
        update(job.chunk, &pool) { chunk in
            if job.part == .kv {
                chunk.returningKV[job.layer] = true
            } else {
                chunk.returningActivations[job.layer] = true
            }
        }
    }

    public mutating func arrivedOnDevice(_ job: CopyJob, pool: inout KVPool) {
        update(job.chunk, &pool) { chunk in
            if job.part == .kv {
                chunk.returningKV[job.layer] = false
                chunk.stagedKV[job.layer] = true
            } else {
                chunk.returningActivations[job.layer] = false
                chunk.stagedActivations[job.layer] = true
            }
        }
        movements.append(.copiedToDevice(job.chunk, layer: job.layer, part: job.part))
    }

    /// Training is through with a layer of a chunk that others refer to: what was staged of it goes, the piece stays.
    mutating func unstage(_ id: ChunkID, layer: Int, pool: inout KVPool) {
        guard let chunk = self[id], chunk.stagedActivations[layer] || chunk.stagedKV[layer] else { return }
        update(id, &pool) {
            $0.stagedActivations[layer] = false
            $0.stagedKV[layer] = false
        }
        movements.append(.unstaged(id, layer: layer))
    }

    // MARK: The end of pieces

    /// Frees device copies, and the hold on the KV blocks with the last piece that has K and V.
    mutating func freeDeviceCopies(
        _ id: ChunkID, _ pieces: LayerSet, pool: inout KVPool, ledger: inout Ledger
    ) {
        guard let chunk = self[id] else { return }
        let pieces = pieces.intersection(chunk.onDevice)
        guard !pieces.isEmpty else { return }
        update(id, &pool) { $0.onDevice.subtract(pieces) }
        ledger.release(bytes(of: chunk, pieces, part: .activations), of: .recorded, on: .device)
        for layer in pieces { movements.append(.freedOnDevice(id, layer: layer)) }
        guard chunk.holdsBlocks, self[id]?.holdsBlocks == false else { return }
        let freed = pool.releaseFromRecord(chunk.kvBlocks, ledger: &ledger)
        if !freed.isEmpty { movements.append(.freeBlocks(freed)) }
    }

    /// Releases everything of one piece, or, while it is being copied, has it released when the copy is done. Staged
    /// bytes belong to the trainer's reservation and are not released here.
    public mutating func discard(_ id: ChunkID, layer: Int, pool: inout KVPool, ledger: inout Ledger) {
        guard let chunk = self[id], chunk.live[layer] else { return }
        guard !chunk.copying[layer] else {
            update(id, &pool) { $0.doomed[layer] = true }
            return
        }
        freeDeviceCopies(id, LayerSet(layer..<layer + 1), pool: &pool, ledger: &ledger)
        if chunk.hostRoom[layer] {
            ledger.release(bytes(of: chunk, layer: layer, part: .all), of: .recorded, on: .host)
        }
        update(id, &pool) {
            $0.hostRoom[layer] = false
            $0.onHost[layer] = false
            $0.queued[layer] = false
            $0.stagedActivations[layer] = false
            $0.stagedKV[layer] = false
        }
        movements.append(.discarded(id, layer: layer))
        forgetIfGone(id, pool: &pool)
    }

    /// Gives up a whole chunk that training is not reading, whoever refers to it.
    public mutating func drop(
        _ id: ChunkID, because reason: LossReason? = nil, pool: inout KVPool, ledger: inout Ledger
    ) {
        guard let chunk = self[id], !chunk.pinned, !chunk.dead else { return }
        update(id, &pool) { $0.dead = true }
        if let reason {
            losses.append(
                RecordLoss(
                    request: chunk.request, tokens: chunk.tokens.count, bytes: bytes(of: chunk, chunk.made, part: .all),
                    reason: reason))
        }
        for layer in chunk.live { discard(id, layer: layer, pool: &pool, ledger: &ledger) }
    }
}
