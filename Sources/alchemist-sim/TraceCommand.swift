import AlchemistSim
public import ArgumentParser
public import Simulator

struct TraceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trace", abstract: "Makes traces.", subcommands: [GenerateCommand.self])
}

struct GenerateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate",
        abstract: "Generates a trace: conversations, arrivals and feedback from a seed.",
        discussion: """
            Lengths are in ShareGPT's proportions, arrivals are Poisson, texts are of a synthetic language that a model \
            can learn. The same options give the same file.

            EXAMPLES
              alchemist-sim trace generate --requests 1000 --rate 5 -o traces/my.jsonl
              alchemist-sim trace generate --target-p 0.9 --turns 4 --max-context 2048 -o traces/chat.jsonl
            """)

    @Option(name: .shortAndLong, help: "The file to write.")
    var output: String

    @Option(help: "Number of requests.")
    var requests = TraceGeneratorOptions.sample.requests

    @Option(help: "Mean number of turns of a conversation, before --max-context ends some early.")
    var turns = TraceGeneratorOptions.sample.meanTurns

    @Option(help: "Factor on ShareGPT's lengths: medians of 88 tokens of user text and 415 of answer.")
    var scale = TraceGeneratorOptions.sample.scale

    @Option(help: "Token-weighted share of prompts, met by longer user texts and shorter answers or the reverse.")
    var targetP: Double?

    @Option(help: "Requests per second.")
    var rate = 3.0

    @Option(help: "Mean seconds between a turn and the next, exponential.")
    var thinkTime = TraceGeneratorOptions.sample.meanThinkTime

    @Option(help: "Share of requests with feedback; the trace says that the others have none.")
    var feedbackRate = 0.7

    @Option(help: "Mean seconds from an answer to its feedback, exponential.")
    var feedbackDelay = 1.5

    @Option(help: "Longest prompt and output together.")
    var maxContext = TraceGeneratorOptions.sample.maxContext

    @Option(help: "Number of different token ids.")
    var vocabulary = TraceGeneratorOptions.sample.language.vocabulary

    @Option(help: "ids: requests carry token ids; counts: only how many.")
    var content = TraceGeneratorOptions.sample.content

    @Option(help: "Seed of arrivals, lengths, texts and feedback.")
    var seed = TraceGeneratorOptions.sample.seed

    func run() throws {
        do {
            var options = TraceGeneratorOptions()
            options.requests = requests
            options.meanTurns = turns
            options.scale = scale
            options.targetPrefillShare = targetP
            options.arrivals = .poisson(rate: rate)
            options.meanThinkTime = thinkTime
            options.feedback = TraceGeneratorOptions.FeedbackModel(rate: feedbackRate, meanDelay: feedbackDelay)
            options.maxContext = maxContext
            options.language.vocabulary = vocabulary
            options.content = content
            options.seed = seed
            let trace = try TraceGenerator(options).generate()
            try TraceWriter.write(trace, to: output)
            try Terminal.print(Self.text(of: TraceSummary(trace)) + "written to \(output)\n")
        } catch let error as TraceGeneratorError {
            throw Failure(error.description, .usage)
        } catch {
            throw Failure(error)
        }
    }

    private static func text(of summary: TraceSummary) -> String {
        func spread(_ name: String, _ spread: TraceSummary.Distribution) -> String {
            let figures = [spread.mean, spread.p50, spread.p90, spread.p99].map { $0.formatted(decimals: 0) }
            return "\(name) tokens: mean \(figures[0]), p50 \(figures[1]), p90 \(figures[2]), p99 \(figures[3])\n"
        }
        return "\(summary.requests) requests in \(summary.conversations) conversations over "
            + "\(summary.span.seconds.formatted(decimals: 1)) s\n"
            + spread("prompt", summary.prompt) + spread("output", summary.output)
            + "p \(summary.prefillShare.formatted(decimals: 3)), "
            + "\(summary.rate.map { $0.formatted(decimals: 2) } ?? "-") requests/s, "
            + "gap CV \(summary.gapVariation.map { $0.formatted(decimals: 2) } ?? "-"), feedback on "
            + "\((100 * summary.feedbackShare).formatted(decimals: 0)) %\n"
    }
}

extension TraceGeneratorOptions.Content: ExpressibleByArgument {}
