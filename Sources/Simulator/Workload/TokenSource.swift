/// Token ids of a trace's requests: those it gives, or synthesised ones where it gives only counts.
///
/// Synthesised ids depend on the seed and on the request's own conversation alone, whatever is asked first. The prompt
/// of turn k begins with the prompt and the answer of turn k - 1.
public struct TokenSource: Sendable {
    private let trace: Trace
    private let language: SyntheticLanguage
    private let seed: UInt64

    public init(trace: Trace, vocabulary: Int, seed: UInt64) {
        self.trace = trace
        self.seed = seed
        language = SyntheticLanguage(vocabulary: vocabulary, seed: seed)
    }

    public func prompt(of index: Int) -> [Int32] { tokens(of: index, upTo: .prompt) }

    public func output(of index: Int) -> [Int32] {
        if let output = trace.requests[index].output { return output }
        return Array(tokens(of: index, upTo: .output).dropFirst(trace.requests[index].promptTokens))
    }

    private enum Part {
        case prompt, output
    }

    /// Prompt, or prompt and answer, of a request: from the first turn on, each turn continues the one before.
    private func tokens(of index: Int, upTo part: Part) -> [Int32] {
        var turns = [index]
        while let previous = trace.requests[turns[turns.count - 1]].previousTurn { turns.append(previous) }
        let key = trace.requests[turns[turns.count - 1]].id
        var choice = RandomStream(seed: seed, name: "topic/" + key)
        let topic = language.topic(&choice)
        var text: [Int32] = []
        for (turn, current) in turns.reversed().enumerated() {
            let request = trace.requests[current]
            if let prompt = request.prompt {
                text = prompt
            } else {
                var stream = RandomStream(seed: seed, name: "prompt/\(turn)/" + key)
                language.extend(&text, by: request.promptTokens - text.count, topic: topic, &stream)
            }
            if current == index, part == .prompt { break }
            if let output = request.output {
                text += output
            } else {
                var stream = RandomStream(seed: seed, name: "output/\(turn)/" + key)
                language.extend(&text, by: request.outputTokens, topic: topic, &stream)
            }
        }
        return text
    }
}
