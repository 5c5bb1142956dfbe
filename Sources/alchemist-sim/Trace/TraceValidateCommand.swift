import AlchemistSim
import ArgumentParser
import Simulator

struct TraceValidateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "validate",
        abstract: "Checks a trace and tells every problem with its line.",
        discussion: """
            EXAMPLES
              alchemist-sim trace validate my.jsonl
              alchemist-sim trace validate my.jsonl --max-context 2048 --vocabulary 49152

            Exit codes: 0 sound, 64 usage, 65 bad data, 74 input or output.
            """)

    @Argument(help: "A trace in JSON lines.")
    var trace: String

    @Option(help: "The most tokens of a prompt and its answer together. (default: any)")
    var maxContext: Int?

    @Option(help: "The number of token ids. (default: any)")
    var vocabulary: Int?

    @Option(help: "The most problems to tell.")
    var maxProblems = 1000

    func validate() throws {
        guard maxProblems >= 1 else { throw ValidationError("--max-problems: expected at least 1") }
    }

    func run() throws {
        do {
            let limits = TraceLimits(maxContext: maxContext, vocabulary: vocabulary)
            // One more than is shown tells whether there are more.
            let (problems, requests) = try TraceReader.check(path: trace, limits: limits, limit: maxProblems + 1)
            guard !problems.isEmpty else {
                try Terminal.print("\(trace): sound, \(requests) requests\n")
                return
            }
            try Terminal.print(problems.prefix(maxProblems).map { "\($0)\n" }.joined())
            let isCut = problems.count > maxProblems
            throw Failure(
                isCut
                    ? "\(trace): the first \(maxProblems) problems are shown, there are more"
                    : "\(trace): \(problems.count) \(problems.count == 1 ? "problem" : "problems")",
                .badData)
        } catch {
            throw Failure(error)
        }
    }
}
