internal import Glibc

/// Direct preference optimisation (Rafailov et al., arXiv 2305.18290): the mean over pairs of
/// -log sigmoid(beta ((c - r) - (c' - r'))), with c and r the log-probabilities of the chosen and of the rejected response
/// and c', r' those of a reference model.
///
/// A pass over the reference, forward only, leaves its scores. The trained model's pass runs forward and scores; the
/// factors that `evaluate` returns then turn the gradient of its weighted log-probabilities into that of this loss.
public struct PreferenceLoss: Sendable {
    /// Two sequences of a micro-batch.
    public struct Pair: Sendable, Hashable {
        public var chosen: Int
        public var rejected: Int

        public init(chosen: Int, rejected: Int) {
            self.chosen = chosen
            self.rejected = rejected
        }
    }

    public var beta: Double
    public var pairs: [Pair]
    /// Pairs over all of the step's micro-batches, which the mean is over.
    public var stepPairs: Int
    /// The reference's log-probability of each sequence.
    public var reference: [Double]

    public init(beta: Double, pairs: [Pair], stepPairs: Int? = nil, reference: [Double]) {
        precondition(beta > 0, "beta must be positive")
        self.beta = beta
        self.pairs = pairs
        self.stepPairs = stepPairs ?? pairs.count
        self.reference = reference
        precondition(self.stepPairs >= pairs.count, "a step has at least this micro-batch's pairs")
    }

    /// The loss at the trained model's log-probabilities of the sequences, in nats, and the negative of its derivative by
    /// each of them: what `TrainingPass.scaleLoss` takes.
    public func evaluate(_ scores: [Double]) -> (loss: Double, factors: [Float]) {
        precondition(scores.count == reference.count, "a score of each sequence")
        var loss = 0.0
        var factors = [Double](repeating: 0, count: scores.count)
        for pair in pairs {
            let margin =
                beta
                * (scores[pair.chosen] - scores[pair.rejected] - reference[pair.chosen] + reference[pair.rejected])
            // -log sigmoid(m) = log(1 + e^-m), and its derivative by m is -sigmoid(-m) = -1 / (1 + e^m).
            loss += (max(-margin, 0) + log1p(exp(-abs(margin)))) / Double(stepPairs)
            let slope = beta / (1 + exp(margin)) / Double(stepPairs)
            factors[pair.chosen] += slope
            factors[pair.rejected] -= slope
        }
        return (loss, factors.map { Float($0) })
    }
}
