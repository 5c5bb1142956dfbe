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
            let recipe = recipe
            try OutputGuard.check(output, against: recipe.paths)
            try OptionUse.require(recipe)
            let trace = try TraceGenerator(try recipe.options()).generate()
            try TraceWriter.write(trace, to: output)
            try Terminal.print(TraceSummary(trace).table(source: output) + "written to \(output)\n")
        } catch let error as TraceGeneratorError {
            throw Failure(error.description, .usage)
        } catch {
            throw Failure(error)
        }
    }

    private var recipe: TraceRecipe {
        var recipe = TraceRecipe()
        recipe.requests = requests
        recipe.lengths = lengths
        recipe.turns = turns
        recipe.scale = scale
        recipe.targetP = targetP
        recipe.thinkTime = thinkTime
        recipe.prefixTokens = prefixTokens
        recipe.prefixGroups = prefixGroups
        recipe.maxContext = maxContext
        recipe.vocabulary = vocabulary
        recipe.content = content
        recipe.shift = shift
        recipe.shiftAt = shiftAt
        recipe.seed = seed
        arrivals.fill(&recipe)
        feedback.fill(&recipe)
        return recipe
    }
}

/// When requests arrive.
struct ArrivalOptions: ParsableArguments {
    @Option(help: "How requests arrive.")
    var arrivals = TraceRecipe.Arrivals.poisson

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

    func fill(_ recipe: inout TraceRecipe) {
        recipe.arrivals = arrivals
        recipe.rate = rate
        recipe.cv = cv
        recipe.burstFactor = burstFactor
        recipe.calmTime = calmTime
        recipe.burstTime = burstTime
        recipe.amplitude = amplitude
        recipe.period = period
        recipe.replay = replay
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

    func fill(_ recipe: inout TraceRecipe) {
        recipe.feedbackRate = feedbackRate
        recipe.feedbackDelay = feedbackDelay
        recipe.feedbackKind = feedbackKind
        recipe.feedbackEdits = feedbackEdits
        recipe.groupSize = groupSize
    }
}

extension TraceRecipe.Arrivals: ExpressibleByArgument {}
extension TraceContent: ExpressibleByArgument {}
extension Feedback.Kind: ExpressibleByArgument {}
