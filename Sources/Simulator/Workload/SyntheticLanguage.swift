internal import Foundation

/// A distribution over token sequences that a model can learn: not uniform noise, and cheap to draw from.
///
/// A text has one of a few topics. Within a topic the next token is, with probability 1 - `noise`, one of `branching`
/// successors of the last token, the j-th with a weight of 1 / (j + 1); otherwise it is drawn from a Zipf distribution
/// over the vocabulary. Successors come from hashing, so no table is kept whatever the vocabulary. Two languages with
/// different `variant` share all but a fraction `shift` of their transitions.
public struct SyntheticLanguage: Sendable {
    public let vocabulary: Int
    public let topics: Int
    public let branching: Int
    public let noise: Double
    /// Which of the languages that `seed` makes; 0 is the unshifted one.
    public let variant: UInt64
    /// Share of tokens whose successors differ from those of variant 0.
    public let shift: Double
    private let seed: UInt64
    private let logVocabulary: Double
    private let cumulative: [Double]

    public init(
        vocabulary: Int, seed: UInt64, topics: Int = 4, branching: Int = 4, noise: Double = 0.1, variant: UInt64 = 0,
        shift: Double = 0.5
    ) {
        precondition(vocabulary >= 2 && topics >= 1 && branching >= 1 && (0...1).contains(noise))
        self.vocabulary = vocabulary
        self.topics = topics
        self.branching = branching
        self.noise = noise
        self.variant = variant
        self.shift = shift
        self.seed = seed
        logVocabulary = log(Double(vocabulary + 1))
        let weights = (0..<branching).map { 1 / Double($0 + 1) }
        let total = weights.reduce(0, +)
        var sum = 0.0
        cumulative = weights.map { weight in
            sum += weight / total
            return sum
        }
    }

    /// A topic for a new text.
    public func topic(_ stream: inout RandomStream) -> Int { stream.below(topics) }

    /// The first token of a text.
    public func first(_ stream: inout RandomStream) -> Int32 { Int32(zipf(stream.uniform())) }

    /// The token after `last`.
    public func next(after last: Int32, topic: Int, _ stream: inout RandomStream) -> Int32 {
        guard stream.uniform() >= noise else { return Int32(zipf(stream.uniform())) }
        let draw = stream.uniform()
        let branch = cumulative.firstIndex { draw < $0 } ?? branching - 1
        return successor(of: last, topic: topic, branch: branch)
    }

    /// Continues `tokens` by `count` tokens.
    public func extend(_ tokens: inout [Int32], by count: Int, topic: Int, _ stream: inout RandomStream) {
        tokens.reserveCapacity(tokens.count + count)
        for _ in 0..<count {
            tokens.append(tokens.last.map { next(after: $0, topic: topic, &stream) } ?? first(&stream))
        }
    }

    /// Log-uniform over ranks: rank r has a probability of ln((r + 2) / (r + 1)) / ln(V + 1), close to Zipf's law.
    private func zipf(_ uniform: Double) -> Int {
        min(vocabulary - 1, Int(exp(uniform * logVocabulary)) - 1)
    }

    private func zipfProbability(of rank: Int) -> Double {
        log(Double(rank + 2) / Double(rank + 1)) / logVocabulary
    }

    private func successor(of token: Int32, topic: Int, branch: Int) -> Int32 {
        var stream = RandomStream(seed: seed, name: "transition/\(topic)/\(token)/\(branch)")
        if variant > 0 {
            var choice = RandomStream(seed: seed ^ variant, name: "shift/\(token)")
            if choice.uniform() < shift {
                stream = RandomStream(seed: seed, name: "variant/\(variant)/\(topic)/\(token)/\(branch)")
            }
        }
        return Int32(zipf(stream.uniform()))
    }

    /// Entropy of the next token, in nats, for a reader who knows the topic: the loss that no model can go below on
    /// average. Estimated over `samples` contexts of a text.
    public func entropyRate(samples: Int = 2000) -> Double {
        var stream = RandomStream(seed: seed, name: "entropy")
        let zipfEntropy = (0..<vocabulary).map(zipfProbability).map { p in -p * noise * log(p * noise) }.reduce(0, +)
        var total = 0.0
        for sample in 0..<samples {
            let topic = sample % topics
            var token = first(&stream)
            for _ in 0..<8 { token = next(after: token, topic: topic, &stream) }
            var likely: [Int32: Double] = [:]
            var lower = 0.0
            for (branch, upper) in cumulative.enumerated() {
                likely[successor(of: token, topic: topic, branch: branch), default: 0] += (1 - noise) * (upper - lower)
                lower = upper
            }
            var entropy = noise > 0 ? zipfEntropy : 0
            for (successor, probability) in likely.sorted(by: { $0.key < $1.key }) {
                let background = noise * zipfProbability(of: Int(successor))
                if background > 0 { entropy += background * log(background) }
                entropy -= (probability + background) * log(probability + background)
            }
            total += entropy
        }
        return total / Double(samples)
    }
}
