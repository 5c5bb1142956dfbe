internal import Engine
public import Simulator

extension MeasuredBackend {
    /// Remembers the trained parameters as `version`, for later audits.
    func keepVersion(_ version: Int) {
        guard options.training.enabled, options.training.auditEvery > 0 else { return }
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
            sequences: sequences(of: microBatch, recorded: replayingRecords), gradients: target)
        var replays: [(index: Int, record: RecordedSequence)] = []
        if replayingRecords {
            for (index, sequence) in microBatch.sequences.enumerated() where !sequence.recorded.isEmpty {
                replays.append((index, try replay(sequence)))
            }
        }
        pass.forwardWhole { layer in
            for replay in replays { replay.record.attach(to: pass, sequence: replay.index, layer: layer) }
        }
        _ = pass.backwardWhole()
    }

    /// Serves a request again as far as it was recorded, slice by slice, each at the version that served it.
    private func replay(_ sequence: TrainingSequencePlan) throws -> RecordedSequence {
        let end = sequence.recorded.last?.tokens.upperBound ?? 0
        var replay = RecordedSequence(engine.config, capacity: end)
        let ids = tokens.sequence(of: sequence.request)
        for (range, version) in slicesServed[sequence.request] ?? [] where range.lowerBound < end {
            guard let parameters = parameters(at: version) else {
                throw MeasuredBackendError.missing("version \(version), which served request \(sequence.request),")
            }
            let isRecorded = sequence.recorded.contains { $0.tokens.clamped(to: range) == range }
            _ = engine.transformer.forward([replay.slice(ids, range, isRecorded: isRecorded)], parameters)
        }
        guard replay.chunks.reduce(0, { $0 + $1.positions.count }) == sequence.reusedTokens else {
            throw MeasuredBackendError.missing("the history of request \(sequence.request)")
        }
        return replay
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
