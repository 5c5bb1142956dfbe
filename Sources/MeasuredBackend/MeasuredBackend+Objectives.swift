internal import Engine
internal import Simulator

/// The reference model's pass over a micro-batch.
final class OpenReference {
    let pass: TrainingPass
    let microBatch: MicroBatch
    /// The log-probability of each sequence's answer.
    private(set) var scores: [Double]

    init(_ backend: MeasuredBackend, _ microBatch: MicroBatch, unitRows: Int) {
        self.microBatch = microBatch
        pass = TrainingPass(
            scoring: backend.engine.workspace(unitRows: unitRows), parameters: backend.referenceModel,
            sequences: backend.sequences(of: microBatch, recorded: false), unitRows: unitRows)
        pass.reserve()
        scores = [Double](repeating: 0, count: microBatch.sequences.count)
    }

    func score(rows: Range<Int>) { pass.score(rows: rows, into: &scores) }
}

extension MeasuredBackend {
    /// The engine's form of a micro-batch: token ids, targets and loss weights.
    func sequences(of microBatch: MicroBatch, recorded: Bool = true) -> [TrainingSequence] {
        microBatch.sequences.map { plan in
            let weight: Float =
                switch microBatch.objective {
                case .sft: 1 / Float(microBatch.stepLossTokens)
                case .group: Float(plan.weight) / Float(microBatch.stepLossTokens)
                // Scores are plain sums; the loss gives them their factors.
                case .dpo: 1
                }
            let first = plan.positions.lowerBound
            var weights = [Float](repeating: 0, count: plan.tokens)
            for position in plan.lossTokens { weights[position - first] = weight }
            let ids = ids(of: plan)
            var trunk: Int?
            if case .branch(let number) = plan.part { trunk = number }
            return TrainingSequence(
                tokens: Array(ids[plan.positions]), targets: Array(ids[plan.positions.shifted(by: 1)]),
                weights: weights, recorded: recorded ? plan.recorded.map { $0.tokens.shifted(by: -first) } : [],
                after: trunk)
        }
    }

    /// Prompt and answer, as far as a sequence reads them.
    private func ids(of plan: TrainingSequencePlan) -> [Int32] {
        let served = tokens.sequence(of: plan.request)
        guard plan.answer > 0 else { return served }
        return served.prefix(plan.promptTokens)
            + tokens.answer(plan.answer, to: plan.request, tokens: plan.responseTokens)
    }

    /// The loss of the pairs among a micro-batch's sequences.
    ///
    /// - Parameter reference: the reference model's log-probability of each sequence's answer.
    func preference(of microBatch: MicroBatch, reference: [Double]) -> PreferenceLoss {
        var chosen: [Int: Int] = [:]
        var rejected: [Int: Int] = [:]
        for (number, sequence) in microBatch.sequences.enumerated() where sequence.part != .prompt {
            if sequence.weight > 0 { chosen[sequence.request] = number } else { rejected[sequence.request] = number }
        }
        let pairs = chosen.sorted { $0.value < $1.value }.compactMap { request, number in
            rejected[request].map { PreferenceLoss.Pair(chosen: number, rejected: $0) }
        }
        return PreferenceLoss(
            beta: options.training.beta, pairs: pairs, stepPairs: microBatch.stepSamples, reference: reference)
    }

    /// Gives a pass that has run forward the loss weights of its pairs, all in whole layers.
    func weighPairs(of pass: TrainingPass, _ microBatch: MicroBatch, reference: [Double]) {
        guard microBatch.needsReference else { return }
        var scores = [Double](repeating: 0, count: microBatch.sequences.count)
        pass.score(rows: 0..<pass.packing.lossRows.count, into: &scores)
        pass.scaleLoss(by: preference(of: microBatch, reference: reference).evaluate(scores).factors)
    }

    /// The reference model's scores of a micro-batch, apart from a step in progress; empty unless it has pairs.
    func referenceScores(of microBatch: MicroBatch) -> [Double] {
        guard microBatch.needsReference else { return [] }
        let pass = TrainingPass(
            scoring: engine.auditWorkspace(rows: microBatch.rows), parameters: referenceModel,
            sequences: sequences(of: microBatch, recorded: false))
        pass.forwardWhole()
        var scores = [Double](repeating: 0, count: microBatch.sequences.count)
        pass.score(rows: 0..<pass.packing.lossRows.count, into: &scores)
        return scores
    }
}

extension Range<Int> {
    /// Both ends moved by `distance`.
    fileprivate func shifted(by distance: Int) -> Range<Int> { lowerBound + distance..<upperBound + distance }
}
