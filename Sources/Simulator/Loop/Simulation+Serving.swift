internal import OrderedCollections

extension Simulation {
    // MARK: Arrivals

    mutating func arrive(_ index: Int) {
        log.requests[index].effectiveArrival = now
        let request = trace.requests[index]
        guard memory.kv.blockCount(for: request.promptTokens + request.outputTokens - 1) <= memory.kv.capacity else {
            return refuse(index)
        }
        scheduler.enqueue(
            request: index, promptTokens: request.promptTokens, outputTokens: request.outputTokens,
            priority: request.priority)
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
        guard !scheduler.isEmpty else { return false }
        var slices = planIteration()
        for admission in scheduler.takeAdmissions() {
            log.requests[admission.request].cachedTokens = admission.cachedTokens
        }
        guard !slices.isEmpty else { return false }
        if configuration.recording.scope == .prefill {
            for index in slices.indices where slices[index].isPrefill { beginRecord(of: &slices[index]) }
        }
        let iteration = ServingIteration(slices: slices, version: servedVersion)
        for slice in slices where slice.isPrefill && log.requests[slice.request].scheduled == nil {
            log.requests[slice.request].scheduled = now
        }
        endStall()
        let outcome = try execute(.serve(iteration))
        serverWork = .serving(iteration, outcome)
        return true
    }

    /// The next iteration's slices. Where blocks are missing, records give way, as what is dropped can be recomputed;
    /// then sequences do. When nothing runs and the first in line does not fit, records give way, too.
    private mutating func planIteration() -> [ServingSlice] {
        scheduler.beginIteration()
        while true {
            switch scheduler.plan(&memory) {
            case .planned: return scheduler.takeSlices()
            case .stuck(let blocks):
                guard giveWay(for: blocks) else { return scheduler.takeSlices() }
            case .short(let blocks):
                guard !giveWay(for: blocks) else { continue }
                if let preemption = scheduler.preemptLast(for: blocks, &memory) { note(preemption) }
            }
        }
    }

    private mutating func giveWay(for blocks: Int) -> Bool {
        !scheduler.blocksAreComing(blocks) && memory.recordsCanMakeRoom(for: blocks) && dropOldestRecord()
    }

    private mutating func note(_ preemption: Scheduler.Preemption) {
        let bytes = memory.kv.blockBytes * preemption.swappedBlocks
        log.requests[preemption.request].preemptions += 1
        log.requests[preemption.request].recomputedTokens += preemption.lostTokens
        // There and back.
        log.requests[preemption.request].swappedBytes += bytes * 2
    }

    private mutating func beginRecord(of slice: inout ServingSlice) {
        guard let sequence = scheduler.sequence(of: slice.request) else { return }
        // What has been in the cache before has its record, or had none.
        guard slice.tokens.lowerBound >= sequence.seen, slice.tokens.lowerBound < sequence.promptTokens else { return }
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
