import AlchemistSim
import ArgumentParser
import Results

struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Turns a results file into CSV, or into a time line for Perfetto.",
        discussion: """
            --csv writes every table of the file, and schema.csv, which tells units and meanings. --perfetto writes trace \
            events that ui.perfetto.dev and chrome://tracing open: compute, copies, training steps, requests, memory. \
            Either appears when it is whole, and replaces only what an earlier export made.

            EXAMPLES
              alchemist-sim export results/sample.h5 --csv results/sample
              alchemist-sim export results/sample.h5 --perfetto results/sample.trace.json
              alchemist-sim export results/long.h5 --perfetto burst.json --arms reuse --from 120 --to 180

            Exit codes: 0 done, 64 usage, 74 input or output.
            """)

    @Argument(help: "A results file.")
    var results: String

    @Option(help: ArgumentHelp("Write CSV files into this directory.", valueName: "directory"))
    var csv: String?

    @Option(help: ArgumentHelp("Write a time line in Chrome's trace-event format.", valueName: "file"))
    var perfetto: String?

    @Option(help: "Arms of the time line, separated by commas. (default: all)")
    var arms: String?

    @Option(name: .customLong("repeat"), help: "The repeat that the time line shows, from 0.")
    var repeatIndex = 0

    @Option(help: "Seconds of virtual time at which the time line begins.")
    var from: Double?

    @Option(help: "Seconds of virtual time at which it ends. (default: with the run)")
    var to: Double?

    func validate() throws {
        guard csv != nil || perfetto != nil else {
            throw ValidationError("nothing to write: expected --csv DIRECTORY, --perfetto FILE, or both")
        }
        if perfetto == nil, arms != nil || from != nil || to != nil || repeatIndex != 0 {
            throw ValidationError("--arms, --repeat, --from and --to choose what --perfetto draws, which is missing")
        }
        for (name, value) in [("--from", from), ("--to", to)] {
            if let value, !(value >= 0 && value <= Self.longest) {
                throw ValidationError("\(name) \(value): expected seconds from 0 to \(Int(Self.longest))")
            }
        }
        guard (from ?? 0) <= (to ?? Self.longest) else {
            throw ValidationError("--from \(from ?? 0) --to \(to ?? 0): the time line would end before it begins")
        }
        guard repeatIndex >= 0 else { throw ValidationError("--repeat \(repeatIndex): repeats are counted from 0") }
    }

    /// Seconds: what nanoseconds in 64 bits can hold, nearly.
    private static let longest = 9e9

    func run() throws {
        do {
            let file = try ResultsFile(reading: results)
            if let csv {
                let count = try CSVExport.write(file, to: csv)
                try Terminal.print("written to \(csv): \(count) files, described in \(csv)/schema.csv\n")
            }
            if let perfetto {
                try OutputGuard.check(perfetto, option: "--perfetto", against: [results])
                var selection = TimelineExport.Selection()
                selection.arms = arms.map { $0.split(separator: ",").map(String.init) }
                selection.repeatIndex = repeatIndex
                selection.window = Int64((from ?? 0) * 1e9)...(to.map { Int64($0 * 1e9) } ?? .max)
                try TimelineExport.write(file, selection, to: perfetto)
                try Terminal.print("written to \(perfetto); open it in ui.perfetto.dev or chrome://tracing\n")
            }
        } catch {
            throw Failure(error)
        }
    }
}
