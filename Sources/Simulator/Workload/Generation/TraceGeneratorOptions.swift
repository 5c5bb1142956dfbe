/// What of the tokens a trace that is made holds.
public enum TraceContent: String, Sendable, CaseIterable {
    /// Lengths only; `TokenSource` makes up the ids when they are needed.
    case counts
    /// The ids themselves.
    case ids
}

/// What a generated trace looks like. The same options give the same trace.
///
/// Every purpose draws from random streams of its own, one for each conversation or request where it has many, so that
/// changing one option leaves alone what the others draw.
public struct TraceGeneratorOptions: Sendable, Equatable {
    public struct FeedbackModel: Sendable, Equatable {
        /// The share of requests with feedback; the trace says of all others that they have none.
        public var rate: Double
        /// The mean of the exponentially distributed delay, in seconds.
        public var meanDelay: Double
        public var kind = Feedback.Kind.sft
        /// Of `sft`: the share of feedback with an edited answer, which takes `TraceContent.ids`.
        public var editedShare = 0.0
        /// Of `group`: all answers of a group, the one served among them.
        public var groupSize = 4

        public init(rate: Double, meanDelay: Double) {
            self.rate = rate
            self.meanDelay = meanDelay
        }
    }

    /// A beginning that conversations have in common, such as a system prompt.
    public struct SharedPrefix: Sendable, Equatable {
        /// Its tokens, which come before the first text.
        public var tokens: Int
        /// How many different ones there are. The one of rank r, from 1, is drawn with weight 1 / r.
        public var groups: Int

        public init(tokens: Int, groups: Int) { (self.tokens, self.groups) = (tokens, groups) }
    }

    /// A second language: from some request on, conversations that begin are of it.
    public struct LanguageShift: Sendable, Equatable {
        /// The share of contexts with other successors than in the first.
        public var share: Double
        /// The share of the requests before it.
        public var start: Double

        public init(share: Double, start: Double) { (self.share, self.start) = (share, start) }
    }

    public var requests = 1000
    /// The mean number of turns of a conversation, before `maxContext` ends some early. Geometric; 1 makes every
    /// request stand alone.
    public var meanTurns = 5.8
    /// The mean of the exponentially distributed think time before each later turn, in seconds.
    public var meanThinkTime = 10.0
    public var arrivals = ArrivalModel.poisson(rate: 1)
    public var lengths = LengthModel.shareGPT
    /// Whether the lengths of conversations are spread evenly over their distribution, so that it is met with a few
    /// hundred requests, rather than drawn independently. Both know where a trace begins only; later turns are drawn.
    public var isStratified = false
    /// Multiplies all lengths.
    public var scale = 1.0
    /// Prompt tokens as a share of prompt + output - 1 tokens, both summed over all requests: the share of the
    /// positions run by serving that are run in prefill, when nothing is cached. Met within 1 % by making user texts
    /// longer and answers shorter by one factor, or the reverse. `nil` takes what the lengths give.
    public var targetPrefillShare: Double?
    /// `nil` leaves the trace silent, so that the scenario's feedback model decides.
    public var feedback: FeedbackModel?
    public var sharedPrefix: SharedPrefix?
    /// The most tokens of a prompt and its answer together. A conversation ends before it would exceed them; a first
    /// turn that does is shortened in proportion.
    public var maxContext = 8192
    public var content = TraceContent.counts
    /// Where ids come from; its vocabulary is the trace's.
    public var language = SyntheticLanguage.Parameters(vocabulary: 49152)
    /// With ids only: counts leave it to the run to make tokens up.
    public var languageShift: LanguageShift?
    public var seed: UInt64 = 0

    public init() {}

    /// Lengths, turns and context of a fit.
    public init(_ fit: NamedFit) {
        lengths = fit.lengths
        isStratified = true
        meanTurns = fit.meanTurns
        maxContext = fit.maxContext
    }

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
    /// No Gamma distribution gives so many gaps this variation; the most that it can have, and the nearest there was.
    case unreachableVariation(target: Double, requests: Int, nearest: Double)
    /// No factor between lengths meets the target; the shares that come nearest from below and above, if any.
    case unreachableShare(target: Double, reachable: ClosedRange<Double>)

    public var description: String { "--\(option): \(problem)" }

    /// The option in question, named as on the command line.
    public var option: String {
        switch self {
        case .option(let name, _, _): name
        case .unreachableVariation: "cv"
        case .unreachableShare: "target-p"
        }
    }

    /// What was found, and what would be right.
    public var problem: String {
        switch self {
        case .option(_, let found, let expected): "found \(found), expected \(expected)"
        case .unreachableVariation(let target, let requests, let nearest):
            "found \(target), expected a variation that the gaps of \(requests) requests can have: the nearest "
                + "found is \(nearest.formatted(decimals: 3)), and more than "
                + "\(Double(max(0, requests - 2)).squareRoot().formatted(decimals: 3)) is impossible"
        case .unreachableShare(let target, let reachable):
            "found \(target), expected a share from \(reachable.lowerBound.formatted(decimals: 3)) to "
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
        try arrivals.validate(requests: requests, longest: longest)
        if let share = targetPrefillShare {
            try require(share > 0 && share < 1, "target-p", share, "a share between 0 and 1")
        }
        if let feedback {
            try require(0...1 ~= feedback.rate, "feedback-rate", feedback.rate, "a share from 0 to 1")
            try require(
                0...1e6 ~= feedback.meanDelay, "feedback-delay", feedback.meanDelay, "seconds from 0 to 1000000")
            try require(0...1 ~= feedback.editedShare, "feedback-edits", feedback.editedShare, "a share from 0 to 1")
            try require(
                feedback.editedShare == 0 || feedback.kind == .sft && content == .ids, "feedback-edits",
                feedback.editedShare, "0 unless --feedback-kind is sft and --content is ids")
            try require(2...1024 ~= feedback.groupSize, "group-size", feedback.groupSize, "2 to 1024 answers")
        }
        if let prefix = sharedPrefix {
            try require(1...1_000_000 ~= prefix.groups, "prefix-groups", prefix.groups, "1 to 1000000")
            try require(
                1...max(1, maxContext - 2) ~= prefix.tokens, "prefix-tokens", prefix.tokens,
                "1 to \(maxContext - 2), below --max-context")
        }
        if let shift = languageShift {
            try require(0...1 ~= shift.share, "shift", shift.share, "a share of contexts from 0 to 1")
            try require(0...1 ~= shift.start, "shift-at", shift.start, "a share of the requests from 0 to 1")
            try require(content == .ids, "shift", shift.share, "--content ids, as counts leave the texts to the run")
        }
        if case .empirical(let pairs) = lengths {
            try require(!pairs.isEmpty, "lengths", "no pairs", "a trace with requests")
        }
    }
}

extension ArrivalModel {
    /// Checks every parameter's range. No trace may take longer than `longest` seconds on average.
    func validate(requests: Int, longest: Double) throws(TraceGeneratorError) {
        func require(
            _ isMet: Bool, _ name: String, _ found: some Any, _ expected: String
        ) throws(TraceGeneratorError) {
            guard isMet else { throw .option(name: name, found: "\(found)", expected: expected) }
        }
        let least = Double(requests) / longest
        switch self {
        case .poisson(let rate), .gamma(let rate, _), .bursts(let rate, _, _, _), .diurnal(let rate, _, _):
            try require(
                rate > least && rate <= 1e6, "rate", rate, "requests a second, more than \(least), up to 1000000")
        case .replay(let times):
            try require(
                times.count >= requests, "requests", requests,
                "at most \(times.count), the arrivals there are to replay")
        }
        switch self {
        case .gamma(_, let variation):
            try require(0.01...100 ~= variation, "cv", variation, "a coefficient of variation from 0.01 to 100")
        case .bursts(_, let factor, let meanCalm, let meanBurst):
            try require(1...1e6 ~= factor, "burst-factor", factor, "1 to 1000000")
            try require(1e-3...1e6 ~= meanCalm, "calm-time", meanCalm, "seconds from 0.001 to 1000000")
            try require(1e-3...1e6 ~= meanBurst, "burst-time", meanBurst, "seconds from 0.001 to 1000000")
        case .diurnal(_, let amplitude, let period):
            try require(0...1 ~= amplitude, "amplitude", amplitude, "a share of the rate from 0 to 1")
            try require(1...1e8 ~= period, "period", period, "seconds from 1 to 100000000")
        case .poisson, .replay: break
        }
    }
}
