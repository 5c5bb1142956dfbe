extension Sample {
    /// The sequences that the sample is in a micro-batch, in order: each answer behind a prompt of its own, or the prompt
    /// but for its last token once and the answers, from that token on, as branches of it.
    ///
    /// - Parameters:
    ///   - usable: the records that may be used, ascending. Those of the prompt serve every answer; those of the served
    ///     answer that one alone.
    ///   - first: sequences of the micro-batch before these.
    package func sequences(
        _ usable: [RecordedSpan], after first: Int, _ kind: TrainingConfiguration.LossTokens
    ) -> [TrainingSequencePlan] {
        var sequences: [TrainingSequencePlan] = []
        if sharesPrompt {
            sequences.append(
                TrainingSequencePlan(
                    request: request, promptTokens: promptTokens, part: .prompt, lossTokens: 0..<0,
                    recorded: usable.clamped(to: 0..<promptTokens - 1)))
        }
        for (index, answer) in answers.enumerated() {
            let start = sharesPrompt ? promptTokens - 1 : 0
            let end = answer.number == 0 ? promptTokens + answer.tokens - 1 : promptTokens
            sequences.append(
                TrainingSequencePlan(
                    request: request, promptTokens: promptTokens,
                    part: sharesPrompt ? .branch(of: first) : .whole, responseTokens: answer.tokens,
                    answer: answer.number, weight: answer.weight, lossTokens: lossTokens(kind, of: index),
                    recorded: usable.clamped(to: start..<end)))
        }
        return sequences
    }
}

extension [RecordedSpan] {
    /// The parts of the spans within `positions`.
    fileprivate func clamped(to positions: Range<Int>) -> [RecordedSpan] {
        compactMap { span in
            let own = span.tokens.clamped(to: positions)
            return own.isEmpty ? nil : RecordedSpan(chunk: span.chunk, tokens: own, versions: span.versions)
        }
    }
}
