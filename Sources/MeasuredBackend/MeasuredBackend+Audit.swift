internal import Engine
public import Simulator

extension MeasuredBackend {
    /// Remembers the trained parameters as `version`, for later audits.
    func keepVersion(_ version: Int) {
        guard isAudited else { return }
        let source = trainedBuffer(of: current)
        let copy = FloatBuffer(count: source.count)
        copy.copy(from: source)
        history[version] = copy
    }

    public func forgetVersions(before version: Int) {
        for old in history.keys where old < version { history[old] = nil }
    }

    public func audit(_ microBatches: [MicroBatch]) throws -> GradientAudit? {
        let replayed = GradientBuffer(engine.config, tuning)
        let recomputed = GradientBuffer(engine.config, tuning)
        let isRounded = footprint.narrowsActivations || footprint.narrowsKV
        let unrounded = isRounded ? GradientBuffer(engine.config, tuning) : replayed
        for microBatch in microBatches {
            let reference = referenceScores(of: microBatch)
            try addGradient(of: microBatch, reference, records: .replayed, to: replayed)
            if isRounded { try addGradient(of: microBatch, reference, records: .unrounded, to: unrounded) }
            try addGradient(of: microBatch, reference, records: .recomputed, to: recomputed)
        }
        let rounding = GradientDifference(gradients, reference: replayed)
        let precision = isRounded ? GradientDifference(gradients, reference: unrounded) : rounding
        let staleness = GradientDifference(gradients, reference: recomputed)
        let samples = options.training.auditsSamples ? try microBatches.flatMap(auditSamples) : []
        for request in microBatches.flatMap(\.sequences).map(\.request) { slicesServed[request] = nil }
        return GradientAudit(
            roundingError: rounding.error, precisionError: precision.error, precisionCosine: precision.cosine,
            stalenessError: staleness.error, stalenessCosine: staleness.cosine,
            samples: samples)
    }

    /// What stands for a micro-batch's records.
    enum RecordSource {
        /// They are made anew by the weights that made them, and rounded as they were.
        case replayed
        /// The same without rounding.
        case unrounded
        /// Everything is computed at the trainer's own weights.
        case recomputed
    }

    /// Adds a micro-batch's gradient.
    func addGradient(
        of microBatch: MicroBatch, _ reference: [Double], records: RecordSource, to target: GradientBuffer
    ) throws {
        let replaysRecords = records != .recomputed
        let pass = TrainingPass(
            engine.auditWorkspace(rows: microBatch.rows), parameters: current,
            sequences: sequences(of: microBatch, recorded: replaysRecords), gradients: target, plan: auditPlan)
        var replays: [Int: [RecordedSequence]] = [:]
        if replaysRecords {
            for sequence in microBatch.sequences where replays[sequence.request] == nil {
                let replay = try replay(sequence.request, of: microBatch)
                if records == .replayed {
                    roundedReads.round(
                        replay, request: sequence.request, microBatch: microBatch.id, layers: model.layers)
                }
                replays[sequence.request] = replay
            }
        }
        pass.forwardWhole { layer in
            for (index, sequence) in microBatch.sequences.enumerated() {
                for span in sequence.recorded {
                    for record in replays[sequence.request] ?? [] {
                        record.attach(to: pass, sequence: index, layer: layer, within: span.tokens)
                    }
                }
            }
        }
        weighPairs(of: pass, microBatch, reference: reference)
        _ = pass.backwardWhole()
    }

    /// The pass keeps everything of its own rows. Records leave out what the arm's do: that is computed again at the
    /// present weights, in both.
    private var auditPlan: PassPlan {
        PassPlan(SavePlans(recorded: footprint.plans.recorded), layers: model.layers)
    }

    /// Serves a request again as far as it was recorded, slice by slice, each at the version that served it; as often from
    /// the start as it was begun with something recorded.
    private func replay(_ request: Int, of microBatch: MicroBatch) throws -> [RecordedSequence] {
        let ids = tokens.sequence(of: request)
        let sequences = microBatch.sequences.filter { $0.request == request }
        let lossStart = sequences.compactMap { $0.lossTokens.isEmpty ? nil : $0.lossTokens.lowerBound }.min() ?? 0
        return try recordedRuns(of: request, Self.chunks(of: sequences)).map { run in
            var replay = RecordedSequence(
                engine.config, capacity: ids.count, plan: auditPlan, lossStart: lossStart)
            for (range, version, isRecorded) in run {
                guard let parameters = parameters(at: version) else {
                    throw MeasuredBackendError.missing("version \(version), which served request \(request),")
                }
                _ = engine.transformer.forward([replay.slice(ids, range, isRecorded: isRecorded)], parameters)
            }
            return replay
        }
    }

    /// The positions of each chunk that sequences of one request read, in order.
    private static func chunks(of sequences: [TrainingSequencePlan]) -> [Range<Int>] {
        var chunks: [ChunkID: Range<Int>] = [:]
        for span in sequences.lazy.flatMap(\.recorded) {
            let known = chunks[span.chunk] ?? span.tokens
            chunks[span.chunk] =
                min(known.lowerBound, span.tokens.lowerBound)..<max(known.upperBound, span.tokens.upperBound)
        }
        return chunks.values.sorted { $0.lowerBound < $1.lowerBound }
    }

    /// The slices that a request was served in, from its start to the last recorded one: a run for each time that it was
    /// begun.
    private func recordedRuns(
        of request: Int, _ chunks: [Range<Int>]
    ) throws(MeasuredBackendError) -> [ArraySlice<(tokens: Range<Int>, version: Int, isRecorded: Bool)>] {
        var runs: [[(tokens: Range<Int>, version: Int, isRecorded: Bool)]] = []
        var missing = chunks
        let bounds = Set(missing.flatMap { [$0.lowerBound, $0.upperBound] })
        // What a request shares of other requests' slices may be a part of these.
        let served = (slicesServed[request] ?? []).flatMap { range, version in
            range.parts(cutAt: bounds).map { (tokens: $0, version: version) }
        }
        for (range, version) in served {
            if range.lowerBound == 0 { runs.append([]) }
            // What was computed again kept its first record. Decoding fills a record token by token.
            let recorded = missing.firstIndex { $0.lowerBound == range.lowerBound && $0.upperBound >= range.upperBound }
            if let recorded {
                missing[recorded] = range.upperBound..<missing[recorded].upperBound
                if missing[recorded].isEmpty { missing.remove(at: recorded) }
            }
            guard !runs.isEmpty else { throw .missing("the beginning of request \(request)") }
            runs[runs.count - 1].append((range, version, recorded != nil))
        }
        guard missing.isEmpty else { throw .missing("the history of request \(request)") }
        return runs.compactMap { run in run.lastIndex(where: \.isRecorded).map { run[...$0] } }
    }

    private func parameters(at version: Int) -> ModelParameters? {
        guard let values = history[version] else { return nil }
        switch tuning {
        case .full:
            let weights = Weights(zeros: engine.config)
            weights.buffer.copy(from: values)
            return ModelParameters(weights)
        case .lora(let lora):
            let adapters = Adapters(engine.config, lora, seed: 0)
            adapters.buffer.copy(from: values)
            return ModelParameters(current.weights, adapters: adapters)
        }
    }
}

extension Range<Int> {
    /// The range in parts that begin at its start and at each of `bounds` within it.
    fileprivate func parts(cutAt bounds: Set<Int>) -> [Range<Int>] {
        let inner = bounds.filter { $0 > lowerBound && $0 < upperBound }.sorted()
        return zip([lowerBound] + inner, inner + [upperBound]).map { $0..<$1 }
    }
}
