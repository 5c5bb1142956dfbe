internal import OrderedCollections

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
        guard !slices.isEmpty else { return false }
        if configuration.recording.scope == .prefill {
            for index in slices.indices where slices[index].isPrefill { beginRecord(of: &slices[index]) }
        }
        let iteration = ServingIteration(slices: slices, version: servedVersion)
        for slice in slices where log.requests[slice.request].scheduled == nil {
            log.requests[slice.request].scheduled = now
        }
        endStall()
        let outcome = try execute(.serve(iteration))
        serverWork = .serving(iteration, outcome)
        return true
    }

    /// Admits in order while KV fits. When nothing runs and the next request still does not fit, records give way:
    /// serving goes first, and what is dropped will be recomputed.
    private mutating func admitWaiting() {
        while let index = scheduler.nextToAdmit {
            let request = trace.requests[index]
            let tokens = request.promptTokens + request.outputTokens - 1
            guard let blocks = memory.openRequest(index, tokens: tokens) else {
                guard scheduler.running.isEmpty, dropOldestRecord() else { return }
                continue
            }
            scheduler.admit(
                Scheduler.Sequence(
                    request: index, promptTokens: request.promptTokens, outputTokens: request.outputTokens,
                    kvBlocks: blocks))
        }
    }

    private mutating func beginRecord(of slice: inout ServingSlice) {
        guard let sequence = scheduler.sequence(of: slice.request) else { return }
        let finalRows =
            switch configuration.training.lossTokens {
            case .all: slice.tokens.count
            case .completion: slice.tokens.upperBound == sequence.promptTokens ? 1 : 0
            }
        let oldest = min(sequence.oldestKV ?? servedVersion, servedVersion)
        guard
            let chunk = memory.beginRecord(
                request: slice.request, tokens: slice.tokens, finalRows: finalRows,
                versions: oldest...servedVersion, blocks: sequence.kvBlocks)
        else {
            log.requests[slice.request].droppedTokens += slice.tokens.count
            return
        }
        slice.record = chunk
        slice.finalRows = finalRows
        recordsByRequest[slice.request, default: []].append(chunk)
        log.requests[slice.request].recordedTokens += slice.tokens.count
    }

    mutating func finishServing(_ iteration: ServingIteration) {
        for slice in iteration.slices {
            if let chunk = slice.record, configuration.recording.offload == .eager, !memory.offload(chunk, at: now) {
                noteDropped(slice.tokens.count, of: slice.request)
                recordsByRequest[slice.request]?.removeAll { $0 == chunk }
            }
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
        if recordsByRequest[index] != nil {
            events.schedule(.recordExpiry(index), at: now + configuration.recording.keepFor, priority: 4)
        }
        guard configuration.training.enabled else { return }
        let feedback: Feedback? =
            switch request.feedback {
            case .given(let feedback): feedback
            case .none: nil
            case .unstated: configuration.feedback.feedback(for: request.id, seed: configuration.seed)
            }
        if let feedback {
            pendingFeedback += 1
            events.schedule(.feedback(index, feedback), at: now + feedback.delay, priority: 3)
        }
    }

    // MARK: Feedback and records

    mutating func takeFeedback(_ feedback: Feedback, on index: Int) {
        pendingFeedback -= 1
        let request = trace.requests[index]
        trainer.add(
            Sample(
                request: index, promptTokens: request.promptTokens,
                responseTokens: feedback.tokens?.count ?? request.outputTokens, edited: feedback.tokens != nil,
                chunks: recordsByRequest.removeValue(forKey: index) ?? [], ready: now))
    }

    mutating func expireRecord(of index: Int) {
        guard let chunks = recordsByRequest.removeValue(forKey: index) else { return }
        for chunk in chunks {
            log.requests[index].expiredTokens += memory.records[chunk]?.tokens.count ?? 0
            memory.drop(chunk)
        }
    }

    /// Gives up the oldest record that training is not reading; false when there is none.
    mutating func dropOldestRecord() -> Bool {
        for chunk in trainer.unopenedChunks + recordsByRequest.values.joined() {
            guard let record = memory.records[chunk], !record.pinned, !record.dead,
                record.pieces.contains(where: \.onDevice)
            else { continue }
            noteDropped(record.tokens.count, of: record.request)
            memory.drop(chunk)
            return true
        }
        return false
    }

    private mutating func noteDropped(_ tokens: Int, of request: Int) {
        log.requests[request].recordedTokens -= tokens
        log.requests[request].droppedTokens += tokens
    }
}
