import Engine

extension RecordedSequence {
    /// Serves several prompts together: batch after batch, one chunk of every unfinished prompt.
    static func together(
        _ prompts: [[Int32]], chunk: Int, transformer: Transformer, parameters: ModelParameters,
        plan: PassPlan = PassPlan(), lossStarts: [Int]? = nil
    ) -> [RecordedSequence] {
        var sequences = prompts.enumerated().map {
            RecordedSequence(
                transformer.config, capacity: $1.count, plan: plan, lossStart: lossStarts?[$0] ?? 0)
        }
        var start = 0
        while prompts.contains(where: { $0.count > start }) {
            var batch: [ServingSlice] = []
            for (index, prompt) in prompts.enumerated() where prompt.count > start {
                batch.append(sequences[index].slice(prompt, start..<min(start + chunk, prompt.count)))
            }
            _ = transformer.forward(batch, parameters)
            start += chunk
        }
        return sequences
    }
}
