internal import Glibc

/// How long new user texts and answers are, before `TraceGeneratorOptions.scale`.
public enum LengthModel: Sendable, Equatable {
    /// Both drawn independently of each other.
    case logNormal(user: LogNormalLength, answer: LogNormalLength)

    /// In ShareGPT's proportions: texts of 161 tokens on average as in the first pairs of vLLM's benchmark, and
    /// answers with the percentiles of the 8k multi-turn file (p50 415, p90 834, p99 near 1000 by its cut).
    /// The spread of the user's texts is an assumption; prompts get theirs mostly from the history they carry.
    public static let shareGPT = LengthModel.logNormal(
        user: LogNormalLength(median: 88, sigma: 1.1, cap: 4096),
        answer: LogNormalLength(median: 415, sigma: 0.55, cap: 1024))

    /// Draws the next turn's lengths, each at least one token. Every call takes the same amount of randomness.
    func draw(
        userFactor: Double, answerFactor: Double, using stream: inout RandomStream
    ) -> (user: Int, answer: Int) {
        switch self {
        case .logNormal(let user, let answer):
            (user.draw(factor: userFactor, using: &stream), answer.draw(factor: answerFactor, using: &stream))
        }
    }
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

    fileprivate func draw(factor: Double, using stream: inout RandomStream) -> Int {
        let length = min(median * exp(sigma * stream.normal()), cap) * factor
        return max(1, Int(min(length.rounded(), Double(TraceLimits.maxCount))))
    }
}
