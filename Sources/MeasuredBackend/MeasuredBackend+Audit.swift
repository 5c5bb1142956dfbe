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
        for request in microBatches.flatMap(\.sequences).map(\.request) { prefills[request] = nil }
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
        var replays: [Replay?] = []
        for (index, sequence) in microBatch.sequences.enumerated() {
            guard replayingRecords, !sequence.recorded.isEmpty else {
                replays.append(nil)
                continue
            }
            let replay = try replay(sequence)
            for layer in 0..<model.layers { replay.attach(to: pass, sequence: index, layer: layer) }
            replay.attachFinal(to: pass, sequence: index)
            replays.append(replay)
        }
        if microBatch.freshRows > 0 || !replayingRecords {
            for layer in 0..<model.layers { pass.forward(layer: layer, rows: 0..<pass.packing.freshRows.count) }
        }
        _ = pass.loss(rows: 0..<pass.packing.lossRows.count)
        for layer in (0..<model.layers).reversed() {
            pass.backward(layer: layer, rows: 0..<pass.packing.rowCount)
            pass.finishedBackward(layer: layer)
        }
        withExtendedLifetime(replays) {}
    }

    /// Serves a request's prompt again, slice by slice, each at the version that served it.
    private func replay(_ sequence: TrainingSequencePlan) throws -> Replay {
        let kv = KVBlock(engine.config, capacity: sequence.promptTokens)
        var replay = Replay(kv: kv, blocks: [])
        let ids = tokens.sequence(of: sequence.request)
        for (range, version) in prefills[sequence.request] ?? [] {
            guard let parameters = parameters(at: version) else {
                throw MeasuredBackendError.missing("version \(version), which served request \(sequence.request),")
            }
            var record: SliceRecord?
            if sequence.recorded.contains(where: { $0.tokens == range }) {
                let layers = (0..<model.layers).map { _ in ActivationBlock(engine.config, rows: range.count) }
                let final = FinalBlock(engine.config, rows: range.count)
                record = SliceRecord(layers: layers, final: final)
                replay.blocks.append((range, layers, final))
            }
            let slice = Engine.ServingSlice(
                tokens: Array(ids[range]), start: range.lowerBound, kv: [KVSpan(kv, count: range.upperBound)],
                record: record)
            _ = engine.transformer.forward([slice], parameters)
        }
        guard replay.blocks.count == sequence.recorded.count else {
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

/// A prompt served again outside the clock.
private struct Replay {
    var kv: KVBlock
    var blocks: [(tokens: Range<Int>, layers: [ActivationBlock], final: FinalBlock)]

    func attach(to pass: TrainingPass, sequence: Int, layer: Int) {
        for (range, layers, _) in blocks {
            pass.attachKV(
                layer: layer, sequence: sequence,
                kv.segment(layer: layer, row: range.lowerBound, start: range.lowerBound, count: range.count))
            pass.attachActivations(layer: layer, sequence: sequence, positions: range, layers[layer])
        }
    }

    func attachFinal(to pass: TrainingPass, sequence: Int) {
        for (range, _, final) in blocks { pass.attachFinal(sequence: sequence, positions: range, final) }
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
