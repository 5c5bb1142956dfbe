extension MemorySystem {
    /// Room for the record of `tokens` of a request whose K and V are in `blocks`, or `nil` when there is none.
    ///
    /// - Parameter capacity: tokens that there is room for in the end; `tokens` if nothing is added later.
    public mutating func beginRecord(
        request: Int, tokens: Range<Int>, capacity: Int? = nil, finalRows: Int, versions: ClosedRange<Int>,
        blocks: [Int]
    ) -> ChunkID? {
        let rows = capacity ?? tokens.count
        let bytes = records.sizes.deviceBytes(tokens: rows, finalRows: finalRows)
        guard makeRoom(for: bytes, evictingCache: recording.evictsPrefixCache) else { return nil }
        let used = tokens.lowerBound / kv.blockTokens..<kv.blockCount(for: tokens.lowerBound + rows)
        // An array of its own: a slice of the sequence's table would have the table copied when it grows.
        let id = records.begin(
            request: request, tokens: tokens, capacity: capacity, finalRows: finalRows, versions: versions,
            kvBlocks: ArraySlice(Array(blocks[used])), pool: &kv, ledger: &ledger)
        if let id { noteRecord(id, of: tokens.lowerBound..<tokens.lowerBound + rows, in: blocks) }
        return id
    }

    public mutating func extendRecord(_ id: ChunkID, version: Int) {
        records.extend(id, version: version, pool: &kv)
    }

    /// The iteration that wrote to the chunk has ended.
    public mutating func endWriting(_ id: ChunkID) { records.endWriting(id, pool: &kv) }

    /// Nothing is added to a growing chunk any more.
    public mutating func sealRecord(_ id: ChunkID) { records.seal(id, pool: &kv, ledger: &ledger) }

    /// Another request's record refers to the chunk, too; false when it can not be shared any more.
    public mutating func link(_ id: ChunkID) -> Bool { records.link(id, pool: &kv) }

    public mutating func note(_ id: ChunkID, need: RecordChunk.Need) { records.note(id, need: need, pool: &kv) }

    /// A request or sample no longer refers to the chunk.
    public mutating func release(_ id: ChunkID, count: Int = 1, because reason: LossReason? = nil) {
        records.release(id, count: count, because: reason, pool: &kv, ledger: &ledger)
    }

    public mutating func drop(_ id: ChunkID, because reason: LossReason? = nil) {
        records.drop(id, because: reason, pool: &kv, ledger: &ledger)
    }

    /// The records given up since the last call.
    public mutating func takeLosses() -> [RecordLoss] {
        defer { records.losses.removeAll(keepingCapacity: true) }
        return records.losses
    }

    // MARK: Giving way

    /// Gives records up until `bytes` are free. False, with nothing given up, when that can not be.
    public mutating func giveUpRecords(for bytes: Bytes) -> Bool {
        guard canGain(bytes) else { return false }
        while !hasRoom(for: bytes) {
            guard giveUpOneRecord() else { return false }
        }
        return makeRoom(for: bytes)
    }

    /// Gives up the record that is needed least among those that let bytes go, or KV blocks where sequences want these and
    /// the pool is at its own limit; false when there is none. What the host has, too, is not given up for that.
    ///
    /// - Parameter blocks: KV blocks that are wanted.
    public mutating func giveUpOneRecord(for blocks: Int = 0) -> Bool {
        let wantsBlocks = blocks > kv.capacity - kv.liveBlocks + kv.hedgedBlocks
        guard let id = records.firstToGiveWay(blocks: wantsBlocks, kv), let chunk = records[id] else { return false }
        let isLeaving = !chunk.queued.union(chunk.copying).isEmpty
        drop(id, because: isLeaving ? .link : chunk.refused ? .hostFull : .deviceFull)
        return true
    }

    // MARK: Copies to the host

    /// Queues the copies of chunks to the host in forward order, in transfers of the configured granule.
    ///
    /// - Parameter written: the iteration that writes them all. The copies of a layer, of every chunk, start when it is
    ///   through the layer, as far as equal shares of its time tell: the first of L layers after 1 / L. Without it all of
    ///   them can start, chunk after chunk.
    public mutating func offload(_ ids: [ChunkID], at now: SimTime, written: (start: SimTime, end: SimTime)? = nil) {
        let layers = records.sizes.layers
        switch recording.granule {
        case .layer:
            guard let written else {
                for id in ids {
                    for layer in 0...layers { offload(id, layer: layer, at: now, ready: now) }
                }
                return
            }
            // What is ready first is queued first, or the last layer of one chunk would hold the first of the next up.
            for layer in 0...layers {
                let ready = Self.time(of: layer, of: layers, in: written)
                for id in ids { offload(id, layer: layer, at: now, ready: ready) }
            }
        case .chunk:
            for id in ids {
                let job = CopyJob(chunk: id, layers: 0..<layers + 1, part: .all)
                if records.queueCopy(job, pool: &kv) { toHost.enqueue([job], at: now, ready: written?.end) }
            }
        case .request:
            let jobs = ids.map { CopyJob(chunk: $0, layers: 0..<layers + 1, part: .all) }.filter {
                records.queueCopy($0, pool: &kv)
            }
            if !jobs.isEmpty { toHost.enqueue(jobs, at: now, ready: written?.end) }
        }
    }

    private mutating func offload(_ id: ChunkID, layer: Int, at now: SimTime, ready: SimTime) {
        let job = CopyJob(chunk: id, layer: layer, part: .all)
        if records.queueCopy(job, pool: &kv) { toHost.enqueue([job], at: now, ready: ready) }
    }

    private static func time(of layer: Int, of layers: Int, in iteration: (start: SimTime, end: SimTime)) -> SimTime {
        guard layer + 1 < layers else { return iteration.end }
        let duration = (iteration.end - iteration.start).nanoseconds
        let (quotient, remainder) = duration.quotientAndRemainder(dividingBy: Int64(layers))
        let share = quotient * Int64(layer + 1) + remainder * Int64(layer + 1) / Int64(layers)
        return iteration.start + SimDuration(nanoseconds: share)
    }

    /// Queues what the policy wants queued beside new records: under `headroom` the oldest records while too little of
    /// the device is free, and records that the host refused as soon as it has room.
    public mutating func continueOffload(at now: SimTime) {
        if recording.offload == .headroom {
            let headroom = recording.headroom.bytes(of: ledger.capacity(of: .device))
            while ledger.free(on: .device) + records.leavingBytes < headroom || isShortOfBlocks(headroom),
                let slot = records.unqueued.first(in: 0)
            {
                offload([records.id(of: slot)], at: now)
            }
        }
        while toHost.isIdle, let slot = records.unqueued.first(in: 1), let chunk = records[records.id(of: slot)],
            records.bytes(of: chunk, chunk.made, part: .all) <= ledger.free(on: .host)
        {
            offload([records.id(of: slot)], at: now)
        }
    }

    /// Whether less of the pool's blocks are left to sequences than the same share that `headroom` is of the device.
    private func isShortOfBlocks(_ headroom: Bytes) -> Bool {
        guard kv.capacity < .max else { return false }
        let share = Double(headroom.count) / Double(max(1, ledger.capacity(of: .device).count))
        return Double(kv.capacity - kv.liveBlocks + kv.leavingBlocks) < share * Double(kv.capacity)
    }

    /// Whether copies are queued or under way that will let device memory go.
    public var copiesMakeRoom: Bool { records.leavingBytes > .zero }

    /// Why there is no room on the device for a record.
    public var lack: LossReason {
        copiesMakeRoom ? .link : records.unqueued.first(in: 1) != nil ? .hostFull : .deviceFull
    }

    // MARK: Training

    /// Keeps the device copies of the chunk where they are, for a micro-batch that holds `uses` of its references.
    public mutating func pin(_ id: ChunkID, uses: Int = 1) { records.pin(id, uses: uses, pool: &kv) }

    public mutating func unpin(_ id: ChunkID) { records.unpin(id, pool: &kv, ledger: &ledger) }

    /// What chunks hold on the device: activations where serving left them, and KV blocks, each counted once.
    func bytesOnDevice(of ids: [ChunkID]) -> Bytes {
        var blocks: Set<Int> = []
        var bytes = Bytes.zero
        for chunk in ids.lazy.compactMap({ records[$0] }) {
            bytes += records.bytes(of: chunk, chunk.onDevice, part: .activations)
            if chunk.holdsBlocks { blocks.formUnion(chunk.kvBlocks) }
        }
        return bytes + kv.blockBytes * blocks.count
    }

    /// Drops the device copies of those pieces of the chunks that the host has, too; false if there are none.
    mutating func dropHedges(of ids: [ChunkID]) -> Bool {
        var hasDropped = false
        for id in ids {
            guard let chunk = records[id], !chunk.hedged.isEmpty else { continue }
            records.freeDeviceCopies(id, chunk.hedged, pool: &kv, ledger: &ledger)
            hasDropped = true
        }
        return hasDropped
    }

    /// Queues the copy of a part of a piece back to the device, into room that the trainer has reserved.
    public mutating func reload(_ job: CopyJob, at now: SimTime) {
        toDevice.enqueue([job], at: now)
        records.beginReload(job, pool: &kv)
    }

    /// Backward is through with a layer: the piece goes, or only what was staged of it if others refer to the chunk.
    public mutating func consume(_ id: ChunkID, layer: Int) {
        guard let chunk = records[id] else { return }
        if chunk.consuming { discard(id, layer: layer) } else { records.unstage(id, layer: layer, pool: &kv) }
    }

    public mutating func discard(_ id: ChunkID, layer: Int) {
        records.discard(id, layer: layer, pool: &kv, ledger: &ledger)
    }

    /// Queues the copy of what the trainer keeps in a layer, into room that it has reserved.
    public mutating func copyActivations(
        of layer: Int, _ bytes: Bytes, _ direction: TransferDirection, at now: SimTime
    ) {
        switch direction {
        case .toHost: toHost.enqueue(activationsOf: layer, bytes: bytes, at: now)
        case .toDevice: toDevice.enqueue(activationsOf: layer, bytes: bytes, at: now)
        }
    }

    // MARK: Transfers

    /// The transfers that started, and when the next one can that waits for what it copies.
    public struct StartedCopies: Sendable {
        public var started: [(direction: TransferDirection, duration: SimDuration)] = []
        public var next: SimTime?
    }

    /// Starts what the copy engines can start.
    public mutating func startCopies(at now: SimTime) -> StartedCopies {
        var result = StartedCopies()
        switch toHost.startNext(at: now, bytes: { Self.startLeaving($0, &records, &kv, &ledger) }) {
        case .nothing: break
        case .waits(let time): result.next = time
        case .started(_, let duration): result.started.append((.toHost, duration))
        }
        let returning = toDevice.startNext(at: now) { job in
            records[job.chunk].map { records.bytes(of: $0, LayerSet(job.layers), part: job.part) } ?? .zero
        }
        if case .started(_, let duration) = returning { result.started.append((.toDevice, duration)) }
        return result
    }

    /// The bytes of a copy to the host that starts now; zero if it does not. Older records make room on the host as the
    /// policy allows; otherwise the chunk is refused and stays on the device.
    private static func startLeaving(
        _ job: CopyJob, _ records: inout RecordStore, _ kv: inout KVPool, _ ledger: inout Ledger
    ) -> Bytes {
        while true {
            switch records.startLeaving(job, pool: &kv, ledger: &ledger) {
            case .unwanted: return .zero
            case .starts(let bytes): return bytes
            case .noRoom(let bytes):
                guard bytes <= ledger.free(on: .host) + records.evictableHostBytes,
                    records.evictFromHost(pool: &kv, ledger: &ledger)
                else {
                    records.cancelQueued(job.chunk, refused: true, pool: &kv, ledger: &ledger)
                    return .zero
                }
            }
        }
    }

    /// Ends the transfer under way in one direction and returns what it moved, and for which request; -1 if for none.
    public mutating func finishCopy(_ direction: TransferDirection) -> (entry: CopyEngine.Entry, request: Int)? {
        guard let entry = direction == .toHost ? toHost.finish() : toDevice.finish() else { return nil }
        switch entry.work {
        case .sequence(let request): return (entry, request)
        case .activations: return (entry, -1)
        case .pieces: break
        }
        let request = entry.jobs.first.flatMap { records[$0.chunk]?.request } ?? -1
        for job in entry.jobs {
            switch direction {
            case .toHost: records.arrivedOnHost(job, pool: &kv, ledger: &ledger)
            case .toDevice: records.arrivedOnDevice(job, pool: &kv)
            }
        }
        return (entry, request)
    }

    /// Whether only the end of a transfer can make another start.
    var copiesAreSettled: Bool {
        !toHost.mayStart && !toDevice.mayStart && !(toHost.isIdle && records.unqueued.first(in: 1) != nil)
    }

    public var copiesAreIdle: Bool { toHost.isIdle && toDevice.isIdle }
}
