import Simulator

extension MicroBatch {
    /// Sequences with recorded spans that leave gaps, or cover everything, or nothing.
    static func random(_ stream: inout RandomStream, longest: Int = 80) -> MicroBatch {
        var slot: Int32 = 0
        let sequences = (0..<1 + stream.below(5)).map { request in
            let prompt = 1 + stream.below(longest)
            let response = 1 + stream.below(longest / 2)
            var spans: [RecordedSpan] = []
            var next = 0
            let density = stream.below(3)
            while density > 0, next < prompt {
                let end = next + 1 + stream.below(prompt - next)
                if density == 2 || stream.below(2) == 0 {
                    spans.append(
                        RecordedSpan(
                            chunk: ChunkID(slot: slot, generation: 0), tokens: next..<end, versions: 0...0))
                    slot += 1
                }
                next = end
            }
            let tokens = prompt + response - 1
            return TrainingSequencePlan(
                request: request, promptTokens: prompt, responseTokens: response,
                lossTokens: stream.below(2) == 0 ? 0..<tokens : prompt - 1..<tokens, recorded: spans)
        }
        return MicroBatch(id: 0, version: 0, sequences: sequences, stepLossTokens: 1)
    }
}
