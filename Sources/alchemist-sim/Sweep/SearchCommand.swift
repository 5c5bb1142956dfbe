import AlchemistSim
import ArgumentParser
import Foundation

struct SearchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "search",
        abstract: "Finds the highest load, context or batch at which objectives are met.",
        discussion: """
            The experiment's section `search` names a field, a range and objectives over figures; docs/sweeps.md describes \
            it. The field is bisected, at every point of the axes if there are any, and the trail is kept in search.json \
            and search.h5. Values that were tried before are not run again.

            EXAMPLES
              alchemist-sim search experiments/search.yaml
              alchemist-sim search experiments/search.yaml --json > highest.json
            """)

    @OptionGroup var options: SweepOptions

    @Flag(help: "Print what is written to search.json instead of the trail.")
    var json = false

    @Flag(name: .shortAndLong, help: "Print the results without the trail.")
    var quiet = false

    func validate() throws { try options.requireExperiment() }

    func run() throws {
        do {
            try search()
        } catch {
            throw Failure(error)
        }
    }

    private func search() throws {
        var session = try SweepSession(options, quiet: true)
        session.conditions = .here(threads: nil, isSharing: false)
        try session.folder.make()
        let lock = try session.lock(.alone)
        defer { withExtendedLifetime(lock) {} }
        session.folder.removeRemains()
        let runner = session.runner(in: session.folder, threads: nil)
        let search = try ThresholdSearch(session.resolver, runner, in: session.folder, program: session.program)
        var outcomes: [ThresholdSearch.Outcome] = []
        let cells = try search.cells()
        try search.check(cells)
        for cell in cells {
            if !json, !cell.coordinates.isEmpty { try Terminal.print("\(cell.name)\n") }
            var printing: (any Error)?
            let outcome = try search.run(
                in: cell,
                report: { trial in
                    guard !json, !quiet else { return }
                    do { try Terminal.print(text(trial) + "\n") } catch { printing = error }
                }, shouldStop: { Interrupt.isRequested })
            if let printing { throw printing }
            outcomes.append(outcome)
            // What was found so far is kept, however long the rest takes.
            try search.write(outcomes)
            if !json { try Terminal.print(text(outcome, search.field) + "\n") }
        }
        if json { try Terminal.print(try String(contentsOfFile: search.jsonPath, encoding: .utf8)) }
    }

    private func text(_ trial: ThresholdSearch.Trial) -> String {
        let figures = trial.figures.sorted { $0.key < $1.key }.map { name, value in
            let unit = trial.units[name].map { $0 == "1" ? "" : " " + $0 } ?? ""
            return "\(name) = \(value.map { String(format: "%.4g", $0) + unit } ?? "-")"
        }.joined(separator: ", ")
        let verdict = trial.meets ? "meets" : "fails (\(trial.reason ?? ""))"
        return "  \(trial.field) = \(trial.text): \(verdict); \(figures)\(trial.wasKnown ? "; known" : "")"
    }

    private func text(_ outcome: ThresholdSearch.Outcome, _ field: String) -> String {
        guard let text = outcome.text else { return "no value of \(field) meets the objectives, not even the lowest" }
        guard let failing = outcome.lowestFailingText else {
            return "highest \(field): at least \(text), the end of the range"
        }
        return "highest \(field): \(text), fails at \(failing)"
    }
}
