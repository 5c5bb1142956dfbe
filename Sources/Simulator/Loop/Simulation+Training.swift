extension Simulation {
    /// Starts a trainer quantum if one can run now.
    ///
    /// - Parameter limit: what the quantum must be predicted to fit; without one, a single unit may take longer than
    ///   `training.quantumMax`.
    mutating func startTraining(within limit: SimDuration? = nil) throws -> Bool {
        guard configuration.training.enabled else { return false }
        trainer.beginStep(at: now, draining: isDraining)
        guard trainer.step != nil, try openMicroBatch(), !waitsForPublish() else { return false }
        askForReloads()
        guard let quantum = nextQuantum(within: limit) else {
            // With a limit, the stream is the server's: nothing is lost by waiting.
            if limit == nil, stalledSince == nil { stalledSince = now }
            return false
        }
        endStall()
        if quantum.units.first == .gradientNorm { try auditIfDue() }
        let outcome = try execute(.train(quantum))
        let work = Work.training(quantum, outcome)
        if hasTrainerDevice { trainerWork = work } else { serverWork = work }
        chargeTrainer(for: outcome.duration)
        return true
    }

    /// The tier that the trainer computes in.
    var trainerTier: MemoryTier { hasTrainerDevice ? .trainerDevice : .device }

    /// No more samples will come.
    private var isDraining: Bool { openRequests == 0 && pendingFeedback == 0 }

    /// The trainer stops waiting for a reload: its copy has come, or the server takes the stream.
    mutating func endStall() {
        guard let since = stalledSince else { return }
        let stall = now - since
        trainer.step?.record.stall += stall
        stalledSince = nil
    }

    private func nextQuantum(within limit: SimDuration?) -> TrainerQuantum? {
        guard let step = trainer.step else { return nil }
        let units: [TrainerUnit]
        let microBatch: MicroBatch
        if let open = step.open {
            microBatch = open.plan
            units = trainer.nextUnits(of: open.run, within: limit) { isReady($0, open) }
        } else if let closing = step.closing, let last = step.closed.last {
            microBatch = last
            units = trainer.nextUnits(of: closing, within: limit) { _ in true }
        } else {
            return nil
        }
        return units.isEmpty ? nil : TrainerQuantum(microBatch: microBatch, units: units)
    }

    /// Whether every record and everything else that `unit` reads is on the device, and there is room for what it writes.
    private func isReady(_ unit: TrainerUnit, _ open: Trainer.OpenMicroBatch) -> Bool {
        let chunks = open.chunks
        func isThere(_ layer: Int) -> Bool { open.offload?.isOnDevice(layer) ?? true }
        func allOnDevice(_ layer: Int, _ part: CopyJob.Part) -> Bool {
            chunks.allSatisfy { memory.records.isOnDevice($0.id, layer: layer, part: part) }
        }
        return switch unit {
        case .reference, .score(_, ofReference: true): true
        case .forward(let layer, _): allOnDevice(layer, .kv) && isThere(layer)
        case .loss, .score: allOnDevice(backend.model.layers, .activations)
        case .recompute(let layer, _), .backward(let layer, _): allOnDevice(layer, .all) && isThere(layer)
        case .gradientNorm, .optimizer: true
        }
    }

    private mutating func askForReloads() {
        guard let jobs = trainer.step?.open?.reloads.next() else { return }
        for (job, _) in jobs { memory.reload(job, at: now) }
        let returning = trainer.step?.open?.offload?.next() ?? []
        for (layer, bytes) in returning { memory.copyActivations(of: layer, bytes, .toDevice, at: now) }
    }

    // MARK: Micro-batches

    /// Makes sure that the step has an open micro-batch or its closing units; false when memory must be waited for.
    private mutating func openMicroBatch() throws -> Bool {
        guard let step = trainer.step, step.open == nil, step.closing == nil, !step.pending.isEmpty else { return true }
        let admitted = admitMicroBatch(of: step)
        let open = admitted.open
        for chunk in open.chunks { memory.pin(chunk.id, uses: chunk.uses) }
        guard reserve(open) else {
            for chunk in open.chunks { memory.unpin(chunk.id) }
            return false
        }
        for chunk in open.chunks { log.recording.hedgedBytes += memory.records.hedgedBytes(of: chunk.id) }
        for part in admitted.stale {
            trainer.step?.record.staleTokens += part.tokens.count
            memory.release(part.chunk, because: .stale)
        }
        for chunk in admitted.leftOut where memory.records.isUsable(chunk.id) {
            memory.release(chunk.id, count: chunk.uses, because: .deviceFull)
        }
        trainer.open(open, samples: admitted.samples)
        noteReuse(in: open.plan)
        try flushMovements()
        try backend.open(open.plan, unitRows: admitted.unitRows)
        return true
    }

    private mutating func noteReuse(in plan: MicroBatch) {
        guard var step = trainer.step else { return }
        // Micro-batches take the step's samples in order.
        var sample = step.opened
        for sequence in plan.sequences {
            if step.record.learned[sample].request != sequence.request { sample += 1 }
            step.record.learned[sample].reusedTokens += sequence.reusedTokens
        }
        step.opened = sample + 1
        for span in plan.sequences.lazy.flatMap(\.recorded) {
            let age = plan.version - span.versions.lowerBound
            step.record.reusedTokens += span.tokens.count
            step.record.oldestAge = max(step.record.oldestAge, age)
            step.tokenAges += age * span.tokens.count
        }
        step.record.microBatches += 1
        step.record.largestMicroBatch = max(step.record.largestMicroBatch, plan.rows)
        trainer.step = step
    }

    // MARK: Progress

    mutating func finishTraining(_ quantum: TrainerQuantum, _ outcome: StepOutcome) throws {
        for (unit, duration) in zip(quantum.units, outcome.unitDurations) {
            trainer.step?.record.time.add(duration, to: unit.phase)
        }
        if let loss = outcome.loss {
            let before = trainer.step?.record.loss ?? 0
            trainer.step?.record.loss = before + loss
        }
        if let norm = outcome.gradientNorm { trainer.step?.record.gradientNorm = norm }
        guard outcome.loss?.isFinite != false, outcome.gradientNorm?.isFinite != false else {
            throw SimulationError.diverged(
                step: trainer.version, loss: trainer.step?.record.loss ?? .nan,
                gradientNorm: outcome.gradientNorm ?? .nan)
        }
        if trainer.step?.open != nil {
            try advanceMicroBatch(by: quantum)
        } else {
            trainer.step?.closing?.next += quantum.units.count
            if trainer.step?.closing?.isDone == true { try finishStep() }
        }
    }

    private mutating func advanceMicroBatch(by quantum: TrainerQuantum) throws {
        for unit in quantum.units {
            trainer.step?.open?.run.next += 1
            guard let open = trainer.step?.open else { return }
            let following = open.run.isDone ? nil : open.run.units[open.run.next]
            switch unit {
            case .forward(let layer, _) where !continues(forward: layer, following):
                if let bytes = trainer.step?.open?.offload?.finishedForward(layer) {
                    memory.copyActivations(of: layer, bytes, .toHost, at: now)
                }
            case .loss where following?.phase != .loss: consume(layer: backend.model.layers, of: open.chunks)
            case .backward(let layer, _) where !continues(layer, following):
                consume(layer: layer, of: open.chunks)
                if open.offload == nil {
                    memory.release(open.activations[layer], of: .trainActivations, on: trainerTier)
                }
                trainer.step?.open?.offload?.finishedBackward(layer)
                if layer == backend.model.layers - 1 {
                    memory.release(open.finalBytes, of: .trainActivations, on: trainerTier)
                }
            default: break
            }
        }
        guard let open = trainer.step?.open, open.run.isDone else { return }
        memory.release(open.workspace, of: .trainWorkspace, on: trainerTier)
        if let offload = open.offload {
            memory.release(offload.windowBytes, of: .trainActivations, on: trainerTier)
            memory.release(offload.hostBytes, of: .trainActivations, on: .host)
        }
        memory.release(open.reloads.windowBytes + open.reloads.kvBytes, of: .staged, on: trainerTier)
        for chunk in open.chunks where memory.records[chunk.id] != nil {
            memory.unpin(chunk.id)
            memory.release(chunk.id, count: chunk.uses)
        }
        try flushMovements()
        try backend.close(open.plan)
        trainer.step?.closed.append(open.plan)
        trainer.step?.open = nil
        guard trainer.step?.pending.isEmpty == true else { return }
        let predict = { (unit: TrainerUnit) in
            backend.estimate(.train(TrainerQuantum(microBatch: open.plan, units: [unit])))
        }
        trainer.step?.closing = Trainer.UnitRun(
            units: trainer.planner.closingUnits(estimate: predict), predict: predict)
    }

    private func continues(forward layer: Int, _ following: TrainerUnit?) -> Bool {
        if case .forward(let next, _) = following { next == layer } else { false }
    }

    private func continues(_ layer: Int, _ following: TrainerUnit?) -> Bool {
        if case .backward(let next, _) = following { next == layer } else { false }
    }

    /// Backward needs nothing more of `layer`: its records are released on both tiers, unless other samples share them.
    private mutating func consume(layer: Int, of chunks: [(id: ChunkID, uses: Int)]) {
        for chunk in chunks { memory.consume(chunk.id, layer: layer) }
        trainer.step?.open?.reloads.consumed(layer: layer)
    }

    private mutating func auditIfDue() throws {
        let every = configuration.training.auditEvery
        guard every > 0, let step = trainer.step else { return }
        // Not version 0 where there is a choice: no record is stale there yet. Some step of every run is audited.
        let isDue = trainer.version % every == 1 % every
        let isLast = isDraining && trainer.waiting == 0
        guard isDue || isLast && !log.steps.contains(where: { $0.audit != nil }) else { return }
        trainer.step?.record.audit = try backend.audit(step.closed)
    }

    private mutating func finishStep() throws {
        guard var record = trainer.step?.record, let ages = trainer.step?.tokenAges else { return }
        record.end = now
        record.meanAge = record.reusedTokens > 0 ? Double(ages) / Double(record.reusedTokens) : 0
        log.steps.append(record)
        trainer.finishStep()
        try sendWeights(of: trainer.version)
        if trainer.version % max(1, configuration.training.evaluateEvery) == 0 { try evaluate() }
    }

    /// Takes the loss of the present weights on held-out texts, if that is wanted and has not been done.
    mutating func evaluate() throws {
        let training = configuration.training
        guard training.enabled, training.evaluateEvery > 0, log.evaluations.last?.version != trainer.version,
            let loss = try backend.evaluate()
        else { return }
        log.evaluations.append(
            EvaluationRecord(
                version: trainer.version, time: now, trainedTokens: log.steps.reduce(0) { $0 + $1.tokens }, loss: loss))
    }
}
