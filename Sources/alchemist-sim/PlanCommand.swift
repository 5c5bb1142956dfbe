import AlchemistSim
import ArgumentParser
import Engine
import Foundation
import Simulator

struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Finds what serving should record of each layer, for a model, hardware, memory and link.",
        discussion: """
            Prices a typical training step under every save plan and finds, exactly, the plan of each layer that trains \
            fastest within what memory and the link can carry. The fixed plans stand beside it. Requests are described \
            by a trace or by --tokens and --recorded. On the measured backend this machine is measured first, unless a \
            profile of it is given.

            EXAMPLES
              alchemist-sim plan --tokens 2048 --recorded 0.9 --set backend=a100-80g --set model=llama-3-8b
              alchemist-sim plan traces/sample.jsonl --scenario experiments/sample.yaml --json
              alchemist-sim plan my.jsonl --set device.link_bandwidth=4GB/s --set device.host_memory=64GiB --all
            """)

    @Argument(help: "A trace in JSON lines whose mean sample, rate and feedback are planned for.")
    var trace: String?

    @OptionGroup var settings: ScenarioOptions

    @Option(help: "Tokens of the typical sample, of pairs and groups with one of the answers, without a trace.")
    var tokens: Int?

    @Option(help: "Share of its tokens that are recorded, without a trace.")
    var recorded: Double?

    @Option(help: "Recorded tokens held at the same time. (default: by the trace, or those of one step)")
    var heldTokens: Double?

    @Option(
        help: "Recorded tokens that serving makes in a second. (default: by the trace, or as many as the link takes)")
    var recordedRate: Double?

    @Option(help: "Memory for records, as 40GiB. (default: what device or host have)")
    var recordMemory: String?

    @Option(help: "The arm whose settings count.")
    var arm = ArmSpecification.reuse.name

    @Option(help: "The profile of this machine, for the measured backend.")
    var profile: String?

    @Flag(help: "Show every plan that no other beats in both bytes and time.")
    var all = false

    @Flag(help: "Print one JSON object instead of the table.")
    var json = false

    func validate() throws {
        guard (trace == nil) == (tokens != nil && recorded != nil), trace == nil || (tokens == nil && recorded == nil)
        else { throw ValidationError("Give a trace, or --tokens and --recorded.") }
        if let tokens, !(2...10_000_000).contains(tokens) {
            throw ValidationError("--tokens \(tokens): expected a whole number from 2 to 10000000.")
        }
        if let recorded, !(recorded > 0 && recorded < 1) {
            throw ValidationError("--recorded \(recorded): expected a share above 0 and below 1.")
        }
        for (name, value) in [("--held-tokens", heldTokens), ("--recorded-rate", recordedRate)] {
            if let value, !(value > 0 && value.isFinite) {
                throw ValidationError("\(name) \(value): expected a number above zero.")
            }
        }
    }

    func run() throws {
        do {
            Interrupt.endAtOnce()
            let memory = try recordMemory.map { try RecordPlanning.bytes($0, option: "--record-memory") }
            let scenario = try settings.resolved(over: Scenario())
            let model = try ScenarioModel(of: scenario)
            let planning = try RecordPlanning(
                scenario, arm: arm, model: model, hardware: try hardware(scenario, model))
            var workload = try workload(planning, model)
            if let heldTokens { workload.heldTokens = heldTokens }
            if let recordedRate { workload.recordedTokensPerSecond = recordedRate }
            let report = try planning.report(for: workload, recordMemory: memory)
            try Terminal.print(json ? report.json(showsAll: all) : report.table(showsAll: all))
        } catch {
            throw Failure(error)
        }
    }

    private func workload(_ planning: RecordPlanning, _ model: ScenarioModel) throws -> PlannedWorkload {
        if let tokens, let recorded {
            return planning.workload(tokens: tokens, p: recorded)
        }
        let path = trace ?? ""
        guard let workload = planning.workload(of: try TraceFile.read(path, for: model)) else {
            throw Failure("\(path): no request gets feedback, so there is nothing to plan for", .badData)
        }
        return workload
    }

    private func hardware(_ scenario: Scenario, _ model: ScenarioModel) throws -> Hardware {
        guard scenario.backend == Scenario.measuredBackend else {
            guard profile == nil else {
                throw Failure(
                    "--profile: it is for the measured backend, and \(scenario.backend) has prices of its own: leave it out, "
                        + "or set `backend` to \(Scenario.measuredBackend)", .usage)
            }
            do { return try Hardware(named: scenario.backend, scenario.hardware) } catch {
                throw scenario.mistake(ofBackend: error) ?? error
            }
        }
        if let profile { return .machine(try HardwareProfile(contentsOf: profile)) }
        return .machine(try MachineCalibration(scenario, model: model).run(date: Date().ISO8601Format()))
    }
}
