public import Simulator

/// What a generated trace is asked to be: the options of `trace generate`, each nil where nothing is said. Commands and
/// sweeps fill it in; what is left out, and what options mean beside each other, is decided here.
public struct TraceRecipe: Sendable, Equatable {
    /// How requests arrive.
    public enum Arrivals: String, Sendable, CaseIterable {
        case poisson, gamma, bursts, diurnal, replay
    }

    public var requests: Int?
    /// `lognormal`, a named fit, or the path of a trace whose lengths are drawn.
    public var lengths: String?
    public var turns: Double?
    public var scale: Double?
    public var targetP: Double?
    public var arrivals: Arrivals?
    public var rate: Double?
    public var cv: Double?
    public var burstFactor: Double?
    public var calmTime: Double?
    public var burstTime: Double?
    public var amplitude: Double?
    public var period: Double?
    /// The path of a trace whose arrivals are taken.
    public var replay: String?
    public var thinkTime: Double?
    public var feedbackRate: Double?
    public var feedbackDelay: Double?
    public var feedbackKind: Feedback.Kind?
    public var feedbackEdits: Double?
    public var groupSize: Int?
    public var prefixTokens: Int?
    public var prefixGroups: Int?
    public var maxContext: Int?
    public var vocabulary: Int?
    public var content: TraceContent?
    public var shift: Double?
    public var shiftAt: Double?
    public var seed: UInt64?

    public init() {}

    /// The paths among the settings.
    public var paths: [String] {
        let drawn = lengths.flatMap { $0 == Self.lognormal || NamedFit(rawValue: $0) != nil ? nil : $0 }
        return [drawn, replay].compactMap(\.self)
    }

    private static let lognormal = "lognormal"

    /// Names that lengths may have beside the path of a trace.
    static let knownLengths = [lognormal] + NamedFit.allCases.map(\.rawValue)

    /// Turns of a conversation, by what is said or else by the lengths' own.
    private var meanTurns: Double {
        let lengths = lengths ?? Self.lognormal
        if let turns { return turns }
        if let fit = NamedFit(rawValue: lengths) { return TraceGeneratorOptions(fit).meanTurns }
        return lengths == Self.lognormal ? TraceGeneratorOptions.sample.meanTurns : 1
    }

    /// The settings as the generator takes them.
    ///
    /// - Throws: a `TraceError` when a trace that they name can not be read.
    public func options() throws(TraceError) -> TraceGeneratorOptions {
        let sample = TraceGeneratorOptions.sample
        var options = try base()
        options.requests = requests ?? sample.requests
        options.meanTurns = meanTurns
        options.scale = scale ?? options.scale
        options.maxContext = maxContext ?? options.maxContext
        options.targetPrefillShare = targetP
        options.arrivals = try arrivalModel()
        options.meanThinkTime = thinkTime ?? sample.meanThinkTime
        var feedback = TraceGeneratorOptions.FeedbackModel(rate: feedbackRate ?? 0.7, meanDelay: feedbackDelay ?? 1.5)
        feedback.kind = feedbackKind ?? .sft
        feedback.editedShare = feedbackEdits ?? 0
        feedback.groupSize = groupSize ?? 4
        options.feedback = feedback
        options.sharedPrefix = prefixTokens.map { .init(tokens: $0, groups: prefixGroups ?? 1) }
        options.language.vocabulary = vocabulary ?? sample.language.vocabulary
        options.content = content ?? sample.content
        options.languageShift = shift.map { .init(share: $0, start: shiftAt ?? 0.5) }
        options.seed = seed ?? sample.seed
        return options
    }

    private func base() throws(TraceError) -> TraceGeneratorOptions {
        let lengths = lengths ?? Self.lognormal
        if let fit = NamedFit(rawValue: lengths) { return TraceGeneratorOptions(fit) }
        var options = TraceGeneratorOptions()
        if lengths == Self.lognormal {
            let sample = TraceGeneratorOptions.sample
            (options.scale, options.maxContext) = (sample.scale, sample.maxContext)
            return options
        }
        // Turns that are put together get their history from each other: of each only its own text is drawn.
        let isText = meanTurns > 1
        var pairs: [LengthPair] = []
        var totals: [Int] = []
        try TraceReader.forEachRequest(path: lengths) {
            let history = isText ? $0.previousTurn.map { totals[$0] } ?? 0 : 0
            pairs.append(LengthPair(user: max(1, $0.promptTokens - history), answer: $0.outputTokens))
            totals.append($0.promptTokens + $0.outputTokens)
        }
        options.lengths = .empirical(pairs)
        options.maxContext = Int(Int32.max)
        return options
    }

    private func arrivalModel() throws(TraceError) -> ArrivalModel {
        let rate = rate ?? 3
        switch arrivals ?? .poisson {
        case .poisson: return .poisson(rate: rate)
        case .gamma: return .gamma(rate: rate, variation: cv ?? 2)
        case .bursts:
            return .bursts(
                rate: rate, factor: burstFactor ?? 10, meanCalm: calmTime ?? 30, meanBurst: burstTime ?? 5)
        case .diurnal: return .diurnal(rate: rate, amplitude: amplitude ?? 0.8, period: period ?? 86400)
        case .replay:
            var times: [SimTime] = []
            try TraceReader.forEachRequest(path: replay ?? "") { times.append($0.arrival) }
            return .replay(times)
        }
    }
}

// MARK: Settings that change nothing

extension TraceRecipe {
    /// A setting that changes nothing beside the others, or lacks another.
    public struct Mistake: Sendable, Equatable {
        /// What it takes for a setting to have an effect.
        public struct Condition: Sendable, Equatable {
            public var setting: String
            /// Empty if any will do.
            public var values: String
        }

        /// Named as in sweeps, with `_`.
        public var setting: String
        public var condition: Condition
    }

    /// The first setting that changes nothing beside the others; nil if there is none.
    public var mistake: Mistake? {
        let kind = arrivals ?? .poisson
        let hasFeedback = feedbackRate != 0
        let rated = Arrivals.allCases.filter { $0 != .replay }.map(\.rawValue).joined(separator: ", ")
        // Setting, whether it is given, whether it is used, and what it takes.
        let uses: [(String, Bool, Bool, String, String)] = [
            ("think_time", thinkTime != nil, meanTurns > 1, "turns", "above 1"),
            ("prefix_groups", prefixGroups != nil, prefixTokens != nil, "prefix_tokens", ""),
            (
                "vocabulary", vocabulary != nil, (content ?? TraceGeneratorOptions.sample.content) == .ids, "content",
                "ids"
            ),
            ("shift_at", shiftAt != nil, shift != nil, "shift", ""),
            ("replay", replay != nil, kind == .replay, "arrivals", "replay"),
            ("arrivals", kind == .replay, replay != nil, "replay", ""),
            ("rate", rate != nil, kind != .replay, "arrivals", rated),
            ("cv", cv != nil, kind == .gamma, "arrivals", "gamma"),
            ("burst_factor", burstFactor != nil, kind == .bursts, "arrivals", "bursts"),
            ("calm_time", calmTime != nil, kind == .bursts, "arrivals", "bursts"),
            ("burst_time", burstTime != nil, kind == .bursts, "arrivals", "bursts"),
            ("amplitude", amplitude != nil, kind == .diurnal, "arrivals", "diurnal"),
            ("period", period != nil, kind == .diurnal, "arrivals", "diurnal"),
            ("feedback_delay", feedbackDelay != nil, hasFeedback, "feedback_rate", "above 0"),
            ("feedback_kind", feedbackKind != nil, hasFeedback, "feedback_rate", "above 0"),
            ("feedback_edits", feedbackEdits != nil, hasFeedback, "feedback_rate", "above 0"),
            ("group_size", groupSize != nil, hasFeedback && feedbackKind == .group, "feedback_kind", "group"),
        ]
        return uses.first { $0.1 && !$0.2 }.map {
            Mistake(setting: $0.0, condition: .init(setting: $0.3, values: $0.4))
        }
    }
}
