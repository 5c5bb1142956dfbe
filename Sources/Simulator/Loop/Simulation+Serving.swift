extension Simulation {
    // MARK: Arrivals

    mutating func arrive(_ index: Int) {
        log.requests[index].effectiveArrival = now
        scheduler.enqueue(index)
    }

    // MARK: Iterations

    /// Starts a serving iteration if there is anything to serve.
    mutating func startServing() throws -> Bool {
        admitWaiting()
        var slices = scheduler.nextIteration()
        guard !slices.isEmpty, !waitsForRecords(slices) else { return false }
        beginRecords(of: &slices)
        let iteration = ServingIteration(slices: slices, version: servedVersion)
        for slice in slices where log.requests[slice.request].scheduled == nil {
            log.requests[slice.request].scheduled = now
        }
        endStall()
        let outcome = try execute(.serve(iteration))
        startedRecording(slices, until: now + outcome.duration)
        serverWork = .serving(iteration, outcome)
        return true
    }

    /// Admits in order while KV fits, or records make room for it.
    private mutating func admitWaiting() {
        while let index = scheduler.nextToAdmit {
            let request = trace.requests[index]
            let tokens = request.promptTokens + request.outputTokens - 1
            guard let blocks = memory.openRequest(index, tokens: tokens) else {
                guard recordsGiveWay(to: memory.kv.blockBytes * memory.kv.blockCount(for: tokens)) else { return }
                continue
            }
            noteAdmission(heldByRecords: false)
            scheduler.admit(
                Scheduler.Sequence(
                    request: index, promptTokens: request.promptTokens, outputTokens: request.outputTokens,
                    kvBlocks: blocks))
        }
        noteAdmission(heldByRecords: false)
    }

    mutating func finishServing(_ iteration: ServingIteration) {
        for slice in iteration.slices {
            finishRecording(slice)
            guard slice.emitsToken else { continue }
            if let last = lastToken[slice.request] {
                log.tokenGaps.append(TokenGap(request: Int32(slice.request), gap: now - last))
            } else {
                log.requests[slice.request].firstToken = now
            }
            lastToken[slice.request] = now
        }
        for sequence in scheduler.complete(iteration) { finish(sequence) }
    }

    private mutating func finish(_ sequence: Scheduler.Sequence) {
        let index = sequence.request
        let request = trace.requests[index]
        log.requests[index].finish = now
        log.requests[index].outcome = .finished
        lastToken[index] = nil
        openRequests -= 1
        memory.closeRequest(index, blocks: sequence.kvBlocks)
        if let next = nextTurn[index] {
            let sent = max(trace.requests[next].arrival, now + trace.requests[next].thinkTime)
            events.schedule(.arrival(next), at: sent, priority: 2)
        }
        keepRecord(of: index)
        guard configuration.training.enabled else { return }
        if let feedback = configuration.feedback(on: request) {
            pendingFeedback += 1
            events.schedule(.feedback(index, feedback), at: now + feedback.delay, priority: 3)
        }
    }

    // MARK: Feedback

    mutating func takeFeedback(_ feedback: Feedback, on index: Int) {
        pendingFeedback -= 1
        let request = trace.requests[index]
        let edited = feedback.tokens != nil
        trainer.add(
            Sample(
                request: index, promptTokens: request.promptTokens,
                responseTokens: feedback.tokens?.count ?? request.outputTokens, edited: edited,
                record: claimRecord(of: index, edited: edited), ready: now))
    }
}
