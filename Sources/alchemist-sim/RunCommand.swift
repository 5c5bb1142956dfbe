import AlchemistSim
import ArgumentParser
import Engine
import Foundation
import Results
import Simulator

struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Serves a trace and learns from its feedback, arm beside arm.",
        discussion: """
            EXAMPLES
              alchemist-sim run traces/sample.jsonl
              alchemist-sim run traces/sample.jsonl --arms recompute,reuse --repeats 5 -o results/speedup.h5
              alchemist-sim run my.jsonl --set model=micro --set training.tuning=full --json
              alchemist-sim run my.jsonl --scenario experiments/effect.yaml

            Exit codes: 0 done, 64 usage, 65 bad data or diverged training, 70 a broken law, 74 input or output, \
            75 a simulated resource is too small, 130 interrupted.
            """)

    @Argument(help: "A trace in JSON lines; docs/traces.md describes the format.")
    var trace: String

    @OptionGroup var settings: ScenarioOptions

    @Option(name: .shortAndLong, help: "Where the HDF5 results go. (default: results/<name of the trace>.h5)")
    var output: String?

    @Option(help: "Take the durations of an earlier run from its results, and its scenario unless one is given.")
    var replay: String?

    @Option(help: "What a replay does with a plan that was not recorded: error, or price it.")
    var replayMissing = ReplayMissing.error

    @Option(
        help: """
            The profile of this machine that measured runs estimate and plan by; measured briefly first if there is none.
            """)
    var profile: String?

    @Flag(help: "Print one JSON object instead of the table.")
    var json = false

    @Flag(name: .shortAndLong, help: "Show no progress.")
    var quiet = false

    func run() throws {
        do {
            try runExperiment()
        } catch {
            throw Failure(error)
        }
    }

    private func runExperiment() throws {
        let start = Date()
        let recording = try replay.map { try Recording(contentsOf: $0) }
        let scenario = try settings.resolved(over: recording?.scenario ?? Scenario())
        let model = try ScenarioModel(of: scenario)
        let trace = try TraceFile.read(self.trace, for: model)
        var experiment = try Experiment(
            scenario: scenario, model: model, trace: trace, replaying: recording,
            pricesMissing: replayMissing == .price)
        if let profile { experiment = try experiment.estimating(by: try HardwareProfile(contentsOf: profile)) }
        let target = output ?? defaultOutput
        try OutputGuard.check(target, against: [self.trace, replay, profile, settings.scenario])
        let writer = try ResultsWriter(creating: target)
        SuddenEnd.results(are: target)
        if experiment.runsEngine, let warning = BLAS.narrowKernelWarning {
            Terminal.warn("alchemist-sim: \(warning)\n")
        }
        let line = ProgressLine(isShown: !quiet)
        let result: RunResult
        let failure: (any Error)?
        do {
            (result, failure) = try experiment.run(
                commandLine: CommandLine.arguments.joined(separator: " "), created: Date().ISO8601Format(),
                progress: line.show, shouldStop: { Interrupt.isRequested })
            line.clear()
        } catch {
            line.clear()
            throw Failure.keepingState(of: error, beside: target)
        }
        if let failure, result.arms.allSatisfy(\.repeats.isEmpty) {
            throw Failure.keepingState(of: failure, beside: target)
        }
        let report = try RunReport(result)
        let text = json ? String(decoding: try report.json(), as: UTF8.self) + "\n" : report.table() + "\n"
        do {
            try writer.write(result, report: report)
        } catch {
            // The figures are still worth something when the file can not be written.
            try Terminal.print(text)
            throw error
        }
        let effort =
            "took \(Date().timeIntervalSince(start).formatted(decimals: 1)) s and \(Machine.peakMemory) of memory"
        try Terminal.print(
            text + (json ? "" : "written to \(target); \(kernelNote(result.provenance)); \(effort)\n"))
        if let failure {
            if result.arms.contains(where: { !$0.repeats.isEmpty }) {
                Terminal.warn("alchemist-sim: what was finished before is in \(target)\n")
            }
            throw Failure.keepingState(of: failure, beside: target)
        }
        if result.status == .interrupted {
            throw Failure("interrupted; what was done is in \(target), marked so", .interrupted)
        }
    }

    private func kernelNote(_ provenance: Provenance) -> String {
        let choice = provenance.blasKernelChoice.isEmpty ? "" : " (\(provenance.blasKernelChoice))"
        return "BLAS kernels: \(provenance.blasKernel)\(choice), threads: \(provenance.threads)"
    }

    private var defaultOutput: String {
        let name = URL(fileURLWithPath: trace).deletingPathExtension().lastPathComponent
        return "results/\(name).h5"
    }
}

/// Options that make a scenario.
struct ScenarioOptions: ParsableArguments {
    @Option(name: .shortAndLong, help: "A scenario in YAML; docs/scenario.md lists its fields.")
    var scenario: String?

    @Option(
        name: [.customLong("set")], parsing: .singleValue,
        help: ArgumentHelp(
            "Set a field of the scenario, or arms.NAME.field of one of its arms; may be given again.",
            valueName: "field=value"))
    var settings: [String] = []

    @Option(
        help: "Arms to run, by name: serve-only, recompute, reuse, separate, shared-prompt, or the scenario's.")
    var arms: String?

    @Option(help: "Seed of weights, feedback and synthesised tokens.")
    var seed: Int?

    @Option(help: "Runs of every arm, interleaved; the table shows medians.")
    var repeats: Int?

    /// Defaults, then the file, then the options.
    ///
    /// - Parameter defaults: what a file replaces.
    func resolved(over defaults: Scenario = Scenario()) throws -> Scenario {
        var scenario = try self.scenario.map { try Scenario(contentsOf: $0) } ?? defaults
        let (own, common) = try Self.split(settings)
        try Self.set(common, in: &scenario)
        if let seed { try scenario.set("seed", to: "\(seed)", at: .option("--seed")) }
        if let repeats { try scenario.set("repeats", to: "\(repeats)", at: .option("--repeats")) }
        if let arms {
            try scenario.selectArms(arms.split(separator: ",").map(String.init), at: .option("--arms"))
        }
        // The arms' own fields, of those that are there now.
        try Self.set(own, in: &scenario)
        for setting in common { try scenario.requireEffect(of: setting.field, at: .option("--set")) }
        return scenario
    }

    /// Sets what `--set` says.
    static func apply(_ settings: [String], to scenario: inout Scenario) throws {
        let (own, common) = try split(settings)
        try set(common + own, in: &scenario)
        for setting in common { try scenario.requireEffect(of: setting.field, at: .option("--set")) }
    }

    private static func set(_ settings: [(field: String, value: String)], in scenario: inout Scenario) throws {
        for setting in settings { try scenario.set(setting.field, to: setting.value, at: .option("--set")) }
    }

    /// What `--set` says, of arms' own fields and of those that arms start from.
    private static func split(
        _ settings: [String]
    ) throws -> (own: [(field: String, value: String)], common: [(field: String, value: String)]) {
        let parts = try settings.map { setting in
            let parts = setting.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2 else { throw Failure("--set \(setting): expected field=value", .usage) }
            return (field: parts[0], value: parts[1])
        }
        return (parts.filter { $0.field.hasPrefix("arms.") }, parts.filter { !$0.field.hasPrefix("arms.") })
    }
}

/// What a replay does with a plan that was not recorded.
enum ReplayMissing: String, ExpressibleByArgument, CaseIterable {
    case error, price
}
