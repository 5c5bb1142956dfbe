internal import Glibc

/// How long new user texts and answers are, before `TraceGeneratorOptions.scale`.
public enum LengthModel: Sendable, Equatable {
    /// Both drawn independently of each other.
    case logNormal(user: LogNormalLength, answer: LogNormalLength)
    /// By tables of quantiles, whose draws depend on each other.
    case fitted(FittedLengths)
    /// Pairs as they occurred, each as likely as the others.
    case empirical([LengthPair])

    /// In ShareGPT's proportions: texts of 161 tokens on average as in the first pairs of vLLM's benchmark, and
    /// answers with the percentiles of the 8k multi-turn file (p50 415, p90 834, p99 near 1000 by its cut).
    /// The spread of the user's texts is an assumption; prompts get theirs mostly from the history they carry.
    public static let shareGPT = LengthModel.logNormal(
        user: LogNormalLength(median: 88, sigma: 1.1, cap: 4096),
        answer: LogNormalLength(median: 415, sigma: 0.55, cap: 1024))

    /// Draws the next turn's lengths, each at least one token, or takes those of the scores given. Every call takes the
    /// same amount of randomness.
    func draw(
        isFirst: Bool, traits: ConversationTraits, scores: StratifiedScores.Member? = nil, userFactor: Double,
        answerFactor: Double, using stream: inout RandomStream
    ) -> LengthPair {
        let lengths: (user: Double, answer: Double) =
            switch self {
            case .logNormal(let user, let answer):
                (user.draw(scores?.user, using: &stream), answer.draw(scores?.answer, using: &stream))
            case .fitted(let fit): fit.draw(isFirst: isFirst, traits: traits, scores: scores, using: &stream)
            case .empirical(let pairs):
                {
                    let pair = pairs[stream.below(pairs.count)]
                    return (Double(pair.user), Double(pair.answer))
                }()
            }
        return LengthPair(
            user: Self.whole(lengths.user * userFactor), answer: Self.whole(lengths.answer * answerFactor))
    }

    private static func whole(_ length: Double) -> Int {
        max(1, Int(min(length.rounded(), Double(TraceLimits.maxCount))))
    }
}

/// The lengths of a user's text and of the answer in tokens.
public struct LengthPair: Sendable, Equatable {
    public var user: Int
    public var answer: Int

    public init(user: Int, answer: Int) { (self.user, self.answer) = (user, answer) }
}

/// What a conversation's turns have in common, as standard normal scores: talkative users stay so.
struct ConversationTraits {
    var user = 0.0
    var answer = 0.0
}

/// exp(N(log median, sigma^2)), cut at `cap`.
public struct LogNormalLength: Sendable, Equatable {
    public let median: Double
    public let sigma: Double
    public let cap: Double

    /// - Precondition: all finite, `median` and `cap` above 0, `sigma` not below.
    public init(median: Double, sigma: Double, cap: Double) {
        precondition(median > 0 && median.isFinite, "a median length lies above 0")
        precondition(sigma >= 0 && sigma.isFinite, "a spread is 0 or more")
        precondition(cap > 0 && cap.isFinite, "a longest length lies above 0")
        self.median = median
        self.sigma = sigma
        self.cap = cap
    }

    fileprivate func draw(_ score: Double?, using stream: inout RandomStream) -> Double {
        let drawn = stream.normal()
        return min(median * exp(sigma * (score ?? drawn)), cap)
    }
}

/// A distribution by its quantiles, linear between them.
public struct QuantileTable: Sendable, Equatable {
    /// The levels, denser at the ends, where lengths have their tails.
    public static let levels = [
        0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8,
        0.85, 0.9, 0.925, 0.95, 0.965, 0.98, 0.99, 0.995, 0.998, 1,
    ]

    /// One for each level, never falling.
    public let values: [Double]

    /// - Precondition: as many values as levels, none below the one before.
    public init(_ values: [Double]) {
        precondition(values.count == Self.levels.count, "a value for each level")
        precondition(zip(values, values.dropFirst()).allSatisfy { $0 <= $1 }, "quantiles never fall")
        self.values = values
    }

    public func quantile(_ level: Double) -> Double {
        let next = Self.levels.firstIndex { $0 > level } ?? Self.levels.count - 1
        let (low, high) = (Self.levels[next - 1], Self.levels[next])
        return values[next - 1] + (level - low) / (high - low) * (values[next] - values[next - 1])
    }

    /// The share of the distribution up to `value`.
    public func share(upTo value: Double) -> Double {
        guard let next = values.firstIndex(where: { $0 > value }) else { return 1 }
        guard next > 0 else { return 0 }
        let (low, high) = (values[next - 1], values[next])
        return Self.levels[next - 1] + (value - low) / (high - low) * (Self.levels[next] - Self.levels[next - 1])
    }
}

/// Lengths by tables of quantiles: of the first text, of later ones, and of answers.
public struct FittedLengths: Sendable, Equatable {
    public let first: QuantileTable
    public let later: QuantileTable
    public let answer: QuantileTable
    /// The correlation of a text's normal score with its answer's.
    public let correlation: Double
    /// The share of the variance of normal scores that a conversation keeps through its turns.
    public let userPersistence: Double
    public let answerPersistence: Double

    init(
        first: QuantileTable, later: QuantileTable? = nil, answer: QuantileTable, correlation: Double = 0,
        userPersistence: Double = 0, answerPersistence: Double = 0
    ) {
        self.first = first
        self.later = later ?? first
        self.answer = answer
        self.correlation = correlation
        self.userPersistence = userPersistence
        self.answerPersistence = answerPersistence
    }

    fileprivate func draw(
        isFirst: Bool, traits: ConversationTraits, scores: StratifiedScores.Member?, using stream: inout RandomStream
    ) -> (user: Double, answer: Double) {
        let drawn = stream.normal()
        let beside = (1 - correlation * correlation).squareRoot() * stream.normal()
        let own = scores?.user ?? drawn
        let answerOwn = scores?.answer ?? correlation * drawn + beside
        let user = Self.mixed(traits.user, own, userPersistence)
        let answer = Self.mixed(traits.answer, answerOwn, answerPersistence)
        return ((isFirst ? first : later).quantile(Self.level(user)), self.answer.quantile(Self.level(answer)))
    }

    private static func mixed(_ trait: Double, _ own: Double, _ share: Double) -> Double {
        share.squareRoot() * trait + (1 - share).squareRoot() * own
    }

    /// The share of a standard normal distribution below `score`.
    private static func level(_ score: Double) -> Double { min(0.5 * erfc(-score / 2.0.squareRoot()), 1 - 0x1p-53) }
}
