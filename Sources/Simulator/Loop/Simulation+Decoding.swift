/// Stretches of iterations that only decode.
///
/// Between two events, while every sequence that has arrived decodes, an iteration differs from the one before by one token
/// in each context. Such iterations are executed here without planning, with the same outcome in every log
/// (`DecodingStretchTests`): at a light load nearly all are.
extension Simulation {
    /// Whether nothing but an event can change what the next iterations do.
    private var decodesUndisturbed: Bool {
        guard decodesInStretches, backend.isPure, !log.keepsShapes, !checksEveryEvent, heldSlices.isEmpty,
            servingHeldSince == nil, admissionHeldSince == nil, configuration.recording.scope != .all,
            configuration.recording.offload != .headroom, memory.copiesAreSettled
        else { return false }
        guard configuration.training.enabled else { return true }
        // The trainer tries again after each iteration if it has a step, or samples for one.
        let isWaiting = trainer.step == nil && trainer.waiting < configuration.training.updateEvery
        if hasTrainerDevice { return trainerWork != nil || isWaiting }
        switch configuration.training.sharing {
        case .idle: return true
        case .slo: return isWaiting
        case .share: return false
        }
    }

    /// Executes the iterations that end before the next event and finish no sequence; the one after them is planned.
    mutating func decodeAhead() throws {
        guard decodesUndisturbed, var stretch = scheduler.decodingStretch(), stretch.iterations > 0 else { return }
        let sequences = stretch.requests.count
        var isFirst = true
        while stretch.iterations > 0 {
            guard
                let duration = try backend.decode(
                    sequences: sequences, pairs: stretch.pairs, decodesBefore: decodesInARow)
            else { break }
            let end = now + duration
            if let next = events.nextTime, end >= next { break }
            guard scheduler.extendForDecoding(&memory) else { break }
            if isFirst { endStall() }
            decodesInARow += 1
            log.quanta.append(
                QuantumRecord(
                    kind: .serve, start: now, duration: duration, predicted: duration, decodeTokens: sequences,
                    shape: 0,
                    version: servedVersion, waiting: 0, kvBlocks: memory.kv.liveBlocks,
                    cachedBlocks: memory.kv.cachedBlocks))
            events.advance(to: end)
            memory.ledger.now = end
            if isFirst {
                scheduler.noteTokens(at: end) { request, last in
                    log.tokenGaps.append(TokenGap(request: Int32(request), gap: end - last))
                }
                unservedStepsShow(by: servedVersion)
            } else {
                log.tokenGaps.append(duration, of: stretch.requests)
            }
            scheduler.completeDecoding(version: servedVersion, &memory)
            stretch.pairs += sequences
            stretch.iterations -= 1
            isFirst = false
        }
        guard !isFirst else { return }
        log.end = now
        scheduler.noteTokens(at: now) { _, _ in }
    }
}
