import AlchemistSim
import ArgumentParser
import Results

struct ReportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Draws a results file as one page of HTML.",
        discussion: """
            The page needs nothing else: no network, no script. It shows the arms' figures and comparisons, the \
            distribution of latencies, memory over time, training, and where the run comes from.

            EXAMPLES
              alchemist-sim report results/sample.h5
              alchemist-sim report results/sample.h5 -o sample.html

            Exit codes: 0 done, 64 usage, 74 input or output.
            """)

    @Argument(help: "A results file.")
    var results: String

    @Option(name: .shortAndLong, help: "Where the page goes. (default: the name of the results, with .html)")
    var output: String?

    func run() throws {
        do {
            let file = try ResultsFile(reading: results)
            let target = output ?? defaultOutput
            try OutputGuard.check(target, against: [results])
            try ReportPage.write(file, named: results, to: target)
            try Terminal.print("written to \(target)\n")
        } catch {
            throw Failure(error)
        }
    }

    private var defaultOutput: String {
        (results.hasSuffix(".h5") ? String(results.dropLast(3)) : results) + ".html"
    }
}
