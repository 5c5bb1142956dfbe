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
        for microBatch in microBatches {
            try addGradient(of: microBatch, replayingRecords: true, to: replayed)
            try addGradient(of: microBatch, replayingRecords: false, to: recomputed)
        }
        let rounding = GradientDifference(gradients, reference: replayed)
        let staleness = GradientDifference(gradients, reference: recomputed)
        for request in microBatches.flatMap(\.sequences).map(\.request) { slicesServed[request] = nil }
        return GradientAudit(
            roundingError: rounding.error, stalenessError: staleness.error, stalenessCosine: staleness.cosine)
    }

    /// Adds a micro-batch's gradient: with its records made anew by the weights that made them, or with everything
    /// computed at the trainer's own weights.
    private func addGradient(
        of microBatch: MicroBatch, replayingRecords: Bool, to target: GradientBuffer
    ) throws {
        let pass = TrainingPass(
            engine.auditWorkspace(rows: microBatch.rows), parameters: current,
            sequences: sequences(of: microBatch, recorded: replayingRecords), gradients: target, plan: auditPlan)
        var replays: [(index: Int, record: RecordedSequence)] = []
        if replayingRecords {
            for (index, sequence) in microBatch.sequences.enumerated() where !sequence.recorded.isEmpty {
                replays += try replay(sequence).map { (index, $0) }
            }
        }
        pass.forwardWhole { layer in
            for replay in replays { replay.record.attach(to: pass, sequence: replay.index, layer: layer) }
        }
        _ = pass.backwardWhole()
    }

    /// The pass keeps everything of its own rows. Records leave out what the arm's do: that is computed again at the
    /// present weights, in both.
    private var auditPlan: PassPlan {
        PassPlan(SavePlans(recorded: footprint.plans.recorded), layers: model.layers)
    }

    /// Serves a request again as far as it was recorded, slice by slice, each at the version that served it; as often from
    /// the start as it was begun with something recorded.
    private func replay(_ sequence: TrainingSequencePlan) throws -> [RecordedSequence] {
        let ids = tokens.sequence(of: sequence.request)
        return try recordedRuns(of: sequence).map { run in
            var replay = RecordedSequence(
                engine.config, capacity: ids.count, plan: auditPlan, lossStart: sequence.lossTokens.lowerBound)
            for (range, version, isRecorded) in run {
                guard let parameters = parameters(at: version) else {
                    throw MeasuredBackendError.missing("version \(version), which served request \(sequence.request),")
                }
                _ = engine.transformer.forward([replay.slice(ids, range, isRecorded: isRecorded)], parameters)
            }
            return replay
        }
    }

    /// The slices that a request was served in, from its start to the last recorded one: a run for each time that it was
    /// begun.
    private func recordedRuns(
        of sequence: TrainingSequencePlan
    ) throws(MeasuredBackendError) -> [ArraySlice<(tokens: Range<Int>, version: Int, isRecorded: Bool)>] {
        var runs: [[(tokens: Range<Int>, version: Int, isRecorded: Bool)]] = []
        var missing = sequence.recorded.map(\.tokens)
        let bounds = Set(missing.flatMap { [$0.lowerBound, $0.upperBound] })
        // What a request shares of other requests' slices may be a part of these.
        let served = (slicesServed[sequence.request] ?? []).flatMap { range, version in
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
            guard !runs.isEmpty else { throw .missing("the beginning of request \(sequence.request)") }
            runs[runs.count - 1].append((range, version, recorded != nil))
        }
        guard missing.isEmpty else { throw .missing("the history of request \(sequence.request)") }
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

/// The distance of a gradient from a reference.
struct GradientDifference {
    /// `max over tensors of |g - r| / max(|r|, 1e-6 |r_all|)`, Euclidean norms.
    let error: Double
    /// Cosine of the angle between the two whole gradients.
    let cosine: Double

    init(_ gradient: GradientBuffer, reference: GradientBuffer) {
        func dot(_ a: FloatBuffer, _ b: FloatBuffer, _ range: Range<Int>) -> Double {
            range.reduce(0) { $0 + Double(a.base[$1]) * Double(b.base[$1]) }
        }
        let all = 0..<reference.table.count
        let whole = dot(reference.buffer, reference.buffer, all).squareRoot()
        var worst = 0.0
        for parameter in reference.table.parameters {
            let difference = parameter.range.reduce(0.0) { sum, index in
                let d = Double(gradient.buffer.base[index]) - Double(reference.buffer.base[index])
                return sum + d * d
            }.squareRoot()
            let norm = dot(reference.buffer, reference.buffer, parameter.range).squareRoot()
            let scale = max(norm, 1e-6 * whole)
            // A difference that is not a number is as wrong as can be, and no comparison with it is true.
            if !difference.isFinite { worst = .infinity }
            if difference > 0 { worst = max(worst, difference / scale) }
        }
        error = worst
        let own = dot(gradient.buffer, gradient.buffer, all).squareRoot()
        cosine = own > 0 && whole > 0 ? dot(gradient.buffer, reference.buffer, all) / (own * whole) : 1
    }
}

extension Range<Int> {
    /// The range in parts that begin at its start and at each of `bounds` within it.
    fileprivate func parts(cutAt bounds: Set<Int>) -> [Range<Int>] {
        let inner = bounds.filter { $0 > lowerBound && $0 < upperBound }.sorted()
        return zip([lowerBound] + inner, inner + [upperBound]).map { $0..<$1 }
    }
}
