extension Simulation {
    // MARK: Arrivals

    /// Schedules the next request at or after `index` that opens a conversation: the trace has them in order, so that one
    /// at a time is enough.
    mutating func scheduleArrival(from index: Int) {
        guard let next = trace.requests[index...].firstIndex(where: { $0.previousTurn == nil }) else { return }
        events.schedule(.arrival(next), at: trace.requests[next].arrival, priority: 2)
    }

    mutating func arrive(_ index: Int) {
        log.requests[index].effectiveArrival = now
        let request = trace.requests[index]
        guard memory.kv.blockCount(for: request.promptTokens + request.outputTokens - 1) <= memory.kv.capacity else {
            return refuse(index)
        }
        scheduler.enqueue(
            request: index, promptTokens: request.promptTokens, outputTokens: request.outputTokens,
            priority: request.priority, onPrefixHit: onPrefixHit(of: index))
    }

    /// Turns away a request that no amount of waiting makes fit. Its user goes on as though it had been answered.
    private mutating func refuse(_ index: Int) {
        log.requests[index].outcome = .refused
        openRequests -= 1
        sendNextTurn(after: index)
    }

    private mutating func sendNextTurn(after index: Int) {
        guard let next = nextTurn[index] else { return }
        let sent = max(trace.requests[next].arrival, now + trace.requests[next].thinkTime)
        events.schedule(.arrival(next), at: sent, priority: 2)
    }

    // MARK: Iterations

    /// Starts a serving iteration if there is anything to serve.
    mutating func startServing() throws -> Bool {
        try decodeAhead()
        guard var slices = nextSlices() else { return false }
        beginRecords(of: &slices)
        let iteration = ServingIteration(slices: slices, version: servedVersion, decodesBefore: decodesInARow)
        for slice in slices where slice.isPrefill && log.requests[slice.request].scheduled == nil {
            log.requests[slice.request].scheduled = now
        }
        endStall()
        let outcome = try execute(.serve(iteration))
        startedRecording(slices, until: now + outcome.duration)
        serverWork = .serving(iteration, outcome)
        return true
    }

    /// The slices of the next iteration, or `nil` when there is nothing to serve or their records must be waited for. While
    /// they wait they stay as they were planned.
    private mutating func nextSlices() -> [ServingSlice]? {
        if heldSlices.isEmpty {
            guard !scheduler.isEmpty else { return nil }
            heldSlices = planIteration()
            for admission in scheduler.takeAdmissions() { note(admission) }
        }
        guard !heldSlices.isEmpty, !waitsForRecords(heldSlices) else { return nil }
        defer { heldSlices = [] }
        return heldSlices
    }

    /// The next iteration's slices. Where blocks are missing, records give way, as what is dropped can be recomputed;
    /// then sequences do.
    private mutating func planIteration() -> [ServingSlice] {
        scheduler.beginIteration()
        var isHeldByRecords = false
        while true {
            switch scheduler.plan(&memory) {
            case .planned:
                noteAdmission(heldByRecords: isHeldByRecords)
                return scheduler.takeSlices()
            case .full(let blocks):
                guard !giveWay(for: blocks, waits: scheduler.runningCount > 0) else { continue }
                isHeldByRecords = memory.recordsHoldRoom(for: blocks)
                scheduler.closeAdmission()
            case .short(let blocks):
                guard !giveWay(for: blocks, waits: false) else { continue }
                if isMakingRoom(for: blocks) {
                    scheduler.passOver()
                } else if let preemption = scheduler.preemptLast(for: blocks, &memory) {
                    note(preemption)
                }
            }
        }
    }

    /// Has a record give way to KV blocks; false when none may or can.
    private mutating func giveWay(for blocks: Int, waits: Bool) -> Bool {
        !scheduler.blocksAreComing(blocks) && recordsGiveWay(to: blocks, waits: waits)
    }

    private mutating func note(_ preemption: Scheduler.Preemption) {
        let bytes = memory.kv.blockBytes * preemption.swappedBlocks
        log.requests[preemption.request].preemptions += 1
        log.requests[preemption.request].recomputedTokens += preemption.lostTokens
        // There and back.
        log.requests[preemption.request].swappedBytes += bytes * 2
        sealRecord(of: preemption.request)
    }

    mutating func finishServing(_ iteration: ServingIteration) {
        for slice in iteration.slices {
            finishRecording(slice)
            guard slice.emitsToken else { continue }
            if let last = scheduler.noteToken(of: slice.request, at: now) {
                log.tokenGaps.append(TokenGap(request: Int32(slice.request), gap: now - last))
            } else {
                log.requests[slice.request].firstToken = now
            }
        }
        for sequence in scheduler.complete(iteration, &memory) { finish(sequence) }
    }

    private mutating func finish(_ sequence: Scheduler.Sequence) {
        let index = sequence.request
        let request = trace.requests[index]
        log.requests[index].finish = now
        log.requests[index].outcome = .finished
        openRequests -= 1
        memory.closeRequest(index, blocks: sequence.kvBlocks)
        sendNextTurn(after: index)
        keepRecord(of: index)
        guard configuration.training.enabled else { return }
        if let feedback = configuration.feedback(on: request) {
            pendingFeedback += 1
            events.schedule(.feedback(index), at: now + feedback.delay, priority: 3)
        }
    }

    // MARK: Feedback

    mutating func takeFeedback(on index: Int) {
        pendingFeedback -= 1
        let request = trace.requests[index]
        guard let feedback = configuration.feedback(on: request) else { return }
        // A group whose answers all weigh nothing teaches nothing: its record waits until it expires.
        guard var sample = configuration.sample(of: request, index, feedback, at: now) else { return }
        sample.record = claimRecord(of: index, learnsServed: sample.answers.contains { $0.number == 0 })
        trainer.add(sample)
    }
}
