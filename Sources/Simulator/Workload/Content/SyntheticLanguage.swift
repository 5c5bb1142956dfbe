internal import Glibc

/// A made-up language: token sequences that a model can learn to predict, and a known limit to how well.
///
/// A text has one of a few topics. Within it, the next token is one of the previous token's few successors in that
/// topic, with Zipf weights by rank, or with the chance `noise` any token at all, with Zipf weights by id. The
/// successors are themselves drawn by the Zipf weights, so that low ids are frequent, as in a real vocabulary.
///
/// Successors are not stored but hashed from (seed, topic, token, rank): memory is eight bytes a token of the
/// vocabulary, whatever the number of topics.
public struct SyntheticLanguage: Sendable {
    public struct Parameters: Sendable, Equatable {
        public var vocabulary: Int
        public var topics = 4
        /// Successors of each token in each topic; some may coincide.
        public var successors = 8
        /// The successor of rank r (from 0) has weight (r + 1)^-`successorExponent`.
        public var successorExponent = 1.5
        /// Token t has weight (t + 1)^-`wordExponent` where no context counts.
        public var wordExponent = 1.0
        /// The chance that a token ignores its context.
        public var noise = 0.1
        /// Which language of this kind. Not the seed of a text: two texts of one language may share what they teach.
        public var seed: UInt64 = 0
        /// The share of the contexts (topic, token) whose successors are drawn anew by `shiftSeed`: two languages that
        /// differ in this only agree in all other contexts.
        public var shift = 0.0
        public var shiftSeed: UInt64 = 1

        public init(vocabulary: Int) { self.vocabulary = vocabulary }
    }

    public let parameters: Parameters
    /// Zipf's distribution over the vocabulary.
    private let words: AliasTable
    /// The sum of the weights (t + 1)^-wordExponent.
    private let wordWeightSum: Double
    private let rankWeights: [Double]
    /// The chance of a rank up to r.
    private let rankBounds: [Double]

    /// - Precondition: 2 <= vocabulary < 2^31; at least one topic and successor; noise and shift within 0...1.
    public init(_ parameters: Parameters) {
        precondition(2..<Int(Int32.max) ~= parameters.vocabulary, "a language needs 2 to 2^31 - 2 tokens")
        precondition(parameters.topics > 0 && parameters.successors > 0, "a language needs a topic and a successor")
        precondition(0...1 ~= parameters.noise && 0...1 ~= parameters.shift, "noise and shift are shares")
        self.parameters = parameters
        let weights = Self.zipf(parameters.vocabulary, exponent: parameters.wordExponent)
        words = AliasTable(weights: weights)
        wordWeightSum = weights.reduce(0, +)
        let ranks = Self.zipf(parameters.successors, exponent: parameters.successorExponent)
        let sum = ranks.reduce(0, +)
        rankWeights = ranks.map { $0 / sum }
        var bound = 0.0
        rankBounds = rankWeights.map { weight in
            bound += weight
            return bound
        }
    }

    private static func zipf(_ count: Int, exponent: Double) -> [Double] {
        (0..<count).map { pow(Double($0 + 1), -exponent) }
    }

    /// A topic for a new text.
    public func topic(using stream: inout RandomStream) -> Int { stream.below(parameters.topics) }

    /// Appends `count` tokens to `tokens`, which they continue. Of an empty text, or after an id that is not in the
    /// vocabulary, the first token is drawn without context.
    public func extend(_ tokens: inout [Int32], by count: Int, topic: Int, using stream: inout RandomStream) {
        tokens.reserveCapacity(tokens.count + count)
        var previous = tokens.last.flatMap { 0..<parameters.vocabulary ~= Int($0) ? $0 : nil }
        for _ in 0..<count {
            let token = next(after: previous, topic: topic, using: &stream)
            tokens.append(token)
            previous = token
        }
    }

    private func next(after previous: Int32?, topic: Int, using stream: inout RandomStream) -> Int32 {
        guard let previous, stream.uniform() >= parameters.noise else { return words.index(stream.next()) }
        let choice = stream.uniform()
        var rank = 0
        while rank < rankBounds.count - 1, choice >= rankBounds[rank] { rank += 1 }
        return successor(rank, of: previous, topic: topic)
    }

    private func successor(_ rank: Int, of token: Int32, topic: Int) -> Int32 {
        let context = mixed(UInt64(topic) << 32 | UInt64(UInt32(bitPattern: token)))
        let isShifted = Double(mixed(context ^ 0x5317) >> 11) * 0x1p-53 < parameters.shift
        let seed = isShifted ? mixed(parameters.shiftSeed) : parameters.seed
        return words.index(mixed(context ^ mixed(seed &+ UInt64(rank) &* 0x9e37_79b9_7f4a_7c15)))
    }
}

// MARK: - What can be known of it

extension SyntheticLanguage {
    /// The chance of `token` after `previous` within `topic`.
    public func probability(of token: Int32, after previous: Int32, topic: Int) -> Double {
        var followed = 0.0
        for (rank, weight) in rankWeights.enumerated() where successor(rank, of: previous, topic: topic) == token {
            followed += weight
        }
        return (1 - parameters.noise) * followed + parameters.noise * wordProbability(token)
    }

    /// The entropy of a token given its predecessor and topic, in nats: the mean cross-entropy of a perfect model.
    ///
    /// The entropy of each context is exact; their mean is over the contexts of a text of `samples` tokens, equally
    /// many for each topic. A model has to find out the topic first, so that it comes near this value only in texts
    /// of more than a few tokens.
    public func entropyRate(samples: Int = 1 << 16) -> Double {
        let noiseEntropy = wordNoiseEntropy()
        var stream = RandomStream(seed: parameters.seed, name: "entropy rate")
        var sum = 0.0
        var count = 0
        for topic in 0..<parameters.topics {
            var text: [Int32] = []
            extend(&text, by: max(1, samples / parameters.topics), topic: topic, using: &stream)
            for token in text { sum += entropy(after: token, topic: topic, noiseEntropy: noiseEntropy) }
            count += text.count
        }
        return sum / Double(count)
    }

    private func wordProbability(_ token: Int32) -> Double {
        pow(Double(token) + 1, -parameters.wordExponent) / wordWeightSum
    }

    /// The sum of -x log x over the chances x of every token by noise alone.
    private func wordNoiseEntropy() -> Double {
        (0..<Int32(parameters.vocabulary)).reduce(0) { $0 + surprise(parameters.noise * wordProbability($1)) }
    }

    /// The entropy of one context: that of noise alone, corrected at the successors.
    private func entropy(after token: Int32, topic: Int, noiseEntropy: Double) -> Double {
        var entropy = noiseEntropy
        let successors = rankWeights.indices.map { successor($0, of: token, topic: topic) }
        for (rank, next) in successors.enumerated() where successors.firstIndex(of: next) == rank {
            entropy += surprise(probability(of: next, after: token, topic: topic))
            entropy -= surprise(parameters.noise * wordProbability(next))
        }
        return entropy
    }

    private func surprise(_ chance: Double) -> Double { chance > 0 ? -chance * log(chance) : 0 }
}

/// SplitMix64's finalizer: a bijection whose output bits all depend on all input bits.
private func mixed(_ value: UInt64) -> UInt64 {
    var z = value &+ 0x9e37_79b9_7f4a_7c15
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
}
