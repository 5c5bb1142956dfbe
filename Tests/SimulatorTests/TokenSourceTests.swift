import Foundation
import Simulator
import Testing

@Suite struct TokenSourceTests {
    /// Conversations with counts only; `given` says which of a turn's ids the trace has.
    private static func trace(
        _ stream: inout RandomStream, given: (_ index: Int) -> (prompt: Bool, output: Bool) = { _ in (false, false) }
    ) -> Trace {
        var requests: [Request] = []
        for conversation in 0..<8 {
            var previous: Int?
            var text: [Int32] = []
            for turn in 0...stream.below(4) {
                let prompt = text.count + 1 + stream.below(20)
                let output = 1 + stream.below(15)
                let has = given(requests.count)
                // Ids outside of the vocabulary tell what the trace gave from what was made up.
                let start = Int32(10_000 + requests.count * 100)
                let ids = text + (text.count..<prompt).map { start + Int32($0) }
                let answer = (0..<output).map { start + 50 + Int32($0) }
                requests.append(
                    Request(
                        id: "r\(requests.count)", arrival: .zero, promptTokens: prompt, outputTokens: output,
                        prompt: has.prompt ? ids : nil, output: has.output ? answer : nil,
                        conversation: "c\(conversation)", turn: turn, previousTurn: previous))
                text = ids + answer
                previous = requests.count - 1
            }
        }
        return Trace(source: "made", requests: requests)
    }

    @Test(arguments: 0..<10) func turnsContinueTheirPredecessors(seed: Int) {
        var stream = RandomStream(seed: UInt64(seed), name: "tokens")
        let trace = Self.trace(&stream)
        let source = TokenSource(trace: trace, vocabulary: 200, seed: 4)
        var answers: Set<[Int32]> = []
        for (index, request) in trace.requests.enumerated() {
            let prompt = source.prompt(of: index)
            #expect(prompt.count == request.promptTokens && source.output(of: index).count == request.outputTokens)
            #expect((prompt + source.output(of: index)).allSatisfy { (0..<200).contains($0) })
            if let previous = request.previousTurn {
                #expect(prompt.starts(with: source.prompt(of: previous) + source.output(of: previous)))
            }
            if request.outputTokens > 7 { answers.insert(source.output(of: index)) }
        }
        #expect(answers.count == trace.requests.count { $0.outputTokens > 7 }, "two answers are the same")
    }

    /// What is asked first, and what else is in the trace, changes nothing.
    @Test(arguments: 0..<10) func dependsOnSeedAndConversationOnly(seed: Int) {
        var stream = RandomStream(seed: UInt64(seed), name: "tokens")
        let trace = Self.trace(&stream)
        let forward = TokenSource(trace: trace, vocabulary: 200, seed: 4)
        let backward = TokenSource(trace: trace, vocabulary: 200, seed: 4)
        let indices = Array(trace.requests.indices)
        let a = indices.map { (forward.prompt(of: $0), forward.output(of: $0)) }
        let b = indices.reversed().map { index in
            let output = backward.output(of: index)
            return (backward.prompt(of: index), output)
        }
        #expect(a.map(\.0) == b.reversed().map(\.0) && a.map(\.1) == b.reversed().map(\.1))
        let other = TokenSource(trace: trace, vocabulary: 200, seed: 5)
        #expect(indices.contains { other.prompt(of: $0) != a[$0].0 })

        // The first conversation alone.
        let count = trace.requests.prefix { $0.conversation == "c0" }.count
        let alone = TokenSource(
            trace: Trace(source: "part", requests: Array(trace.requests.prefix(count))), vocabulary: 200, seed: 4)
        for index in 0..<count { #expect(alone.prompt(of: index) == a[index].0) }
    }

    /// Where the trace gives ids they are taken, and what follows without ids continues them.
    @Test(arguments: 0..<30) func mixedTracesAreContinued(seed: Int) {
        var stream = RandomStream(seed: UInt64(seed), name: "mixed")
        let kinds = (0..<64).map { _ in (prompt: stream.below(3) == 0, output: stream.below(3) == 0) }
        let trace = Self.trace(&stream) { kinds[$0] }
        let source = TokenSource(trace: trace, vocabulary: 20_000, seed: 4)
        for (index, request) in trace.requests.enumerated() {
            let prompt = source.prompt(of: index)
            #expect(prompt.count == request.promptTokens && source.output(of: index).count == request.outputTokens)
            if let given = request.prompt { #expect(prompt == given) }
            if let given = request.output { #expect(source.output(of: index) == given) }
            if request.prompt == nil, let previous = request.previousTurn {
                #expect(prompt.starts(with: source.prompt(of: previous) + source.output(of: previous)))
            }
        }
    }
}

@Suite struct SyntheticLanguageTests {
    /// Counts of pairs of neighbours in long texts of one topic each.
    private static func pairs(_ language: SyntheticLanguage, tokens: Int) -> [[Int: [Int32: Int]]] {
        (0..<language.topics).map { topic in
            var stream = RandomStream(seed: 77, name: "text/\(topic)")
            var text: [Int32] = []
            language.extend(&text, by: tokens, topic: topic, &stream)
            var counts: [Int: [Int32: Int]] = [:]
            for (a, b) in zip(text, text.dropFirst()) { counts[Int(a), default: [:]][b, default: 0] += 1 }
            return counts
        }
    }

    private static func entropy(_ counts: some Collection<Int>) -> Double {
        let total = Double(counts.reduce(0, +))
        return counts.reduce(0) { $0 - Double($1) / total * log(Double($1) / total) }
    }

    /// What is left to guess once topic and last token are known is `entropyRate`, well below a single token's entropy.
    @Test(arguments: [(0.1, 4), (0.4, 2), (0.02, 1)], [UInt64(0), 5]) func hasItsEntropyRate(
        shape: (noise: Double, branching: Int), seed: UInt64
    ) {
        let language = SyntheticLanguage(
            vocabulary: 48, seed: seed, topics: 3, branching: shape.branching, noise: shape.noise)
        let topics = Self.pairs(language, tokens: 200_000)
        var conditional = 0.0
        var singles: [Int32: Int] = [:]
        for topic in topics {
            for successors in topic.values {
                let total = successors.values.reduce(0, +)
                conditional += Double(total) / 599_997 * Self.entropy(successors.values)
                for (token, count) in successors { singles[token, default: 0] += count }
            }
        }
        let rate = language.entropyRate(samples: 6000)
        let unigram = Self.entropy(singles.values)
        // Counting underestimates by some (successors - 1) / (2 draws) per context.
        #expect(abs(conditional / rate - 1) < 0.05, "\(conditional) against \(rate)")
        #expect(conditional < 0.8 * unigram, "\(conditional) of \(unigram): nothing to learn")
    }

    /// Of the transitions, a share of 1 - shift is common to both languages.
    @Test(arguments: [0.0, 0.3, 0.7, 1]) func variantsShareWhatIsNotShifted(shift: Double) {
        let vocabulary = 1500
        let base = SyntheticLanguage(vocabulary: vocabulary, seed: 9, branching: 1, noise: 0)
        let other = SyntheticLanguage(vocabulary: vocabulary, seed: 9, branching: 1, noise: 0, variant: 2, shift: shift)
        var shared = 0
        var chance = 0
        for token in 0..<vocabulary {
            var stream = RandomStream(seed: 0, name: "draws")
            var same = true
            for topic in 0..<base.topics {
                let a = base.next(after: Int32(token), topic: topic, &stream)
                let b = other.next(after: Int32(token), topic: topic, &stream)
                same = same && a == b
                let elsewhere = base.next(after: Int32((token + 1) % vocabulary), topic: topic, &stream)
                chance += a == elsewhere ? 1 : 0
            }
            shared += same ? 1 : 0
        }
        let share = Double(shared) / Double(vocabulary)
        #expect(abs(share - (1 - shift)) <= 4 * (shift * (1 - shift) / Double(vocabulary)).squareRoot() + 0.002)
        #expect(chance < vocabulary / 2, "transitions hardly depend on the token")
    }

    @Test func firstTokensAreZipfian() {
        let language = SyntheticLanguage(vocabulary: 1000, seed: 1)
        var stream = RandomStream(seed: 2, name: "first")
        var counts = [Int](repeating: 0, count: 1000)
        for _ in 0..<100_000 { counts[Int(language.first(&stream))] += 1 }
        for rank in [0, 1, 5, 30] {
            let expected = 1e5 * log(Double(rank + 2) / Double(rank + 1)) / log(1001)
            #expect(abs(Double(counts[rank]) - expected) < 5 * expected.squareRoot())
        }
    }
}
