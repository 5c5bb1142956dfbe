extension Simulation {
    /// The books say what the blocks and the pieces say: at any time, the bytes of the ledger are the sums over what
    /// exists.
    func checkBooks() throws(SimulationError) {
        func law(_ owner: MemoryOwner, on tier: MemoryTier, holds expected: Bytes) throws(SimulationError) {
            let booked = memory.ledger.level(of: owner, on: tier)
            guard booked != expected else { return }
            throw .brokenLaw(
                "at \(now), \(owner.name) on the \(tier.name) is booked with \(booked.count) bytes but holds "
                    + "\(expected.count)")
        }
        var device = Bytes.zero
        var host = Bytes.zero
        for (_, chunk) in memory.records.chunks {
            for layer in chunk.onDevice { device += memory.records.bytes(of: chunk, layer: layer, part: .activations) }
            for layer in chunk.hostRoom { host += memory.records.bytes(of: chunk, layer: layer, part: .all) }
        }
        try law(.recorded, on: .device, holds: device)
        let reloads = trainer.step?.open?.reloads
        try law(.staged, on: .device, holds: (reloads?.windowBytes ?? .zero) + (reloads?.kvBytes ?? .zero))
        try law(.recorded, on: .host, holds: host)
        try law(.trainActivations, on: .host, holds: trainer.step?.open?.offload?.hostBytes ?? .zero)
        if let open = trainer.step?.open, let offload = open.offload {
            let final = offload.isUsedUp(backend.model.layers - 1) ? Bytes.zero : open.finalBytes
            try law(
                .trainActivations, on: hasTrainerDevice ? .trainerDevice : .device, holds: offload.windowBytes + final)
            guard offload.heldBytes <= offload.windowBytes else {
                throw .brokenLaw("at \(now), the trainer's activations hold \(offload.heldBytes.count) bytes")
            }
        }
        try checkBlocks()
        if let problem = scheduler.promiseProblem(memory.kv) { throw .brokenLaw("at \(now), " + problem) }
        try checkRecords()
        for tier in MemoryTier.allCases {
            let sum = MemoryOwner.allCases.reduce(Bytes.zero) { $0 + memory.ledger.level(of: $1, on: tier) }
            guard sum <= memory.ledger.capacity(of: tier) else {
                throw .brokenLaw("at \(now), the \(tier.name) is booked with \(sum.count) bytes, beyond its capacity")
            }
        }
    }

    /// Every KV block has as many references as a walk over sequences and records finds holders, each is in one state, and
    /// the books hold what the states say.
    private func checkBlocks() throws(SimulationError) {
        func law(_ holds: Bool, _ text: @autoclosure () -> String) throws(SimulationError) {
            if !holds { throw .brokenLaw("at \(now), " + text()) }
        }
        let pool = memory.kv
        let (known, unused) = pool.blockCounts
        var holders = [(sequences: Int, records: Int)](repeating: (0, 0), count: known)
        var onHost = 0
        for sequence in scheduler.liveSequences {
            for id in sequence.kvBlocks { holders[id].sequences += 1 }
            onHost += sequence.hostBlocks
            try law(
                Set(sequence.kvBlocks).count == sequence.kvBlocks.count,
                "request \(sequence.request) holds a block twice")
            try law(
                sequence.state == .onHost || sequence.kvBlocks.count >= pool.blockCount(for: sequence.computed),
                "request \(sequence.request) has \(sequence.computed) tokens in \(sequence.kvBlocks.count) blocks")
        }
        var held = [RecordHold](repeating: [], count: known)
        for (_, chunk) in memory.records.chunks where chunk.holdsBlocks {
            for id in chunk.kvBlocks {
                holders[id].records += 1
                held[id].formUnion(chunk.hold)
            }
        }
        let recordOnly = held.indices.filter { holders[$0].sequences == 0 && holders[$0].records > 0 }
        try law(
            recordOnly.count { !held[$0].contains(.firm) } == pool.hedgedBlocks
                && recordOnly.count { !held[$0].contains(.fixed) } == pool.yieldingBlocks
                && recordOnly.count { !held[$0].contains(.staying) } == pool.leavingBlocks,
            "\(pool.hedgedBlocks), \(pool.yieldingBlocks) and \(pool.leavingBlocks) blocks of records can go")
        let idle = Set(pool.cache.idleBlocks)
        var states = (sequences: 0, records: 0)
        for (id, found) in holders.enumerated() {
            let booked = pool.references(of: id)
            try law(
                booked == found,
                "KV block \(id) is booked with \(booked) references by sequences and records, but has \(found)")
            let isLive = found.sequences + found.records > 0
            try law(!isLive || !idle.contains(id), "KV block \(id) is referred to and cached alone")
            if found.sequences > 0 { states.sequences += 1 } else if isLive { states.records += 1 }
        }
        let live = states.sequences + states.records
        try law(
            live == pool.liveBlocks && states.records == pool.recordOnlyBlocks && idle.count == pool.cachedBlocks
                && live + idle.count + unused == known && live + idle.count <= pool.capacity,
            "\(live) blocks are live, \(idle.count) cached and \(unused) unused, of \(known)")
        for (owner, tier, expected) in [
            (MemoryOwner.kv, MemoryTier.device, pool.blockBytes * states.sequences),
            (.recordedKV, .device, pool.blockBytes * states.records),
            (.cachedKV, .device, pool.blockBytes * idle.count), (.kv, .host, pool.blockBytes * onHost),
        ] {
            let booked = memory.ledger.level(of: owner, on: tier)
            try law(
                booked == expected,
                "\(owner.name) on the \(tier.name) is booked with \(booked.count) bytes but holds \(expected.count)")
        }
    }

    /// What the store says of itself: its sums are those over all chunks, a piece that is on its way or on the host has
    /// its room there, and nothing that may be read has gone.
    private func checkRecords() throws(SimulationError) {
        var leaving = Bytes.zero
        var yielding = Bytes.zero
        var onHost = Bytes.zero
        var oldest: Int?
        for (id, chunk) in memory.records.chunks {
            let going = chunk.onDevice.intersection(chunk.queued.union(chunk.copying))
            leaving += memory.records.bytes(of: chunk, going, part: .activations)
            if chunk.canGiveWay {
                for layer in chunk.onDevice.subtracting(chunk.copying) {
                    yielding += memory.records.bytes(of: chunk, layer: layer, part: .activations)
                }
                for layer in chunk.hostRoom where chunk.copying.isEmpty {
                    onHost += memory.records.bytes(of: chunk, layer: layer, part: .all)
                }
            }
            oldest = min(oldest ?? chunk.versions.lowerBound, chunk.versions.lowerBound)
            let hasRoom = chunk.hostRoom.isSuperset(of: chunk.copying.union(chunk.onHost))
            let isCopied = chunk.onDevice.isSuperset(of: chunk.copying.union(chunk.queued))
            let isWhole = chunk.dead || chunk.consuming || chunk.live == chunk.made
            guard hasRoom, isCopied, isWhole, chunk.references > 0 || chunk.dead else {
                throw .brokenLaw("at \(now), \(id) of request \(chunk.request) is in no state that can be: \(chunk)")
            }
        }
        guard leaving == memory.records.leavingBytes, oldest == memory.records.oldestVersion,
            yielding == memory.records.yieldingBytes, onHost == memory.records.yieldingHostBytes
        else {
            throw .brokenLaw("at \(now), the sums over records differ from those over their chunks")
        }
    }

    /// What was really held, beside what was booked for it.
    mutating func noteArenas() {
        log.memory.arenas = backend.arenaPeaks.map { peak in
            var peak = peak
            peak.booked = log.memory.booked(for: peak.purpose, on: peak.tier)
            return peak
        }
    }

    /// The laws that every complete run keeps, checked after each one.
    func checkFinalLaws() throws(SimulationError) {
        func law(_ holds: Bool, _ text: @autoclosure () -> String) throws(SimulationError) {
            if !holds { throw .brokenLaw(text()) }
        }
        for peak in log.memory.arenas {
            try law(
                peak.purpose.isExact ? peak.held == peak.booked : peak.held <= peak.booked,
                "\(peak.held.count) bytes were held for \(peak.purpose.name) on the \(peak.tier.name), "
                    + "\(peak.booked.count) were booked")
        }
        try law(
            scheduler.isEmpty, "\(scheduler.runningCount) requests run and \(scheduler.waitingCount) wait at the end")
        let open = log.requests.filter { $0.outcome == .unfinished }
        try law(open.isEmpty, "\(open.count) requests are neither finished nor refused at the end")
        try law(!trainer.hasWork, "the trainer still has work at the end")
        try law(publishing == nil, "version \(publishing ?? 0) is still on its way to the server at the end")
        try law(memory.copiesAreIdle, "copies are still under way at the end")
        try law(memory.records.liveChunks == 0, "\(memory.records.liveChunks) record chunks are left at the end")
        try law(memory.kv.liveBlocks == 0, "\(memory.kv.liveBlocks) KV blocks are left at the end")
        for owner in MemoryOwner.allCases where owner.isTransient {
            let left = MemoryTier.allCases.reduce(Bytes.zero) { $0 + memory.ledger.level(of: owner, on: $1) }
            try law(left == .zero, "\(owner.name) still holds \(left.count) bytes at the end")
        }
        for request in log.requests where request.outcome == .finished {
            guard let arrival = request.effectiveArrival, let scheduled = request.scheduled,
                let first = request.firstToken, let finish = request.finish
            else { throw .brokenLaw("request \(request.index) finished without all of its times") }
            try law(
                arrival <= scheduled && scheduled < first && first <= finish,
                "request \(request.index): its times are out of order")
        }
        let gaps = log.requests.reduce(0) {
            $0 + ($1.outcome == .finished ? trace.requests[$1.index].outputTokens - 1 : 0)
        }
        try law(log.tokenGaps.total == gaps, "\(log.tokenGaps.total) gaps between tokens, expected \(gaps)")
    }
}
