extension Simulation {
    // MARK: Making records

    /// The room that the record of a slice takes if it is to have one of its own.
    private struct RecordPlan {
        var capacity: Int
        var finalRows: Int
    }

    /// Which requests are recorded; empty if all are.
    static func selection(
        _ trace: Trace, _ configuration: ArmConfiguration
    ) -> [Bool] {
        let selection = configuration.recording.selection
        guard configuration.recording.scope != .none, selection != .all else { return [] }
        let expected = trace.requests.map { configuration.feedback(on: $0) != nil }
        let rate = Double(expected.count { $0 }) / Double(max(1, expected.count))
        return zip(trace.requests, expected).map { request, hasFeedback in
            var stream = RandomStream(seed: configuration.seed, name: "recording/" + request.id)
            return stream.uniform() < selection.probability(hasFeedback: hasFeedback, rate: rate)
        }
    }

    /// What becomes of a request's prompt tokens that the prefix cache has; `nil` if it is not recorded.
    func onPrefixHit(of index: Int) -> RecordingConfiguration.PrefixHit? {
        guard configuration.serving.prefixCache, configuration.recording.scope != .none,
            selected.isEmpty || selected[index]
        else { return nil }
        return configuration.recording.onPrefixHit
    }

    /// Requests share records that training may use at its present version.
    mutating func limitLinks() {
        guard configuration.serving.prefixCache, configuration.recording.scope != .none else { return }
        memory.linkableVersions = configuration.training.staleness.versions(at: trainer.version)
    }

    /// The record of what a request found in the prefix cache: that of the requests which computed it, as far as there is
    /// one.
    mutating func note(_ admission: Scheduler.Admission) {
        if admission.isFirst { log.requests[admission.request].cachedTokens = admission.cachedTokens }
        log.requests[admission.request].lost[.unlinked] += admission.unlinkedTokens
        guard !admission.linked.isEmpty else { return }
        log.requests[admission.request].linkedTokens += admission.linked.reduce(0) { $0 + $1.tokens.count }
        records[admission.request, default: OpenRecord()].parts += admission.linked
    }

    /// Whether the tokens of a slice are recorded. What has been in the cache before has its record, or had none: tokens
    /// that are computed again after a preemption, those of the answer included, and those that the prefix cache had.
    private func isRecorded(_ slice: ServingSlice) -> Bool {
        guard configuration.recording.scope == .all || configuration.recording.scope == .prefill && slice.isPrefill,
            selected.isEmpty || selected[slice.request], let sequence = scheduler.sequence(of: slice.request),
            slice.tokens.lowerBound >= sequence.seen
        else { return false }
        return !slice.isPrefill || slice.tokens.lowerBound < sequence.promptTokens
    }

    /// The chunk that a decoded token is added to, if there is one with room in the same KV block.
    private func growingChunk(of slice: ServingSlice) -> ChunkID? {
        guard !slice.isPrefill, let id = records[slice.request]?.growing, let chunk = memory.records[id], !chunk.dead,
            chunk.tokens.upperBound == slice.tokens.lowerBound, chunk.tokens.count < chunk.capacity
        else { return nil }
        return id
    }

    private func plan(of slice: ServingSlice) -> RecordPlan? {
        guard isRecorded(slice), growingChunk(of: slice) == nil else { return nil }
        let request = trace.requests[slice.request]
        guard slice.isPrefill else {
            // Decoded tokens share a chunk with those of their KV block. Every one of them carries loss.
            let block = configuration.serving.kvBlockTokens
            let position = slice.tokens.lowerBound
            let end = min((position / block + 1) * block, request.promptTokens + request.outputTokens - 1)
            return RecordPlan(capacity: end - position, finalRows: end - position)
        }
        let isLast = slice.tokens.upperBound == request.promptTokens
        let finalRows = configuration.training.lossTokens == .all ? slice.tokens.count : isLast ? 1 : 0
        return RecordPlan(capacity: slice.tokens.count, finalRows: finalRows)
    }

    /// Whether the next iteration waits until copies under way have made room for its records.
    mutating func waitsForRecords(_ slices: [ServingSlice]) -> Bool {
        guard configuration.recording.backpressure == .stall, memory.copiesMakeRoom, !pausesRecording else {
            return false
        }
        let needed = slices.lazy.compactMap(plan(of:)).reduce(Bytes.zero) {
            $0 + memory.records.sizes.deviceBytes(tokens: $1.capacity, finalRows: $1.finalRows)
        }
        guard needed > .zero,
            !memory.hasRoom(for: needed, evictingCache: configuration.recording.evictsPrefixCache)
        else { return false }
        if servingHeldSince == nil { servingHeldSince = now }
        return true
    }

    mutating func beginRecords(of slices: inout [ServingSlice]) {
        guard configuration.recording.scope != .none else { return }
        guard !pausesRecording else { return skipRecords(of: slices) }
        for index in slices.indices where isRecorded(slices[index]) { beginRecord(of: &slices[index]) }
    }

    /// Whether the next iteration records nothing because requests wait for their first turn.
    private var pausesRecording: Bool { configuration.recording.pause == .waiting && scheduler.newcomerCount > 0 }

    private mutating func skipRecords(of slices: [ServingSlice]) {
        for slice in slices where isRecorded(slice) {
            log.requests[slice.request].lost[.paused] += slice.tokens.count
            // What is decoded next does not follow what was recorded last.
            sealRecord(of: slice.request)
        }
    }

    private mutating func beginRecord(of slice: inout ServingSlice) {
        let index = slice.request
        if let growing = growingChunk(of: slice) {
            memory.extendRecord(growing, version: servedVersion)
            slice.record = growing
            slice.finalRows = 1
            if let last = records[index]?.parts.indices.last {
                records[index]?.parts[last].tokens = memory.records[growing]?.tokens ?? slice.tokens
            }
            log.requests[index].recordedTokens += 1
            return
        }
        guard let sequence = scheduler.sequence(of: index), let plan = plan(of: slice) else { return }
        let oldest = min(sequence.oldestKV ?? servedVersion, servedVersion)
        guard
            let chunk = memory.beginRecord(
                request: index, tokens: slice.tokens, capacity: plan.capacity, finalRows: plan.finalRows,
                versions: oldest...servedVersion, blocks: sequence.kvBlocks)
        else {
            let tokens = slice.tokens.count
            let bytes = memory.records.sizes.hostBytes(tokens: tokens, finalRows: min(plan.finalRows, tokens))
            log.requests[index].lost[memory.lack] += tokens
            log.recording.lose(bytes, because: memory.lack, at: now)
            return
        }
        slice.record = chunk
        slice.finalRows = min(plan.finalRows, slice.tokens.count)
        records[index, default: OpenRecord()].parts.append(RecordReference(chunk: chunk, tokens: slice.tokens))
        records[index]?.growing = slice.isPrefill ? nil : chunk
        log.requests[index].recordedTokens += slice.tokens.count
    }

    /// A request gives its KV blocks up: what it decodes from then on is written to others, and to another chunk.
    mutating func sealRecord(of index: Int) {
        guard let growing = records[index]?.growing else { return }
        records[index]?.growing = nil
        guard let chunk = memory.records[growing], !chunk.dead, !chunk.isComplete else { return }
        memory.sealRecord(growing)
        if copiesAtOnce, configuration.recording.granule != .request { memory.offload([growing], at: now) }
    }

    // MARK: Offload

    private var copiesAtOnce: Bool {
        switch configuration.recording.offload {
        case .none, .headroom: false
        case .eager, .hedged: true
        }
    }

    /// Queues the copies that start while the iteration runs that begins now.
    mutating func startedRecording(_ slices: [ServingSlice], until end: SimTime) {
        guard copiesAtOnce, configuration.recording.granule == .layer else { return }
        let ids = slices.compactMap { slice in
            slice.record.flatMap { id in memory.records[id].map { $0.tokens.count == $0.capacity } == true ? id : nil }
        }
        if !ids.isEmpty { memory.offload(ids, at: now, written: (now, end)) }
    }

    /// The iteration has written the slice's record.
    mutating func finishRecording(_ slice: ServingSlice) {
        guard let id = slice.record, let chunk = memory.records[id] else { return }
        memory.endWriting(id)
        guard copiesAtOnce else { return }
        switch configuration.recording.granule {
        case .layer: break
        case .chunk: if chunk.tokens.count == chunk.capacity { memory.offload([id], at: now) }
        case .request:
            if configuration.recording.scope == .prefill, slice.emitsToken { offloadAll(of: slice.request) }
        }
    }

    private mutating func offloadAll(of index: Int) {
        memory.offload(records[index]?.parts.map(\.chunk) ?? [], at: now)
    }

    mutating func startCopies() {
        memory.continueOffload(at: now)
        let copies = memory.startCopies(at: now)
        for (direction, duration) in copies.started {
            events.schedule(.copyDone(direction, started: now), at: now + duration, priority: 1)
        }
        if let next = copies.next, copyWake != next {
            copyWake = next
            events.schedule(.copyReady, at: next, priority: 1)
        }
        noteLosses()
    }

    mutating func finishCopy(_ direction: TransferDirection, started: SimTime) {
        guard let (entry, request) = memory.finishCopy(direction) else { return }
        log.transfers.append(
            TransferRecord(
                direction: direction, queued: entry.queued, start: started, end: now, bytes: entry.bytes,
                request: Int32(request), layer: Int32(entry.work.layer ?? TransferRecord.wholeRequest),
                pieces: Int32(entry.jobs.reduce(0) { $0 + $1.layers.count })))
        switch entry.work {
        case .pieces: break
        case .sequence(let request): scheduler.finishSwap(of: request, direction, &memory)
        case .activations(let layer):
            switch direction {
            case .toHost: trainer.step?.open?.offload?.arrivedOnHost(layer)
            case .toDevice: trainer.step?.open?.offload?.arrivedOnDevice(layer)
            }
        }
    }

    // MARK: What records are kept for

    /// A request has ended: its record waits for feedback.
    mutating func keepRecord(of index: Int) {
        guard let record = records[index] else { return }
        if copiesAtOnce, configuration.recording.granule == .request { offloadAll(of: index) }
        for part in record.parts where memory.records.isUsable(part.chunk) { memory.note(part.chunk, need: .waiting) }
        events.schedule(.recordExpiry(index), at: now + configuration.recording.keepFor, priority: 4)
    }

    /// The record becomes that of a sample. What was recorded of the answer is of no use where others are learned from.
    mutating func claimRecord(of index: Int, learnsServed: Bool) -> [RecordReference] {
        guard let record = records.removeValue(forKey: index) else { return [] }
        let prompt = trace.requests[index].promptTokens
        return record.parts.filter { part in
            guard memory.records.isUsable(part.chunk) else { return false }
            guard !learnsServed, part.tokens.lowerBound >= prompt else {
                memory.note(part.chunk, need: .claimed)
                return true
            }
            memory.release(part.chunk, because: .edited)
            return false
        }
    }

    mutating func expireRecord(of index: Int) {
        guard let record = records.removeValue(forKey: index) else { return }
        for part in record.parts where memory.records.isUsable(part.chunk) {
            memory.release(part.chunk, because: .expired)
        }
    }

    // MARK: Giving way

    /// Gives one record up to KV blocks that serving needs; false when none may go, or all of them would not suffice.
    ///
    /// With `stall` none goes as long as serving can wait: for copies under way that make room, or, if it `waits` at
    /// nobody's cost, for running requests to end.
    mutating func recordsGiveWay(to blocks: Int, waits: Bool) -> Bool {
        let mayDrop = configuration.recording.backpressure == .drop || !waits && !memory.copiesMakeRoom
        return mayDrop && memory.recordsCanGiveWay(to: blocks) && memory.giveUpOneRecord(for: blocks)
    }

    /// Whether a running request waits until copies under way have made room for its KV blocks.
    func isMakingRoom(for blocks: Int) -> Bool {
        configuration.recording.backpressure == .stall && memory.copiesMakeRoom
            && memory.recordsHoldRoom(for: blocks)
    }

    /// Whether the next request in line waits, and records are why.
    mutating func noteAdmission(heldByRecords: Bool) {
        if heldByRecords {
            if admissionHeldSince == nil { admissionHeldSince = now }
        } else if let since = admissionHeldSince {
            log.recording.admissionStall += now - since
            admissionHeldSince = nil
        }
    }

    mutating func noteLosses() {
        for loss in memory.takeLosses() {
            log.requests[loss.request].lost[loss.reason] += loss.tokens
            log.recording.lose(loss.bytes, because: loss.reason, at: now)
            if loss.reason.isWant { log.requests[loss.request].recordedTokens -= loss.tokens }
        }
    }
}

extension ArmConfiguration {
    /// What feedback on a request has one learn, without what is recorded of it; `nil` if it has nothing to teach.
    func sample(of request: Request, _ index: Int, _ feedback: Feedback, at now: SimTime = .zero) -> Sample? {
        guard let lesson = training.objective.lesson(of: feedback.signal, served: request.outputTokens),
            !lesson.answers.isEmpty
        else { return nil }
        return Sample(
            request: index, promptTokens: request.promptTokens, objective: lesson.kind, answers: lesson.answers,
            sharesPrompt: training.sharedPrompts, record: [], ready: now)
    }

    /// What feedback on a request has one learn, and how long after its answer that comes; `nil` if there is nothing.
    package func lesson(of request: Request) -> (sample: Sample, delay: SimDuration)? {
        guard let feedback = feedback(on: request), let sample = sample(of: request, -1, feedback) else { return nil }
        return (sample, feedback.delay)
    }

    /// Notes whether the trace's feedback has pairs to learn from.
    public mutating func adapt(to trace: Trace) {
        guard training.enabled else { return }
        training.learnsPairs = trace.requests.contains { request in
            feedback(on: request).flatMap { sample(of: request, -1, $0) }?.objective == .dpo
        }
    }

    /// The first request whose feedback does not say what the objective needs.
    public func firstWithoutLesson(in trace: Trace) -> Request? {
        guard training.enabled else { return nil }
        return trace.requests.first { request in
            guard let feedback = feedback(on: request) else { return false }
            return training.objective.lesson(of: feedback.signal, served: request.outputTokens) == nil
        }
    }

    /// The feedback that a request gets: the trace's, or that of the seeded model where the trace is silent.
    func feedback(on request: Request) -> Feedback? {
        switch request.feedback {
        case .given(let feedback): feedback
        case .none: nil
        case .unstated:
            feedback.feedback(
                for: request.id, seed: seed, kind: training.objective.kind, answerTokens: request.outputTokens)
        }
    }
}
