import Simulator

/// What every run must keep, whatever its policies and however tight its memory.
enum ServingLaws {
    /// What was seen of a case, to tell whether the drawn cases reach what they should.
    struct Seen {
        var preemptions = 0
        var swaps = 0
        var cachedTokens = 0
        var refused = 0
        var steps = 0
        var dropped = 0
        /// Iterations held back until records had made room, and requests that waited for memory that records held.
        var held = 0
        var admissionsHeld = 0
        var evicted = 0
        var hedged = 0
        /// Records of decoded tokens that ended early, because their request gave its blocks up.
        var sealed = 0
        /// Tokens of the prefix cache whose record was shared, and those that had none to share.
        var linked = 0
        var unlinked = 0
        /// Quanta that the trainer ran while requests waited or ran, steps on pairs and groups, and steps of a separate
        /// trainer.
        var taken = 0
        var otherObjectives = 0
        var separateSteps = 0
        /// Records that weights of several versions went into, and that were learned from.
        var mixedRecords = 0
        /// Steps of more micro-batches than their tokens ask for, because the device had no room for larger ones.
        var splitSteps = 0

        static func += (a: inout Seen, b: Seen) {
            a.preemptions += b.preemptions
            a.swaps += b.swaps
            a.cachedTokens += b.cachedTokens
            a.refused += b.refused
            a.steps += b.steps
            a.dropped += b.dropped
            a.held += b.held
            a.admissionsHeld += b.admissionsHeld
            a.evicted += b.evicted
            a.hedged += b.hedged
            a.sealed += b.sealed
            a.linked += b.linked
            a.unlinked += b.unlinked
            a.taken += b.taken
            a.otherObjectives += b.otherObjectives
            a.separateSteps += b.separateSteps
            a.mixedRecords += b.mixedRecords
            a.splitSteps += b.splitSteps
        }
    }

    /// The first law that the case breaks, in words; `nil` if it keeps all of them.
    static func broken(by drawn: ServingCase, seen: inout Seen) -> String? {
        let trace = drawn.trace
        let demand = ContentBackend(
            trace, blockTokens: drawn.block, sharesVersions: drawn.acrossVersions, plans: drawn.plans)
        let configuration = drawn.configuration(for: trace, demand: demand)
        do {
            let (log, backend) = try run(configuration, trace, demand, checked: true)
            note(log, configuration, &seen)
            seen.sealed += backend.books.sealed
            seen.mixedRecords += backend.mixed.count
            guard log.status == .complete else { return "the run does not end" }
            if let problem = backend.allProblems.first { return problem }
            if let problem = problem(of: log, configuration, trace, demand) { return problem }
            let again = try run(configuration, trace, demand, checked: false).log
            if !isSame(log, again) { return "a second run differs" }
            if let problem = try problemOfIdleSettings(drawn, configuration, trace, demand) { return problem }
            return nil
        } catch {
            return "\(error)"
        }
    }

    private static func note(_ log: ArmLog, _ configuration: ArmConfiguration, _ seen: inout Seen) {
        for request in log.requests {
            seen.preemptions += request.preemptions
            seen.swaps += request.swappedBytes > .zero ? 1 : 0
            seen.cachedTokens += request.cachedTokens
            seen.refused += request.outcome == .refused ? 1 : 0
            seen.dropped += request.lost.dropped
            seen.evicted += request.lost[.evicted]
            seen.linked += request.linkedTokens
            seen.unlinked += request.lost[.unlinked]
        }
        seen.held += log.quanta.count { $0.held > .zero }
        seen.admissionsHeld += log.recording.admissionStall > .zero ? 1 : 0
        seen.hedged += log.recording.hedgedBytes > .zero ? 1 : 0
        seen.steps += log.steps.count
        seen.otherObjectives += log.steps.count { $0.objective != .sft }
        if !configuration.training.sharedPrompts {
            let limit = configuration.training.microBatchTokens
            seen.splitSteps += log.steps.count { $0.microBatches > fewest(of: $0.learned.map(\.tokens), within: limit) }
        }
        if configuration.hasTrainerDevice { seen.separateSteps += log.steps.count }
        if configuration.training.sharing != .idle, !configuration.hasTrainerDevice {
            seen.taken += log.quanta.count { $0.kind == .train && $0.waiting > 0 }
        }
    }

    /// Micro-batches that samples of so many tokens fill in order.
    private static func fewest(of samples: [Int], within limit: Int) -> Int {
        var (count, filled) = (0, limit)
        for tokens in samples {
            if count == 0 || filled + tokens > limit { (count, filled) = (count + 1, 0) }
            filled += tokens
        }
        return count
    }

    private static func run(
        _ configuration: ArmConfiguration, _ trace: Trace, _ backend: ContentBackend, checked: Bool
    ) throws -> (log: ArmLog, backend: ContentBackend) {
        var simulation = try Simulation(configuration: configuration, trace: trace, backend: backend)
        simulation.checksEveryEvent = checked
        // A run that neither ends nor stops for want of events would go on for ever.
        let tokens = trace.requests.reduce(0) { $0 + $1.promptTokens + $1.outputTokens }
        var events = 0
        var last = SimTime.zero
        var wentBack = false
        let log = try simulation.run(
            progress: { _, now in
                wentBack = wentBack || now < last
                last = now
            },
            shouldStop: {
                events += 1
                return events > 10_000 + 100 * tokens
            })
        if wentBack { throw SimulationError.brokenLaw("time went back") }
        return (log, simulation.backend)
    }

    private static func problem(
        of log: ArmLog, _ configuration: ArmConfiguration, _ trace: Trace, _ demand: ContentBackend
    ) -> String? {
        let capacity = MemoryRequirement(configuration: configuration, trace: trace, demand: demand).kvBlocks
        let block = configuration.serving.kvBlockTokens
        let dropped = LossReason.allCases.filter(\.isWant).reduce(Bytes.zero) { $0 + log.recording.lost[$1] }
        if dropped != log.recording.droppedBytes { return "the course of losses has other sums than the run" }
        let hasDropped = log.requests.contains { $0.lost.dropped > 0 }
        if hasDropped != (dropped > .zero) {
            return "records of \(dropped.count) bytes and no tokens are lost, or tokens alone"
        }
        for (record, request) in zip(log.requests, trace.requests) {
            let blocks = (request.promptTokens + request.outputTokens - 1 + block - 1) / block
            let expected: RequestRecord.Outcome = blocks > capacity ? .refused : .finished
            if record.outcome != expected { return "request \(record.index) is \(record.outcome), not \(expected)" }
        }
        let streams =
            configuration.hasTrainerDevice
            ? QuantumRecord.Kind.allCases.map { kind in log.quanta.filter { $0.kind == kind } } : [Array(log.quanta)]
        for quanta in streams {
            for (a, b) in zip(quanta, quanta.dropFirst()) where a.start + a.duration > b.start {
                return "two quanta overlap on a compute stream"
            }
        }
        if log.memory.device.peak > configuration.device.memory { return "more device memory than there is" }
        if log.memory.host.peak > configuration.device.hostMemory { return "more host memory than there is" }
        // Blocks of sequences, of records and of the cache have one limit together.
        let kvBytes = demand.footprint.kvPerToken * (block * capacity)
        if log.memory.device.kvPeak > kvBytes { return "KV blocks of \(log.memory.device.kvPeak.count) bytes" }
        if log.quanta.contains(where: { $0.kvBlocks + $0.cachedBlocks > capacity }) {
            return "more KV blocks than may be"
        }
        for quantum in log.quanta where quantum.kind == .serve {
            let tokens = quantum.prefillTokens + quantum.decodeTokens
            if tokens > configuration.serving.tokenBudget || tokens == 0 { return "an iteration of \(tokens) tokens" }
        }
        let prefilled = log.quanta.reduce(0) { $0 + $1.prefillTokens }
        let finished = log.requests.filter { $0.outcome == .finished }
        let computed = finished.reduce(0) { $0 + trace.requests[$1.index].promptTokens }
        let lost = finished.reduce(0) { $0 + $1.recomputedTokens + $1.preemptions }
        if prefilled > computed + lost { return "\(prefilled) tokens prefilled, of \(computed) and \(lost) lost ones" }
        if configuration.serving.admission == .fcfs {
            let order = finished.sorted {
                ($0.effectiveArrival ?? .zero, $0.scheduled ?? .zero) < (
                    $1.effectiveArrival ?? .zero, $1.scheduled ?? .zero
                )
            }
            for (a, b) in zip(order, order.dropFirst())
            where a.effectiveArrival != b.effectiveArrival && (a.scheduled ?? .zero) > (b.scheduled ?? .zero) {
                return "request \(b.index) came after request \(a.index) but was served first"
            }
        }
        return nil
    }

    /// Every time, count and byte of two runs.
    private static func isSame(_ a: ArmLog, _ b: ArmLog) -> Bool {
        a.end == b.end && a.requests == b.requests && a.quanta.elementsEqual(b.quanta)
            && a.transfers.elementsEqual(b.transfers) && a.steps == b.steps && a.recording == b.recording
            && a.memory.device.isSame(as: b.memory.device) && a.memory.host.isSame(as: b.memory.host)
            && a.memory.trainerDevice.isSame(as: b.memory.trainerDevice)
            && a.memory.trainingPeak == b.memory.trainingPeak && a.shapes.map(\.key) == b.shapes.map(\.key)
    }

    /// With recording and training off nothing differs from the arm that only serves, whatever else recording and training
    /// are set to.
    private static func problemOfIdleSettings(
        _ drawn: ServingCase, _ configuration: ArmConfiguration, _ trace: Trace, _ demand: ContentBackend
    ) throws -> String? {
        var idle = configuration
        idle.training.enabled = false
        idle.recording.scope = .none
        idle.feedback.rate = 1
        var serveOnly = configuration
        serveOnly.recording = RecordingConfiguration()
        serveOnly.training = TrainingConfiguration()
        serveOnly.feedback = FeedbackConfiguration()
        let a = try run(idle, trace, demand, checked: false).log
        let b = try run(serveOnly, trace, demand, checked: false).log
        let isServing =
            a.steps.isEmpty && a.memory.trainingPeak == .zero
            && a.requests.allSatisfy { $0.recordedTokens == 0 && $0.lost == LostTokens() }
        return isServing && isSame(a, b) ? nil : "settings that are not in use change the run"
    }
}

extension MemoryRecord.TierRecord {
    fileprivate func isSame(as other: MemoryRecord.TierRecord) -> Bool {
        peak == other.peak && peakByOwner == other.peakByOwner && kvPeak == other.kvPeak
    }
}
