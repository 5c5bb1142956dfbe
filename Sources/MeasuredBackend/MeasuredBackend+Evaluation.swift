package import Engine
public import Simulator

extension MeasuredBackend {
    public func evaluate() throws -> HeldOutLoss? {
        guard !options.heldOut.base.isEmpty else { return nil }
        return HeldOutLoss(
            base: HeldOut.loss(of: current, on: options.heldOut.base, engine),
            shifted: HeldOut.loss(of: current, on: options.heldOut.shifted, engine))
    }
}

/// Losses on texts that nobody learns from.
package enum HeldOut {
    /// Rows that go through the model together.
    private static let batchRows = 2048

    /// Mean loss of a model over all tokens of texts but the first of each, in nats.
    package static func loss(of parameters: ModelParameters, on texts: [[Int32]], _ engine: EngineContext) -> Double {
        var sum = 0.0
        var count = 0
        var rest = texts[...]
        while let first = rest.first {
            let batch = rest.prefix(max(1, batchRows / max(1, first.count - 1)))
            rest = rest.dropFirst(batch.count)
            let sequences = batch.map { text in
                TrainingSequence(
                    tokens: Array(text.dropLast()), targets: Array(text.dropFirst()),
                    weights: [Float](repeating: 1, count: text.count - 1))
            }
            let pass = TrainingPass(
                scoring: engine.auditWorkspace(rows: sequences.reduce(0) { $0 + $1.tokens.count }),
                parameters: parameters, sequences: sequences)
            pass.forwardWhole()
            var scores = [Double](repeating: 0, count: sequences.count)
            pass.score(rows: 0..<pass.packing.lossRows.count, into: &scores)
            sum -= scores.reduce(0, +)
            count += pass.packing.lossRows.count
        }
        return sum / Double(max(1, count))
    }
}
