internal import Engine
public import Simulator

/// Plans what serving records for one arm of a scenario, and sets the fixed plans beside it.
public struct RecordPlanning {
    private let scenario: Scenario
    private let model: ScenarioModel
    private let hardware: Hardware
    private let arm: ArmConfiguration

    /// - Parameters:
    ///   - arm: the name of an arm that reuses records.
    ///   - hardware: what the work is priced on.
    public init(
        _ scenario: Scenario, arm name: String, model: ScenarioModel, hardware: Hardware
    ) throws(ExperimentError) {
        let scenario = try model.adopted(by: scenario).adopting(hardware)
        let known = scenario.arms.map(\.name)
        guard let arm = scenario.arms.first(where: { $0.name == name }) ?? ArmSpecification.standard(named: name) else {
            throw .scenario(
                ScenarioError(
                    origin: .arm(name), field: "arms",
                    problem: "there is no such arm, expected \(known.joined(separator: ", "))"))
        }
        do { self.arm = try scenario.configuration(of: arm) } catch { throw .scenario(error) }
        guard self.arm.training.enabled, self.arm.training.reuse, self.arm.recording.scope != .none else {
            throw .scenario(
                ScenarioError(
                    origin: .arm(name), field: "recording.record",
                    problem: "the arm records nothing that it trains on, expected one with training.reuse"))
        }
        self.scenario = scenario
        self.model = model
        self.hardware = hardware
    }

    /// An amount of memory, as an option gives it.
    public static func bytes(_ text: String, option: String) throws(ScenarioError) -> Bytes {
        do { return try Quantity.bytes(text) } catch {
            throw ScenarioError(
                origin: .option(option), field: nil, problem: "found `\(text.safeExcerpt)`, expected \(error.expected)")
        }
    }

    /// Samples of one length.
    ///
    /// - Parameters:
    ///   - tokens: of an answer with its prompt.
    ///   - p: the share of them that is recorded.
    public func workload(tokens: Int, p: Double) -> PlannedWorkload {
        let kind = arm.training.objective.kind
        let answers =
            switch kind {
            case .sft: 1
            case .dpo: 2
            case .group: arm.feedback.groupSize
            }
        return PlannedWorkload(
            tokens: tokens, p: p, updateEvery: arm.training.updateEvery, objective: kind, answers: answers)
    }

    /// What a trace's requests ask of the planner; nil if none of them gets feedback.
    public func workload(of trace: Trace) -> PlannedWorkload? { PlannedWorkload(of: trace, arm) }

    /// - Parameters:
    ///   - recordMemory: bytes for records; nil for what the arm's device or host has.
    public func report(for workload: PlannedWorkload, recordMemory: Bytes? = nil) throws(ExperimentError)
        -> RecordPlanReport
    {
        let planning = SavePlanning(
            model: model.config, hardware: hardware, threads: hardware.machine?.origin.threads ?? 1)
        let request = Request(
            id: "typical", arrival: .zero, promptTokens: workload.promptTokens, outputTokens: workload.responseTokens)
        guard workload.tokens + 1 <= model.config.maxContext else {
            throw .scenario(
                ScenarioError(
                    origin: .arm("plan"), field: "tokens",
                    problem: "found a sample of \(workload.tokens) tokens, expected fewer than the model's context, "
                        + "\(model.config.maxContext)"))
        }
        let memory =
            recordMemory ?? planning.recordMemory(of: arm, Trace(source: "plan", requests: [request]))
        let planner = planning.planner(for: arm, workload, recordMemory: memory)
        return RecordPlanReport(
            planner, workload, recordMemory: memory, scenario: scenario, arm: arm,
            samples: SavePlanning.samples(of: arm, workload))
    }
}
