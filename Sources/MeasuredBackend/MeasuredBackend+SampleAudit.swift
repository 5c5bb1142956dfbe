internal import Engine
internal import Simulator

extension MeasuredBackend {
    /// Holds the gradient that each sample has with its records against the one it has at the step's own weights: its
    /// records are all it needs to be told apart by age.
    func auditSamples(of microBatch: MicroBatch) throws -> [SampleAudit] {
        var audits: [SampleAudit] = []
        for sample in microBatch.samples {
            guard let oldest = sample.sequences.flatMap(\.recorded).map(\.versions.lowerBound).min() else { continue }
            let reference = referenceScores(of: sample)
            let replayed = GradientBuffer(engine.config, tuning)
            let recomputed = GradientBuffer(engine.config, tuning)
            try addGradient(of: sample, reference, records: .replayed, to: replayed)
            try addGradient(of: sample, reference, records: .recomputed, to: recomputed)
            let difference = GradientDifference(replayed, reference: recomputed)
            audits.append(
                SampleAudit(
                    request: sample.sequences[0].request, age: sample.version - oldest,
                    reusedTokens: sample.sequences.reduce(0) { $0 + $1.reusedTokens },
                    tokens: sample.rows, whole: difference.whole, layers: difference.layers))
        }
        return audits
    }
}

extension MicroBatch {
    /// Micro-batches of one sample each.
    fileprivate var samples: [MicroBatch] {
        var samples: [MicroBatch] = []
        var first = 0
        for (number, sequence) in sequences.enumerated() {
            if samples.last?.sequences[0].request != sequence.request {
                var sample = self
                sample.sequences = []
                samples.append(sample)
                first = number
            }
            var own = sequence
            if case .branch(let trunk) = sequence.part { own.part = .branch(of: trunk - first) }
            samples[samples.count - 1].sequences.append(own)
        }
        return samples
    }
}
