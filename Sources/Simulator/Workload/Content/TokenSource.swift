/// The token ids of every request: those that the trace gives, and made-up ones where it gives counts only.
///
/// Made-up ids depend on the seed and on the conversation (or, outside of any, the request's id), never on other
/// requests or on the order of asking. They are made when asked for and not kept: a run that works with counts
/// only pays nothing. Within a conversation every prompt begins with the previous turn's prompt and answer; ids that
/// a later turn's prompt reveals about earlier turns are theirs. Blocks of a `PromptPrefix` have ids that depend on the
/// seed and their name alone, so that prompts share what their prefixes do.
public struct TokenSource: Sendable {
    private let requests: [Request]
    private let language: SyntheticLanguage
    private let seed: UInt64
    /// For a request that lacks ids of its own: the next turn of its conversation whose prompt tells them.
    private let revealed: [Int: Int]

    /// - Parameters:
    ///   - language: what made-up text is drawn from.
    ///   - seed: of the made-up texts, not of the language.
    public init(trace: Trace, language: SyntheticLanguage, seed: UInt64) {
        requests = trace.requests
        self.language = language
        self.seed = seed
        var revealed: [Int: Int] = [:]
        for (index, request) in requests.enumerated().reversed() {
            guard let previous = request.previousTurn else { continue }
            guard requests[previous].prompt == nil || requests[previous].output == nil else { continue }
            revealed[previous] = request.prompt == nil ? revealed[index] : index
        }
        self.revealed = revealed
    }

    /// Made-up text comes from the default language of this vocabulary.
    public init(trace: Trace, vocabulary: Int, seed: UInt64) {
        self.init(trace: trace, language: SyntheticLanguage(.init(vocabulary: vocabulary)), seed: seed)
    }

    /// The prompt of the request at `index` in the trace, history included; as long as its `promptTokens`.
    public func prompt(of index: Int) -> [Int32] {
        // Back to the last turn whose prompt is known, then forward again, turn by turn.
        var unknown: [Int] = []
        var known: [Int32] = []
        var turn = Optional(index)
        while let current = turn {
            if let prompt = knownPrompt(of: current) {
                known = Array(prompt)
                break
            }
            unknown.append(current)
            turn = requests[current].previousTurn
        }
        if unknown.isEmpty { return known }
        var tokens = known
        if let turn { tokens += output(of: turn, after: known) }
        while let current = unknown.popLast() {
            if let prefix = requests[current].prefix {
                appendBlocks(of: prefix, upTo: requests[current].promptTokens, to: &tokens)
            }
            extend(&tokens, to: requests[current].promptTokens, of: current, part: "prompt")
            if !unknown.isEmpty { tokens += output(of: current, after: tokens) }
        }
        return tokens
    }

    /// The answer to the request at `index` in the trace; as long as its `outputTokens`.
    public func output(of index: Int) -> [Int32] {
        if let output = knownOutput(of: index) { return Array(output) }
        return output(of: index, after: prompt(of: index))
    }

    private func knownPrompt(of index: Int) -> ArraySlice<Int32>? {
        if let prompt = requests[index].prompt { return prompt[...] }
        return revealed[index].flatMap { requests[$0].prompt?.prefix(requests[index].promptTokens) }
    }

    private func knownOutput(of index: Int) -> ArraySlice<Int32>? {
        let request = requests[index]
        if let output = request.output { return output[...] }
        return revealed[index].flatMap {
            requests[$0].prompt?.dropFirst(request.promptTokens).prefix(request.outputTokens)
        }
    }

    private func output(of index: Int, after prompt: [Int32]) -> [Int32] {
        if let output = knownOutput(of: index) { return Array(output) }
        var text = Array(prompt.suffix(1))
        let context = text.count
        extend(&text, to: context + requests[index].outputTokens, of: index, part: "output")
        return Array(text[context...])
    }

    /// Each block is a text of its own: what stands before it does not count.
    private func appendBlocks(of prefix: PromptPrefix, upTo length: Int, to tokens: inout [Int32]) {
        for name in prefix.blocks where tokens.count < length {
            var stream = RandomStream(seed: seed, name: "prefix block", member: name)
            var text: [Int32] = []
            let topic = language.topic(using: &stream)
            language.extend(
                &text, by: min(prefix.blockTokens, length - tokens.count), topic: topic, using: &stream)
            tokens += text
        }
    }

    /// Continues a text to the given length, in the topic of the request's conversation.
    private func extend(_ tokens: inout [Int32], to length: Int, of index: Int, part: String) {
        let request = requests[index]
        let owner = request.conversation.map { "conversation/\($0)" } ?? "request/\(request.id)"
        var topics = RandomStream(seed: seed, name: "topic/\(owner)")
        var stream = RandomStream(seed: seed, name: "\(part)/\(request.turn)/\(owner)")
        language.extend(&tokens, by: length - tokens.count, topic: language.topic(using: &topics), using: &stream)
    }
}
