internal import Engine
public import Simulator

/// A micro-batch that the engine is working on.
final class OpenPass {
    let pass: TrainingPass
    let microBatch: MicroBatch
    /// Of pairs.
    private let preference: PreferenceLoss?
    /// The log-probability of each sequence's answer, as far as it has been taken.
    private var scores: [Double]
    /// Layers whose K and V, or whose activations, are attached; the last stands for the final norm's input.
    var attachedKV: Set<Int> = []
    var attachedActivations: Set<Int> = []
    /// Floats of rounded records that are attached.
    var widened: WidenedRecords

    init(_ pass: TrainingPass, _ microBatch: MicroBatch, _ preference: PreferenceLoss?, _ buffers: BufferPool) {
        widened = WidenedRecords(buffers)
        self.pass = pass
        self.microBatch = microBatch
        self.preference = preference
        scores = [Double](repeating: 0, count: microBatch.sequences.count)
    }

    /// Takes the scores of some loss rows. With the last of them the loss is known, which is returned, and its gradient's
    /// weights are set.
    func score(rows: Range<Int>) -> Double {
        pass.score(rows: rows, into: &scores)
        guard let preference, rows.upperBound == pass.packing.lossRows.count else { return 0 }
        let (loss, factors) = preference.evaluate(scores)
        pass.scaleLoss(by: factors)
        return loss
    }
}

extension MeasuredBackend {
    public func advance(version: Int) throws {
        swap(&current, &next)
        roundedReads.clear()
        keepVersion(version)
    }

    public func publish(version: Int) throws {
        if options.training.placement == .separate { copyToServer() } else { served = current }
    }

    /// Gives a server with weights of its own the trainer's.
    func copyToServer() {
        let (target, source) = (trainedBuffer(of: served), trainedBuffer(of: current))
        if target !== source { target.copy(from: source) }
    }

    public func open(_ microBatch: MicroBatch, unitRows: Int) throws {
        if microBatch.needsReference {
            reference = OpenReference(self, microBatch, unitRows: unitRows)
        } else {
            openPass(microBatch, unitRows: unitRows)
        }
    }

    private func openPass(_ microBatch: MicroBatch, unitRows: Int, preference: PreferenceLoss? = nil) {
        let pass = TrainingPass(
            engine.workspace(unitRows: unitRows), parameters: current, sequences: sequences(of: microBatch),
            gradients: gradients, plan: PassPlan(footprint.plans, layers: model.layers), unitRows: unitRows)
        pass.reserve()
        self.pass = OpenPass(pass, microBatch, preference, widenedBuffers)
    }

    public func close(_ microBatch: MicroBatch) throws {
        pass?.widened.releaseAll()
        pass = nil
    }

    func train(_ quantum: TrainerQuantum) throws -> StepOutcome {
        var outcome = StepOutcome(duration: .zero)
        for unit in quantum.units {
            closeReference(before: unit)
            if isAudited { try noteRoundedReads(of: unit) }
            let widening = try measured { try attachRecords(for: unit) }
            var loss = 0.0
            var duration = measured { loss = run(unit, &outcome) }
            // Without rounding nothing but tables are made.
            if footprint.narrowsActivations || footprint.narrowsKV { duration = duration + widening }
            outcome.loss = (outcome.loss ?? 0) + loss
            outcome.unitDurations.append(duration)
            outcome.duration += duration
            if case .backward(let layer, let rows) = unit, rows.lowerBound == 0 {
                pass?.pass.finishedBackward(layer: layer)
            }
        }
        return outcome
    }

    /// Does the work of a unit and returns its part of the loss.
    private func run(_ unit: TrainerUnit, _ outcome: inout StepOutcome) -> Double {
        switch unit {
        case .reference(let layer, let rows): reference?.pass.forward(layer: layer, rows: rows)
        case .score(let rows, ofReference: true): reference?.score(rows: rows)
        case .forward(let layer, let rows): pass?.pass.forward(layer: layer, rows: rows)
        case .score(let rows, ofReference: false): return pass?.score(rows: rows) ?? 0
        case .loss(let rows):
            let loss = pass?.pass.loss(rows: rows) ?? 0
            // Of pairs the loss is known from the scores; this is a sum that has its gradient.
            return pass?.microBatch.needsReference == true ? 0 : loss
        case .recompute(let layer, let rows): pass?.pass.recompute(layer: layer, rows: rows)
        case .backward(let layer, let rows): pass?.pass.backward(layer: layer, rows: rows)
        case .gradientNorm:
            let norm = gradients.norm(pool: engine.pool)
            gradientScale = rule.gradientScale(norm: norm)
            outcome.gradientNorm = norm
        case .optimizer(let parameters):
            if parameters.lowerBound == 0 { optimizer.beginStep() }
            rule.step(
                parameters, state: optimizer, gradients: gradients, from: trainedBuffer(of: current),
                to: trainedBuffer(of: next),
                learningRate: options.training.learningRate
                    * options.training.schedule.factor(at: optimizer.steps - 1), gradientScale: gradientScale,
                pool: engine.pool)
            gradients.buffer.floats[parameters].update(repeating: 0)
        }
        return 0
    }

    /// The parameters that training changes.
    func trainedBuffer(of parameters: ModelParameters) -> FloatBuffer {
        parameters.adapters?.buffer ?? parameters.weights.buffer
    }

    /// The reference model's pass is done when anything else comes: its scratch is the trained model's.
    private func closeReference(before unit: TrainerUnit) {
        guard let reference, unit.phase != .reference else { return }
        self.reference = nil
        openPass(
            reference.microBatch, unitRows: reference.pass.unitRows,
            preference: preference(of: reference.microBatch, reference: reference.scores))
    }
}
