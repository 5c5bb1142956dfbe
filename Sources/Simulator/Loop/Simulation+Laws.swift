extension Simulation {
    /// Reserves what stays on the device for the whole run, after checking that the run can be done at all.
    ///
    /// Beside the static owners the device must hold, one at a time, the KV of the largest request and the whole
    /// forward pass of the largest possible sample: then neither the server nor the trainer can get stuck for good.
    mutating func reserveStaticMemory() throws(SimulationError) {
        let footprint = backend.footprint
        var wanted: [(Bytes, MemoryOwner)] = [
            (footprint.weights, .weights),
            (backend.servingWorkspace(tokens: configuration.serving.tokenBudget), .servingWorkspace),
        ]
        if configuration.training.enabled {
            wanted += [
                (footprint.adapters, .adapters), (footprint.gradients, .gradients),
                (footprint.optimizer, .optimizer), (footprint.publishBuffer, .publishBuffer),
            ]
        }
        let fixed = wanted.reduce(Bytes.zero) { $0 + $1.0 }
        try require(fixed, on: .device, for: "weights, \(configuration.training.enabled ? "training state, " : "")scratch")
        let largest = trace.requests.map { memory.kv.blockCount(for: $0.promptTokens + $0.outputTokens - 1) }.max() ?? 0
        let kv = memory.kv.blockBytes * largest
        try require(fixed + kv, on: .device, for: "weights, scratch and the KV of the largest request")
        if configuration.training.enabled {
            let sample = largestMicroBatch
            let activations =
                footprint.trainActivationsPerLayer(freshRows: sample.rows) * backend.model.layers
                + backend.trainWorkspace(for: sample, unitRows: sample.rows)
            try require(
                fixed + kv + activations, on: .device,
                for: "weights, training state, the KV of the largest request and the activations of the largest sample")
        }
        for (bytes, owner) in wanted where !memory.reserve(bytes, for: owner) {
            throw .tooLittleMemory(
                tier: .device, needed: bytes, available: memory.ledger.free(on: .device), purpose: owner.name)
        }
    }

    private func require(_ bytes: Bytes, on tier: MemoryTier, for purpose: String) throws(SimulationError) {
        let available = memory.ledger.capacity(of: tier)
        guard bytes <= available else {
            throw .tooLittleMemory(tier: tier, needed: bytes, available: available, purpose: purpose)
        }
    }

    /// The largest micro-batch that any samples of the trace can form, wholly recomputed.
    private var largestMicroBatch: MicroBatch {
        let sequences = trace.requests.indices.map { index in
            let request = trace.requests[index]
            var response = request.outputTokens
            var edited = false
            if case .given(let feedback) = request.feedback, let tokens = feedback.tokens {
                response = max(response, tokens.count)
                edited = true
            }
            return TrainingSequencePlan(
                request: index, promptTokens: request.promptTokens, responseTokens: response, edited: edited,
                lossTokens: 0..<request.promptTokens + response - 1, recorded: [])
        }
        var chosen: [TrainingSequencePlan] = []
        var tokens = 0
        for sequence in sequences.sorted(by: { $0.tokens > $1.tokens }) {
            guard chosen.isEmpty || tokens + sequence.tokens <= configuration.training.microBatchTokens,
                chosen.count < configuration.training.updateEvery
            else { continue }
            chosen.append(sequence)
            tokens += sequence.tokens
        }
        return MicroBatch(id: -1, version: 0, sequences: chosen, stepLossTokens: max(tokens, 1))
    }

    /// The laws that every complete run keeps, checked after each one.
    func checkFinalLaws() throws(SimulationError) {
        func law(_ holds: Bool, _ text: @autoclosure () -> String) throws(SimulationError) {
            if !holds { throw .brokenLaw(text()) }
        }
        try law(scheduler.isEmpty, "\(scheduler.running.count) requests run and \(scheduler.waitingCount) wait at the end")
        let open = log.requests.filter { $0.outcome == .unfinished }
        try law(open.isEmpty, "\(open.count) requests are neither finished nor refused at the end")
        try law(!trainer.hasWork, "the trainer still has work at the end")
        try law(memory.copiesAreIdle, "copies are still under way at the end")
        try law(memory.records.liveChunks == 0, "\(memory.records.liveChunks) record chunks are left at the end")
        try law(memory.kv.liveBlocks == 0, "\(memory.kv.liveBlocks) KV blocks are left at the end")
        for owner in MemoryOwner.allCases where owner.isTransient {
            let left = memory.ledger.level(of: owner, on: .device) + memory.ledger.level(of: owner, on: .host)
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
        let gaps = log.requests.reduce(0) { $0 + ($1.outcome == .finished ? trace.requests[$1.index].outputTokens - 1 : 0) }
        try law(log.tokenGaps.count == gaps, "\(log.tokenGaps.count) gaps between tokens, expected \(gaps)")
    }
}
