import Glibc
import Simulator
import Testing

@Suite struct SyntheticLanguageTests {
    private static func language(
        vocabulary: Int = 256, topics: Int = 1, change: (inout SyntheticLanguage.Parameters) -> Void = { _ in }
    ) -> SyntheticLanguage {
        var parameters = SyntheticLanguage.Parameters(vocabulary: vocabulary)
        parameters.topics = topics
        change(&parameters)
        return SyntheticLanguage(parameters)
    }

    private static func text(_ language: SyntheticLanguage, _ count: Int, topic: Int = 0, seed: UInt64 = 1) -> [Int32] {
        var stream = RandomStream(seed: seed, name: "text")
        var tokens: [Int32] = []
        language.extend(&tokens, by: count, topic: topic, using: &stream)
        return tokens
    }

    private static func entropy(_ counts: some Sequence<Int>) -> Double {
        let total = Double(counts.reduce(0, +))
        return counts.reduce(0) { $0 - Double($1) / total * log(Double($1) / total) }
    }

    @Test("A text's conditional entropy is near the stated rate and far below that of single tokens")
    func learnable() {
        let language = Self.language()
        let text = Self.text(language, 2_000_000)
        var single: [Int32: Int] = [:]
        var pairs: [Int64: Int] = [:]
        for token in text.dropLast() { single[token, default: 0] += 1 }
        for (a, b) in zip(text, text.dropFirst()) { pairs[Int64(a) << 32 | Int64(b), default: 0] += 1 }
        let unigram = Self.entropy(single.values)
        let conditional = Self.entropy(pairs.values) - unigram
        let rate = language.entropyRate()
        #expect(abs(conditional - rate) < 0.03 * rate, "\(conditional) against \(rate)")
        #expect(conditional < 0.65 * unigram, "\(conditional) against \(unigram)")
    }

    @Test(
        "The stated probabilities sum to one and their surprise is the stated rate", arguments: [(256, 1), (2048, 4)])
    func probabilities(vocabulary: Int, topics: Int) {
        let language = Self.language(vocabulary: vocabulary, topics: topics)
        for previous in [0, 1, 17, Int32(vocabulary - 1)] {
            let sum = (0..<Int32(vocabulary)).reduce(0.0) {
                $0 + language.probability(of: $1, after: previous, topic: topics - 1)
            }
            #expect(abs(sum - 1) < 1e-9)
        }
        var surprise = 0.0
        let length = 50_000
        for topic in 0..<topics {
            let text = Self.text(language, length + 1, topic: topic)
            for (a, b) in zip(text, text.dropFirst()) {
                surprise -= log(language.probability(of: b, after: a, topic: topic))
            }
        }
        let rate = language.entropyRate()
        #expect(abs(surprise / Double(length * topics) - rate) < 0.02 * rate)
    }

    @Test func aShiftChangesItsShareOfTheContexts() {
        let base = Self.language(vocabulary: 2048)
        let shifted = Self.language(vocabulary: 2048) { $0.shift = 0.3 }
        let other = Self.language(vocabulary: 2048) { $0.seed = 9 }
        func differing(_ language: SyntheticLanguage) -> Double {
            let changed = (0..<2048 as Range<Int32>).filter { context in
                (0..<2048 as Range<Int32>).contains {
                    base.probability(of: $0, after: context, topic: 0)
                        != language.probability(of: $0, after: context, topic: 0)
                }
            }
            return Double(changed.count) / 2048
        }
        #expect(abs(differing(shifted) - 0.3) < 0.04)
        #expect(differing(other) > 0.99)
        #expect(Self.text(base, 100) != Self.text(other, 100))
    }

    @Test func textsAreDeterministicAndTopicsDiffer() {
        let language = Self.language(vocabulary: 49152, topics: 4)
        let text = Self.text(language, 1000)
        #expect(text == Self.text(Self.language(vocabulary: 49152, topics: 4), 1000))
        #expect(text != Self.text(language, 1000, seed: 2))
        #expect(text != Self.text(language, 1000, topic: 1))
        #expect(text.allSatisfy { 0..<49152 ~= $0 })
        // Zipf's law: the commonest ids come often, without taking all.
        let common = text.filter { $0 < 100 }.count
        #expect(200..<900 ~= common)
    }
}

@Suite struct TokenSourceTests {
    private static func counts(seed: UInt64 = 1) throws -> Trace {
        var options = TraceGeneratorOptions.sample
        options.requests = 200
        options.content = .counts
        options.seed = seed
        return try TraceGenerator(options).generate()
    }

    @Test("Prompts share what their prefixes name, and nothing else")
    func sharedPrefixes() {
        func request(_ id: String, _ count: Int, _ size: Int, _ blocks: [Int]) -> Request {
            Request(
                id: id, arrival: .zero, promptTokens: count, outputTokens: 4,
                prefix: PromptPrefix(blockTokens: size, blocks: blocks), conversation: id)
        }
        var later = Request(id: "l", arrival: .zero, promptTokens: 60, outputTokens: 1, conversation: "b", turn: 1)
        later.previousTurn = 1
        let trace = Trace(
            source: "t",
            requests: [
                request("a", 50, 16, [1, 2, 3]), request("b", 50, 16, [1, 2, 9]), request("c", 40, 16, [1, 2, 3]),
                request("d", 20, 8, [1, 1]), later,
            ])
        let source = TokenSource(trace: trace, vocabulary: 2048, seed: 5)
        let prompts = trace.requests.indices.map { source.prompt(of: $0) }
        #expect(prompts.map(\.count) == [50, 50, 40, 20, 60])
        func common(_ a: [Int32], _ b: [Int32]) -> Int { zip(a, b).prefix { $0 == $1 }.count }
        #expect(common(prompts[0], prompts[1]) == 32)
        #expect(common(prompts[0], prompts[2]) == 40, "a last block gives its first tokens")
        #expect(common(prompts[0], prompts[3]) == 8)
        #expect(prompts[3][..<8] == prompts[3][8..<16], "a name stands for tokens, not for a place")
        #expect(common(prompts[4], prompts[1]) == 50)
        let other = TokenSource(trace: trace, vocabulary: 2048, seed: 6)
        #expect(common(other.prompt(of: 0), prompts[0]) < 5)
    }

    private static func expectChained(_ trace: Trace, _ source: TokenSource) {
        for (index, request) in trace.requests.enumerated() {
            let prompt = source.prompt(of: index)
            #expect(prompt.count == request.promptTokens)
            #expect(source.output(of: index).count == request.outputTokens)
            if let previous = request.previousTurn {
                #expect(prompt.starts(with: source.prompt(of: previous) + source.output(of: previous)))
            }
        }
    }

    @Test func turnsBeginWithTheirHistory() throws {
        let trace = try Self.counts()
        #expect(trace.requests.contains { $0.turn >= 3 })
        Self.expectChained(trace, TokenSource(trace: trace, vocabulary: 2048, seed: 5))
    }

    @Test("Where only some turns have ids, the others agree with them", arguments: 0..<4 as Range<UInt64>)
    func partlyGiven(seed: UInt64) throws {
        var trace = try Self.counts(seed: seed)
        // Ids of another language, so that made-up ones could not agree by chance.
        let other = TokenSource(trace: trace, vocabulary: 2048, seed: 77)
        var random = RandomStream(seed: seed, name: "given")
        for index in trace.requests.indices {
            let choice = random.below(4)
            if choice == 1 || choice == 3 { trace.requests[index].prompt = other.prompt(of: index) }
            if choice == 2 || choice == 3 { trace.requests[index].output = other.output(of: index) }
        }
        // The reader accepts it: what is given is consistent.
        #expect(try readTrace(written(trace.requests)).requests == trace.requests)
        let source = TokenSource(trace: trace, vocabulary: 2048, seed: 5)
        Self.expectChained(trace, source)
        for (index, request) in trace.requests.enumerated() {
            if let prompt = request.prompt { #expect(source.prompt(of: index) == prompt) }
            if let output = request.output { #expect(source.output(of: index) == output) }
        }
    }

    @Test func idsDependOnTheirConversationAlone() throws {
        let trace = try Self.counts()
        let source = TokenSource(trace: trace, vocabulary: 2048, seed: 5)
        let conversation = try #require(trace.requests.first { $0.turn == 3 }?.conversation)
        let indices = trace.requests.indices.filter { trace.requests[$0].conversation == conversation }
        // The same conversation alone in a trace, asked backwards.
        var alone = Trace(source: "alone", requests: indices.map { trace.requests[$0] })
        for turn in alone.requests.indices { alone.requests[turn].previousTurn = turn == 0 ? nil : turn - 1 }
        let other = TokenSource(trace: alone, vocabulary: 2048, seed: 5)
        for turn in alone.requests.indices.reversed() {
            #expect(other.output(of: turn) == source.output(of: indices[turn]))
            #expect(other.prompt(of: turn) == source.prompt(of: indices[turn]))
        }
        #expect(TokenSource(trace: trace, vocabulary: 2048, seed: 6).prompt(of: 0) != source.prompt(of: 0))
    }

    @Test func generatedIDsAreThoseMadeUpFromCounts() throws {
        let trace = try TraceGenerator(.sample).generate()
        var counts = trace
        for index in counts.requests.indices {
            counts.requests[index].prompt = nil
            counts.requests[index].output = nil
        }
        let language = SyntheticLanguage(TraceGeneratorOptions.sample.language)
        let source = TokenSource(trace: counts, language: language, seed: TraceGeneratorOptions.sample.seed)
        for (index, request) in trace.requests.enumerated() {
            #expect(request.prompt == source.prompt(of: index))
            #expect(request.output == source.output(of: index))
        }
    }
}
