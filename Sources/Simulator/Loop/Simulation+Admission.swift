/// Which samples become a micro-batch, and with which of their records.
extension Simulation {
    /// A micro-batch that may be opened as soon as its memory is free.
    struct Admission {
        var open: Trainer.OpenMicroBatch
        /// Samples of the step that it takes.
        var samples: Int
        /// The most rows that any of its units has.
        var unitRows: Int
        /// Parts of records that are too stale.
        var stale: [RecordReference]
        /// Records that it does without for want of room, with its references to them.
        var leftOut: [(id: ChunkID, uses: Int)]
    }

    /// The next micro-batch: as many of the step's samples, in order, as `training.micro_batch_tokens` lets go through
    /// together and the trainer's device has room for.
    ///
    /// Room is what the device has beside what stays there for good and a KV block, whoever holds it now: others give it
    /// back or give way in time. What a micro-batch takes is known, because its records are as they are now until it is
    /// closed: what it computes, what comes back of its records, and what lies on the device of them. Where that is too much,
    /// device copies go that the host has, too; then the last samples wait for the next micro-batch; then a sample that is
    /// alone does without records. Without any, every sample has room: that was seen to before the run.
    mutating func admitMicroBatch(of step: Trainer.ActiveStep) -> Admission {
        let most = Sample.count(of: step.pending, within: configuration.training.microBatchTokens)
        var admitted = planMicroBatch(of: step, samples: most)
        if !hasRoom(for: admitted), memory.dropHedges(of: admitted.open.chunks.map(\.id)) {
            admitted = planMicroBatch(of: step, samples: most)
        }
        if most > 1, !hasRoom(for: admitted) {
            var tooMany = most
            admitted = planMicroBatch(of: step, samples: 1)
            while tooMany - admitted.samples > 1 {
                let tried = planMicroBatch(of: step, samples: (admitted.samples + tooMany) / 2)
                if hasRoom(for: tried) { admitted = tried } else { tooMany = tried.samples }
            }
        }
        var without: [ChunkID] = []
        while !hasRoom(for: admitted), let next = firstToLeaveOut(of: admitted.open) {
            without.append(next)
            admitted = planMicroBatch(of: step, samples: 1, without: without)
        }
        return admitted
    }

    private func planMicroBatch(
        of step: Trainer.ActiveStep, samples count: Int, without: [ChunkID] = []
    ) -> Admission {
        var (plan, stale) = trainer.microBatch(
            of: step.pending.prefix(count), stepLossTokens: step.record.lossTokens, stepSamples: step.record.samples,
            records: memory.records)
        let leftOut = plan.chunks.filter { without.contains($0.id) }
        for chunk in leftOut { plan.leaveOut(chunk.id) }
        let estimate = { [plan] (unit: TrainerUnit) in
            backend.estimate(.train(TrainerQuantum(microBatch: plan, units: [unit])))
        }
        let (units, unitRows) = trainer.planner.units(for: plan, plans: backend.footprint.plans, estimate: estimate)
        let chunks = plan.chunks
        let activations = (0..<backend.model.layers).map {
            backend.footprint.trainActivations(layer: $0, freshRows: plan.freshRows, freshLossRows: plan.freshLossRows)
        }
        let open = Trainer.OpenMicroBatch(
            plan: plan, chunks: chunks, run: Trainer.UnitRun(units: units, predict: estimate),
            reloads: ReloadPlan(
                chunks: chunks.map(\.id), records: memory.records, layers: backend.model.layers,
                prefetchLayers: configuration.recording.prefetchLayers, hasFreshRows: plan.freshRows > 0),
            workspace: backend.trainWorkspace(for: plan, unitRows: unitRows), activations: activations,
            offload: configuration.training.offload(of: activations),
            finalBytes: backend.footprint.finalPerToken * plan.freshLossRows)
        return Admission(open: open, samples: count, unitRows: unitRows, stale: stale, leftOut: leftOut)
    }

    /// Whether there is room for a micro-batch once everybody else has made room.
    private func hasRoom(for admission: Admission) -> Bool {
        let open = admission.open
        let recorded = hasTrainerDevice ? Bytes.zero : memory.bytesOnDevice(of: open.chunks.map(\.id))
        return bytes(of: open).reduce(recorded) { $0 + $1.0 } <= microBatchRoom
            && open.offload?.hostBytes ?? .zero <= memory.ledger.capacity(of: .host)
    }

    /// The record that a sample does without first: the one with most room for tokens that are not the sample's, because pieces
    /// are moved and held as a whole, or else with most bytes.
    private func firstToLeaveOut(of open: Trainer.OpenMicroBatch) -> ChunkID? {
        func gain(_ id: ChunkID) -> (waste: Int, onDevice: Bytes, whole: Bytes) {
            guard let chunk = memory.records[id] else { return (0, .zero, .zero) }
            return (
                chunk.capacity - open.plan.usedTokens(of: id),
                memory.records.bytes(of: chunk, chunk.onDevice, part: .activations),
                memory.records.bytes(of: chunk, chunk.made, part: .all)
            )
        }
        return open.chunks.map(\.id).max { gain($0) < gain($1) }
    }

    /// What a micro-batch takes on the trainer's device beside its records that lie there.
    private func bytes(of open: Trainer.OpenMicroBatch) -> [(Bytes, MemoryOwner)] {
        [
            (open.workspace, .trainWorkspace), (open.activationBytes + open.finalBytes, .trainActivations),
            (open.reloads.windowBytes + open.reloads.kvBytes, .staged),
        ]
    }

    /// Room for a micro-batch. The server may free memory later; records of others give way when it has nothing to do, or
    /// when records are the ones to give way.
    mutating func reserve(_ open: Trainer.OpenMicroBatch) -> Bool {
        let wanted = bytes(of: open)
        let hostBytes = open.offload?.hostBytes ?? .zero
        guard memory.ledger.free(on: .host) >= hostBytes else { return false }
        let total = wanted.reduce(Bytes.zero) { $0 + $1.0 }
        if !memory.makeRoom(for: total, on: trainerTier) {
            guard !hasTrainerDevice, scheduler.isEmpty || configuration.recording.backpressure == .drop,
                memory.giveUpRecords(for: total)
            else { return false }
        }
        return memory.reserve(hostBytes, for: .trainActivations, on: .host)
            && wanted.allSatisfy { memory.reserve($0.0, for: $0.1, on: trainerTier) }
    }
}
