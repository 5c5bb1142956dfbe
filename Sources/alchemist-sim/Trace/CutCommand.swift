import AlchemistSim
import ArgumentParser
import Simulator

struct CutCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cut",
        abstract: "Writes a part of a trace: the requests that fit a model's context, or the first ones.",
        discussion: """
            A turn's prompt holds the turns before it, so where one is left out all behind it in the conversation are.

            EXAMPLES
              alchemist-sim trace cut traces/azure-conversation.jsonl --max-context 8192 -o shorter.jsonl
              alchemist-sim trace cut my.jsonl --limit 1000 -o thousand.jsonl

            Exit codes: 0 done, 64 usage, 65 bad data or nothing left, 74 input or output.
            """)

    @Argument(help: "A trace in JSON lines.")
    var trace: String

    @Option(name: .shortAndLong, help: "The trace to write.")
    var output: String

    @Option(help: "The most tokens of a prompt with its answer, or one of feedback's. (default: any)")
    var maxContext: Int?

    @Option(help: "The most requests to keep, from the first on. (default: all)")
    var limit: Int?

    func validate() throws {
        guard maxContext ?? 2 >= 2 else { throw ValidationError("--max-context: expected at least 2 tokens") }
        guard limit ?? 1 >= 1 else { throw ValidationError("--limit: expected at least 1") }
        guard maxContext != nil || limit != nil else {
            throw ValidationError("expected --max-context, --limit or both: without them the whole trace is left")
        }
    }

    func run() throws {
        do {
            try OutputGuard.check(output, against: [trace])
            let (part, report) = try TraceCut(maxContext: maxContext, limit: limit).cut(TraceReader.read(path: trace))
            try TraceWriter.write(part, to: output)
            var text = "\(report.kept) requests written to \(output)"
            if report.tooLong > 0 {
                text += "; \(report.tooLong) with more than \(maxContext ?? 0) tokens left out"
                if report.behindTooLong > 0 { text += ", and \(report.behindTooLong) turns behind them" }
            }
            try Terminal.print(text + "\n")
        } catch {
            throw Failure(error)
        }
    }
}
