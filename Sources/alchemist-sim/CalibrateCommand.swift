import AlchemistSim
import ArgumentParser
import Engine
import Foundation
import Simulator

struct CalibrateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "calibrate",
        abstract:
            "Measures what work costs on this machine, or fits an accelerator to timings, and writes the profile.",
        discussion: """
            The profile is measured with the sizes of one model and one way of tuning; other sizes are priced between \
            and beyond them. Nothing else should run meanwhile. A machine that others share is in another state some \
            minutes later: several passes with pauses between them give the medians over its states.

            With --from, nothing is measured: the constants of an accelerator are fitted to tables of operator timings \
            (docs/hardware.md), and the errors on these and on the tables of --test are printed.

            EXAMPLES
              alchemist-sim calibrate -o profiles/here.yaml
              alchemist-sim calibrate --passes 5 --pause 120 -o profiles/here.yaml
              alchemist-sim run traces/sample.jsonl --set backend=profiles/here.yaml
              alchemist-sim calibrate --from llama-3-8b.csv --test llama-2-7b.csv --hardware a100-80g -o mine.yaml
            """)

    @Option(name: .shortAndLong, help: "The file to write; standard output if there is none.")
    var output: String?

    @Option(help: "The preset or checkpoint whose sizes are measured. (default: that of the scenario)")
    var model: String?

    @Option(help: "Threads of the engine; 0 takes every processor. (default: that of the scenario)")
    var threads: Int?

    @Option(help: "How often everything is measured; points are medians over passes.")
    var passes = 1

    @Option(help: "Seconds between two passes.")
    var pause = 60.0

    @Option(
        name: .customLong("from"), parsing: .singleValue,
        help: ArgumentHelp("A table of operator timings to fit to; may be given again.", valueName: "csv"))
    var tables: [String] = []

    @Option(
        name: .customLong("test"), parsing: .singleValue,
        help: ArgumentHelp("A table that the fit is only held against; may be given again.", valueName: "csv"))
    var tests: [String] = []

    @Option(help: "The accelerator whose figures hold and whose other constants stay: a name or a file.")
    var hardware: String?

    @OptionGroup var settings: ScenarioOptions

    @Flag(name: .shortAndLong, help: "Show no progress.")
    var quiet = false

    func run() throws {
        do {
            if tables.isEmpty, tests.isEmpty { try measure() } else { try fit() }
        } catch {
            throw Failure(error)
        }
    }

    /// Without tables to fit to, the constants as they are are held against those of `--test`.
    private func fit() throws {
        guard let hardware else { throw Failure("--from needs --hardware, the accelerator that was timed", .usage) }
        guard case .accelerator(let start, _) = try Hardware(named: hardware, AcceleratorSetting()) else {
            throw Failure("--hardware \(hardware): expected an accelerator, found the profile of a machine", .badData)
        }
        let timings = try tables.map { try OperatorTimings(contentsOf: $0) }
        let others = try tests.map { try OperatorTimings(contentsOf: $0) }
        let fitted = timings.isEmpty ? start : AcceleratorFit(timings, start: start).run()
        if let output, !timings.isEmpty { try write(fitted.yaml, to: output) }
        let report = (timings + others).map { FitReport(fitted, $0).markdown }.joined(separator: "\n")
        try Terminal.print(report + (output.map { "written to \($0)\n" } ?? ""))
    }

    func validate() throws {
        guard passes == 1 || tables.isEmpty && tests.isEmpty else {
            throw ValidationError("--passes \(passes): nothing is measured with --from or --test")
        }
        guard (1...1000).contains(passes) else {
            throw ValidationError("--passes \(passes): expected a whole number from 1 to 1000")
        }
        guard pause.isFinite, (0...86_400).contains(pause) else {
            throw ValidationError("--pause \(pause): expected seconds from 0 to 86400")
        }
    }

    private func measure() throws {
        do {
            var scenario = try settings.resolved()
            if let model { try scenario.set("model", to: model, at: .option("--model")) }
            if let threads { try scenario.set("threads", to: "\(threads)", at: .option("--threads")) }
            guard scenario.backend == Scenario.measuredBackend else {
                throw Failure(
                    "field `backend`: found `\(scenario.backend)`, expected measured: this machine is calibrated",
                    .usage)
            }
            if let warning = BLAS.narrowKernelWarning { Terminal.warn("alchemist-sim: \(warning)\n") }
            // A profile is written whole at the end or not at all.
            Interrupt.endAtOnce()
            let start = Date()
            let profile = try measure(
                MachineCalibration(scenario, model: ScenarioModel(of: scenario)), date: start.ISO8601Format())
            let spreads = profile.spreads
            if passes == 1, spreads.median > Self.disturbed {
                Terminal.warn(
                    "alchemist-sim: half of the points spread by more than "
                        + "\((100 * spreads.median).formatted(decimals: 1)) %: something disturbs this machine, or others "
                        + "share it\n")
            }
            guard let output else {
                try Terminal.print(profile.yaml)
                return
            }
            try write(profile.yaml, to: output)
            try Terminal.print(
                "\(spreads.points) points in \(Date().timeIntervalSince(start).formatted(decimals: 0)) s; spread: median "
                    + "\((100 * spreads.median).formatted(decimals: 1)) %, largest "
                    + "\((100 * spreads.largest).formatted(decimals: 0)) %\nwritten to \(output)\n")
        } catch {
            throw Failure(error)
        }
    }

    /// Median spread above which the program says so. A shared machine of two cores had 2 % when left to itself.
    private static let disturbed = 0.05

    private func measure(_ calibration: MachineCalibration, date: String) throws -> HardwareProfile {
        let isShown = !quiet && Terminal.errorIsTerminal
        defer { if isShown { Terminal.warn("\r\u{1B}[K") } }
        var taken: [HardwareProfile] = []
        for pass in 0..<passes {
            if pass > 0 { Thread.sleep(forTimeInterval: pause) }
            taken.append(
                try calibration.run(date: date, toldAs: taken.first) { share in
                    let done = 100 * (Double(pass) + share) / Double(passes)
                    if isShown { Terminal.warn("\r\u{1B}[Kcalibrating: \(done.formatted(decimals: 0)) %") }
                })
        }
        return .median(of: taken)
    }

    private func write(_ text: String, to path: String) throws {
        let url = URL(fileURLWithPath: path)
        do {
            try FileManager.default.createDirectory(
                at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try text.write(to: url, atomically: true, encoding: .utf8)
        } catch {
            throw Failure("\(path): can not be written: \(error.localizedDescription)", .inputOutput)
        }
    }
}
