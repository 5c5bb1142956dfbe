import AlchemistSim
public import ArgumentParser
public import Simulator

struct GenerateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate",
        abstract: "Generates a trace: conversations, arrivals and feedback from a seed.",
        discussion: """
            Lengths are lognormal in ShareGPT's proportions, of a named fit, or those of another trace; texts are of a \
            synthetic language that a model can learn. The same options give the same file. docs/traces.md says what each \
            fit rests on and how well it is met.

            EXAMPLES
              alchemist-sim trace generate --requests 1000 --rate 5 -o traces/my.jsonl
              alchemist-sim trace generate --target-p 0.9 --turns 4 --max-context 2048 -o traces/chat.jsonl
              alchemist-sim trace generate --lengths azure-conversation --content counts --arrivals gamma --cv 3 -o a.jsonl
              alchemist-sim trace generate --feedback-kind group --group-size 8 --shift 0.5 -o traces/drift.jsonl
            """)

    @Option(name: .shortAndLong, help: "The file to write.")
    var output: String

    @Option(help: "Number of requests.")
    var requests = TraceGeneratorOptions.sample.requests

    @Option(
        help: ArgumentHelp(
            "lognormal, \(NamedFit.allCases.map(\.rawValue).joined(separator: ", ")), or a trace whose lengths are drawn.",
            valueName: "model"))
    var lengths = "lognormal"

    @Option(
        help: """
            Mean number of turns of a conversation, before --max-context ends some early. (default: the fit's, \
            \(TraceGeneratorOptions.sample.meanTurns) for lognormal, 1 for a trace's)
            """)
    var turns: Double?

    @Option(help: "Factor on lengths. (default: \(TraceGeneratorOptions.sample.scale) for lognormal, else 1)")
    var scale: Double?

    @Option(help: "Token-weighted share of prompts, met by longer user texts and shorter answers or the reverse.")
    var targetP: Double?

    @OptionGroup(title: "Arrivals") var arrivals: ArrivalOptions

    @Option(
        help: """
            Of conversations: mean seconds between a turn and the next, exponential. \
            (default: \(TraceGeneratorOptions.sample.meanThinkTime))
            """)
    var thinkTime: Double?

    @OptionGroup(title: "Feedback") var feedback: FeedbackOptions

    @Option(help: "Tokens of a beginning that conversations share, such as a system prompt. (default: none)")
    var prefixTokens: Int?

    @Option(help: "How many such beginnings there are; the one of rank r is drawn with weight 1 / r. (default: 1)")
    var prefixGroups: Int?

    @Option(
        help: """
            Longest prompt and output together. (default: the fit's, \(TraceGeneratorOptions.sample.maxContext) for \
            lognormal, any for a trace's)
            """)
    var maxContext: Int?

    @Option(help: "Number of different token ids. (default: \(TraceGeneratorOptions.sample.language.vocabulary))")
    var vocabulary: Int?

    @Option(help: "ids: requests carry token ids; counts: only how many.")
    var content = TraceGeneratorOptions.sample.content

    @Option(
        help: "Share of contexts in which later conversations' language differs from the earlier ones'. (default: none)"
    )
    var shift: Double?

    @Option(help: "Share of the requests before the language shifts. (default: 0.5)")
    var shiftAt: Double?

    @Option(help: "Seed of arrivals, lengths, texts and feedback.")
    var seed = TraceGeneratorOptions.sample.seed

    func run() throws {
        do {
            try OutputGuard.check(output, against: [lengths, arrivals.replay])
            let trace = try TraceGenerator(try options()).generate()
            try TraceWriter.write(trace, to: output)
            try Terminal.print(TraceSummary(trace).table(source: output) + "written to \(output)\n")
        } catch let error as TraceGeneratorError {
            throw Failure(error.description, .usage)
        } catch {
            throw Failure(error)
        }
    }

    private func options() throws -> TraceGeneratorOptions {
        var options = try base()
        options.requests = requests
        options.meanTurns = turns ?? options.meanTurns
        options.scale = scale ?? options.scale
        options.maxContext = maxContext ?? options.maxContext
        options.targetPrefillShare = targetP
        options.arrivals = try arrivals.model()
        options.meanThinkTime = thinkTime ?? TraceGeneratorOptions.sample.meanThinkTime
        options.feedback = feedback.model
        options.sharedPrefix = prefixTokens.map { .init(tokens: $0, groups: prefixGroups ?? 1) }
        options.language.vocabulary = vocabulary ?? TraceGeneratorOptions.sample.language.vocabulary
        options.content = content
        options.languageShift = shift.map { .init(share: $0, start: shiftAt ?? 0.5) }
        options.seed = seed
        try requireEffect(with: options)
        return options
    }

    /// Refuses options that would change nothing beside the others.
    private func requireEffect(with options: TraceGeneratorOptions) throws {
        let uses: [OptionUse] = [
            .init("think-time", thinkTime != nil, options.meanTurns > 1, "--turns above 1"),
            .init("prefix-groups", prefixGroups != nil, prefixTokens != nil, "--prefix-tokens"),
            .init("vocabulary", vocabulary != nil, content == .ids, "--content ids"),
            .init("shift-at", shiftAt != nil, shift != nil, "--shift"),
        ]
        try OptionUse.require(uses + arrivals.uses + feedback.uses)
    }

    private func base() throws -> TraceGeneratorOptions {
        if let fit = NamedFit(rawValue: lengths) { return TraceGeneratorOptions(fit) }
        var options = TraceGeneratorOptions()
        if lengths == "lognormal" {
            let sample = TraceGeneratorOptions.sample
            (options.meanTurns, options.scale, options.maxContext) = (sample.meanTurns, sample.scale, sample.maxContext)
            return options
        }
        // Turns that are put together get their history from each other: of each only its own text is drawn.
        let isText = (turns ?? 1) > 1
        var pairs: [LengthPair] = []
        var totals: [Int] = []
        try TraceReader.forEachRequest(path: lengths) {
            let history = isText ? $0.previousTurn.map { totals[$0] } ?? 0 : 0
            pairs.append(LengthPair(user: max(1, $0.promptTokens - history), answer: $0.outputTokens))
            totals.append($0.promptTokens + $0.outputTokens)
        }
        options.lengths = .empirical(pairs)
        options.meanTurns = 1
        options.maxContext = Int(Int32.max)
        return options
    }
}

/// When requests arrive.
struct ArrivalOptions: ParsableArguments {
    enum Kind: String, CaseIterable, ExpressibleByArgument {
        case poisson, gamma, bursts, diurnal, replay
    }

    @Option(help: "How requests arrive.")
    var arrivals = Kind.poisson

    @Option(help: "Requests per second, on average; every turn of a conversation is one. (default: 3)")
    var rate: Double?

    @Option(help: "gamma: standard deviation / mean of the gaps, met in the trace. (default: 2)")
    var cv: Double?

    @Option(help: "bursts: the rate in a burst over the rate in a calm. (default: 10)")
    var burstFactor: Double?

    @Option(help: "bursts: mean seconds of a calm, exponential. (default: 30)")
    var calmTime: Double?

    @Option(help: "bursts: mean seconds of a burst, exponential. (default: 5)")
    var burstTime: Double?

    @Option(help: "diurnal: the swing of the rate as a share of it. (default: 0.8)")
    var amplitude: Double?

    @Option(help: "diurnal: seconds of one swing. (default: 86400)")
    var period: Double?

    @Option(help: "replay: the trace whose arrivals are taken.")
    var replay: String?

    var uses: [OptionUse] {
        let kinds = Kind.allCases.filter { $0 != .replay }.map(\.rawValue).joined(separator: ", ")
        return [
            .init("rate", rate != nil, arrivals != .replay, "--arrivals \(kinds)"),
            .init("cv", cv != nil, arrivals == .gamma, "--arrivals gamma"),
            .init("burst-factor", burstFactor != nil, arrivals == .bursts, "--arrivals bursts"),
            .init("calm-time", calmTime != nil, arrivals == .bursts, "--arrivals bursts"),
            .init("burst-time", burstTime != nil, arrivals == .bursts, "--arrivals bursts"),
            .init("amplitude", amplitude != nil, arrivals == .diurnal, "--arrivals diurnal"),
            .init("period", period != nil, arrivals == .diurnal, "--arrivals diurnal"),
        ]
    }

    func model() throws -> ArrivalModel {
        guard (replay != nil) == (arrivals == .replay) else {
            throw Failure("--replay: expected with --arrivals replay, and only then", .usage)
        }
        let rate = rate ?? 3
        switch arrivals {
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

/// What users say.
struct FeedbackOptions: ParsableArguments {
    @Option(help: "Share of requests with feedback; the trace says that the others have none.")
    var feedbackRate = 0.7

    @Option(help: "Mean seconds from an answer to its feedback, exponential. (default: 1.5)")
    var feedbackDelay: Double?

    @Option(help: "sft: learn the answer; dpo: prefer one of two; group: weigh several. (default: sft)")
    var feedbackKind: Feedback.Kind?

    @Option(help: "sft: share of feedback with an edited answer. (default: 0)")
    var feedbackEdits: Double?

    @Option(help: "group: answers to a prompt, the one served among them. (default: 4)")
    var groupSize: Int?

    var uses: [OptionUse] {
        let isAny = feedbackRate != 0
        return [
            .init("feedback-delay", feedbackDelay != nil, isAny, "--feedback-rate above 0"),
            .init("feedback-kind", feedbackKind != nil, isAny, "--feedback-rate above 0"),
            .init("feedback-edits", feedbackEdits != nil, isAny, "--feedback-rate above 0"),
            .init("group-size", groupSize != nil, isAny && feedbackKind == .group, "--feedback-kind group"),
        ]
    }

    var model: TraceGeneratorOptions.FeedbackModel {
        var model = TraceGeneratorOptions.FeedbackModel(rate: feedbackRate, meanDelay: feedbackDelay ?? 1.5)
        model.kind = feedbackKind ?? .sft
        model.editedShare = feedbackEdits ?? 0
        model.groupSize = groupSize ?? 4
        return model
    }
}

extension TraceContent: ExpressibleByArgument {}
extension Feedback.Kind: ExpressibleByArgument {}
