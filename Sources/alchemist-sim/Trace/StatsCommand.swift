import AlchemistSim
public import ArgumentParser
public import Simulator

struct StatsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stats",
        abstract: "Says what is in a trace.",
        discussion: """
            Counts, lengths, the prompt share p, turns, rate, burstiness and how much of the prompts is shared. \
            `python plots/trace_stats.py` draws what --json prints (make plots sets its libraries up).

            EXAMPLES
              alchemist-sim trace stats my.jsonl
              alchemist-sim trace stats my.jsonl --against azure-conversation
              alchemist-sim trace stats my.jsonl --json > my.stats.json

            Exit codes: 0 done, 64 usage, 65 bad data, 74 input or output.
            """)

    @Argument(help: "A trace in JSON lines.")
    var trace: String

    @Option(
        help: """
            The named fit whose data set the lengths are compared with. Of sharegpt-first and azure-code only \
            \(NamedFit.shareGPTFirst.published) and \(NamedFit.azureCode.published); the rest of both is assumed.
            """)
    var against: NamedFit?

    @Flag(help: "Print one JSON object instead of the table.")
    var json = false

    func validate() throws {
        if let against, against.targets == nil {
            let known = NamedFit.allCases.filter { $0.targets != nil }.map(\.rawValue)
            throw ValidationError(
                "--against \(against.rawValue): no measured distribution is known, only \(against.published); expected "
                    + known.joined(separator: ", "))
        }
    }

    func run() throws {
        do {
            var builder = TraceSummaryBuilder()
            try TraceReader.forEachRequest(path: trace) { builder.add($0) }
            let summary = builder.summary()
            let comparison = against.flatMap { builder.comparison(with: $0) }
            try Terminal.print(
                json
                    ? TraceStatistics(summary, source: trace, beside: comparison).json() + "\n"
                    : summary.table(source: trace, beside: comparison))
        } catch {
            throw Failure(error)
        }
    }
}

extension NamedFit: ExpressibleByArgument {}
