import Engine

extension RecordedSequence {
    /// Serves several prompts together: batch after batch, one chunk of every unfinished prompt.
    static func together(
        _ prompts: [[Int32]], chunk: Int, transformer: Transformer, parameters: ModelParameters
    ) -> [RecordedSequence] {
        var sequences = prompts.map { RecordedSequence(transformer.config, capacity: $0.count) }
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
