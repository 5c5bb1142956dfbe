/// What a generated trace looks like. The same options give the same trace.
///
/// Every purpose draws from random streams of its own, one for each conversation or request where it has many, so that
/// changing one option leaves alone what the others draw.
public struct TraceGeneratorOptions: Sendable, Equatable {
    public enum Content: String, Sendable, CaseIterable {
        /// Lengths only; `TokenSource` makes up the ids when they are needed.
        case counts
        /// Ids as `TokenSource` would make them up from the same language and seed.
        case ids
    }

    public struct FeedbackModel: Sendable, Equatable {
        /// The share of requests with feedback; the trace says of all others that they have none.
        public var rate: Double
        /// The mean of the exponentially distributed delay, in seconds.
        public var meanDelay: Double
        public var kind = Feedback.Kind.sft

        public init(rate: Double, meanDelay: Double) {
            self.rate = rate
            self.meanDelay = meanDelay
        }
    }

    public var requests = 1000
    /// The mean number of turns of a conversation, before `maxContext` ends some early. Geometric; 1 makes every
    /// request stand alone.
    public var meanTurns = 5.8
    /// The mean of the exponentially distributed think time before each later turn, in seconds.
    public var meanThinkTime = 10.0
    public var arrivals = ArrivalModel.poisson(rate: 1)
    public var lengths = LengthModel.shareGPT
    /// Multiplies all lengths.
    public var scale = 1.0
    /// Prompt tokens as a share of prompt + output - 1 tokens, both summed over all requests: the share of the
    /// positions run by serving that are run in prefill, when nothing is cached. Met within 1 % by making user texts
    /// longer and answers shorter by one factor, or the reverse. `nil` takes what the lengths give.
    public var targetPrefillShare: Double?
    /// `nil` leaves the trace silent, so that the scenario's feedback model decides.
    public var feedback: FeedbackModel?
    /// The most tokens of a prompt and its answer together. A conversation ends before it would exceed them; a first
    /// turn that does is shortened in proportion.
    public var maxContext = 8192
    public var content = Content.counts
    /// Where ids come from; its vocabulary is the trace's.
    public var language = SyntheticLanguage.Parameters(vocabulary: 49152)
    public var seed: UInt64 = 0

    public init() {}

    /// Of the trace that comes with the project: small enough for a measured run on any machine.
    public static let sample: TraceGeneratorOptions = {
        var options = TraceGeneratorOptions()
        options.requests = 60
        options.meanTurns = 5.5
        options.meanThinkTime = 2
        options.arrivals = .poisson(rate: 3)
        options.scale = 0.26
        options.targetPrefillShare = 0.88
        options.feedback = FeedbackModel(rate: 0.7, meanDelay: 1.5)
        options.maxContext = 1024
        options.content = .ids
        options.language.vocabulary = 2048
        options.seed = 1
        return options
    }()
}

/// Why no trace can be generated.
public enum TraceGeneratorError: Error, Sendable, Equatable, CustomStringConvertible {
    /// An option out of its range; named as on the command line.
    case option(name: String, found: String, expected: String)
    /// No factor between lengths meets the target; the shares that come nearest from below and above, if any.
    case unreachableShare(target: Double, reachable: ClosedRange<Double>)

    public var description: String {
        switch self {
        case .option(let name, let found, let expected):
            "--\(name): found \(found), expected \(expected)"
        case .unreachableShare(let target, let reachable):
            "--target-p: found \(target), expected a share from \(reachable.lowerBound.formatted(decimals: 3)) to "
                + "\(reachable.upperBound.formatted(decimals: 3)), which these turns and lengths can reach"
        }
    }
}

extension TraceGeneratorOptions {
    /// Checks every option's range.
    func validate() throws(TraceGeneratorError) {
        func require(
            _ isMet: Bool, _ name: String, _ found: some Any, _ expected: String
        ) throws(TraceGeneratorError) {
            guard isMet else { throw .option(name: name, found: "\(found)", expected: expected) }
        }
        try require(1...TraceLimits.maxCount ~= requests, "requests", requests, "at least 1")
        try require(1...1e6 ~= meanTurns, "turns", meanTurns, "a mean from 1 to 1000000")
        // A hundred times below what a trace may hold, so that no draw gets there.
        let longest = Double(TraceLimits.maxSeconds) / 100
        try require(
            0...longest / Double(max(1, requests)) ~= meanThinkTime, "think-time", meanThinkTime,
            "seconds from 0 to \(longest / Double(max(1, requests)))")
        try require(scale > 0 && scale <= 1e6, "scale", scale, "a factor above 0, up to 1000000")
        try require(2...TraceLimits.maxCount ~= maxContext, "max-context", maxContext, "at least 2 tokens")
        try require(
            2..<TraceLimits.maxCount ~= language.vocabulary, "vocabulary", language.vocabulary, "at least 2 tokens")
        switch arrivals {
        case .poisson(let rate):
            try require(
                rate.isFinite && rate > Double(requests) / longest, "rate", rate,
                "requests a second, more than \(Double(requests) / longest)")
        }
        if let share = targetPrefillShare {
            try require(share > 0 && share < 1, "target-p", share, "a share between 0 and 1")
        }
        if let feedback {
            try require(0...1 ~= feedback.rate, "feedback-rate", feedback.rate, "a share from 0 to 1")
            try require(
                0...1e6 ~= feedback.meanDelay, "feedback-delay", feedback.meanDelay, "seconds from 0 to 1000000")
        }
    }
}
