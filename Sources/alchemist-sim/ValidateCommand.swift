import AlchemistSim
import ArgumentParser
import Engine
import Foundation
import Results
import Simulator

struct ValidateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "validate",
        abstract: "Holds the model of this machine against the machine.",
        discussion: """
            Runs the arms of a scenario measured and modelled at several loads, and prints the errors of quanta and of \
            figures end to end as tables in Markdown. Each load leaves a results file in which every arm stands beside \
            itself modelled. Loads are shares of what the modelled server finishes when all requests wait.

            Repeats are rounds over all loads and arms. Unless a profile is given, the machine is calibrated first, and \
            whole quanta go on being calibrated for some seconds before each run of an arm. So prices are of the same time \
            as what they are held against, as far as corrections go: a machine that others share drifts. What the first \
            calibration alone would have said stands beside them.

            EXAMPLES
              alchemist-sim validate experiments/validate.yaml results/validate.jsonl
              alchemist-sim validate experiments/validate.yaml results/validate.jsonl --repeats 5 --again
              alchemist-sim validate my.yaml my.jsonl --profile profiles/here.yaml --loads 0.5,0.9
            """)

    @Argument(help: "A scenario in YAML.")
    var scenario: String

    @Argument(help: "A trace in JSON lines, whose arrivals are stretched to each load.")
    var trace: String

    @Option(help: "The profile of this machine; measured, before and between the runs, if there is none.")
    var profile: String?

    @Option(help: "Loads, separated by commas.")
    var loads = "0.3,0.6,0.8,1.5"

    @Option(
        help: """
            How often each arm is measured; figures end to end are held against medians. In place of the scenario's \
            repeats.
            """)
    var repeats: Int?

    @Flag(
        help: """
            Execute the quanta of each arm's first run again, once for each further repeat and at least once: holds their \
            prices against medians over executions, and the machine against itself. Takes about twice as long.
            """)
    var again = false

    @Option(
        name: [.customLong("set")], parsing: .singleValue,
        help: ArgumentHelp("Set a field of the scenario; may be given again.", valueName: "field=value"))
    var settings: [String] = []

    @Option(name: .shortAndLong, help: "Where results go: FOLDER/validate-LOAD.h5.")
    var output = "results"

    @Flag(name: .shortAndLong, help: "Show no progress.")
    var quiet = false

    func run() throws {
        do {
            try compare()
        } catch {
            throw Failure(Failure.keepingState(of: error, beside: nil))
        }
    }

    private func compare() throws {
        var scenario = try Scenario(contentsOf: self.scenario)
        try ScenarioOptions.apply(settings, to: &scenario)
        if let repeats { try scenario.set("repeats", to: "\(repeats)", at: .option("--repeats")) }
        guard scenario.backend == Scenario.measuredBackend else {
            throw Failure(
                "field `backend`: found `\(scenario.backend)`, expected measured: this machine is measured, and held against "
                    + "the profile that --profile names", .usage)
        }
        let loads = try parsedLoads()
        let model = try ScenarioModel(of: scenario)
        let trace = try TraceFile.read(self.trace, for: model)
        if let warning = BLAS.narrowKernelWarning { Terminal.warn("alchemist-sim: \(warning)\n") }
        let created = Date().ISO8601Format()
        func results(of load: Double) throws -> ResultsWriter {
            try ResultsWriter(creating: "\(output)/validate-\(load.formatted(decimals: 2)).h5")
        }
        // Half an hour later is too late to learn that nothing can be written.
        for load in loads { _ = try results(of: load) }
        let (hardware, calibration) = try calibrated(scenario, model, date: created)
        let validation = try Validation(scenario: scenario, model: model, trace: trace, profile: hardware)
        let capacity = try validation.capacity()
        try Terminal.print(
            "\(hardware.origin.cpu), \(hardware.origin.kernel) kernels, \(hardware.origin.threads) threads; model "
                + "\(scenario.model); capacity \(capacity.formatted(decimals: 2)) requests/s\n\n")
        let line = ProgressLine(isShown: !quiet)
        let outcome = try validation.run(
            Validation.Plan(loads: loads, capacity: capacity, again: again, calibration: calibration),
            progress: line.show, shouldStop: { Interrupt.isRequested })
        line.clear()
        guard let outcome else { throw Self.interrupted }
        // The figures are still worth something when the files can not be written.
        for load in outcome.loads { try Terminal.print(load.markdown() + "\n") }
        for load in outcome.loads {
            let run = validation.result(
                of: load, by: outcome.profile, commandLine: CommandLine.arguments.joined(separator: " "),
                created: created)
            try results(of: load.load).write(run, report: try RunReport(run))
        }
    }

    /// The profile that runs estimate by, and the calibration that goes on from it; none from a profile that is given.
    private func calibrated(
        _ scenario: Scenario, _ model: ScenarioModel, date: String
    ) throws -> (HardwareProfile, (any ContinuedCalibration)?) {
        if let profile { return (try HardwareProfile(contentsOf: profile), nil) }
        let calibration = try MachineCalibration(scenario, model: model)
        let first = try calibration.run(date: date) { _ in if Interrupt.isRequested { throw Self.interrupted } }
        return (first, calibration.continued(from: first))
    }

    private static let interrupted = Failure("interrupted; nothing is written", .interrupted)

    private func parsedLoads() throws -> [Double] {
        let parsed = try loads.split(separator: ",", omittingEmptySubsequences: false).map { text in
            guard let load = Double(text), load.isFinite, load > 0, load <= 100 else {
                throw Failure("--loads \(loads): expected numbers above zero, separated by commas", .usage)
            }
            return load
        }
        guard Set(parsed.map { $0.formatted(decimals: 2) }).count == parsed.count else {
            throw Failure(
                "--loads \(loads): expected loads that differ in two decimals, which name their files", .usage)
        }
        return parsed
    }
}
