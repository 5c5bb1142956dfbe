import Engine
import Testing

/// Every objective with every tuning mode and every checkpointing, recomputed and on what serving recorded: all of them have
/// PyTorch's loss and gradients in float64, and reuse has those of recomputing.
@Suite("Every objective, tuning mode and checkpointing against PyTorch in float64")
struct GoldenTableTests {
    enum Objective: String, CaseIterable, Sendable { case sft, dpo, group }
    enum Tuning: String, CaseIterable, Sendable { case lora, full }
    enum Checkpointing: String, CaseIterable, Sendable {
        case none, selective, full

        /// What the trainer keeps of tokens that it runs itself; of recorded ones everything, or what the plan keeps.
        func plan(_ recorded: SavePlan, layers: Int) -> PassPlan {
            let kept = [SavePlan](repeating: recorded, count: layers)
            return switch self {
            case .none: PassPlan(keepsDerived: true, recorded: kept)
            case .selective: PassPlan(recorded: kept)
            case .full: PassPlan(own: .boundary, recorded: kept)
            }
        }
    }

    let pool = ThreadPool(width: 2)

    /// The cases of PyTorch of an objective and a tuning mode.
    private func goldens(
        _ objective: Objective, _ tuning: Tuning
    ) throws -> [(golden: (description: GoldenFile.Case, values: [String: [Float]]), command: String)] {
        let file = try GoldenFile(objective == .sft ? "transformer" : "objectives")
        return file.cases.filter { golden in
            (golden.description.objective?.kind ?? "sft") == objective.rawValue
                && (golden.description.lora == nil) == (tuning == .full)
        }.map { ($0, file.command) }
    }

    @Test(
        "loss and every gradient", arguments: Objective.allCases.flatMap { a in Tuning.allCases.map { (a, $0) } },
        Checkpointing.allCases)
    func cell(_ learning: (objective: Objective, tuning: Tuning), _ checkpointing: Checkpointing) throws {
        let cases = try goldens(learning.objective, learning.tuning)
        try #require(!cases.isEmpty, "no golden values of \(learning.objective), \(learning.tuning)")
        for (golden, command) in cases {
            let pass = GoldenPass(golden.description, pool: pool)
            let text = "\(golden.description.title), \(checkpointing); if it changed on purpose, run: \(command)"
            for record in SavePlan.allCases {
                let plan = checkpointing.plan(record, layers: golden.description.config.layers)
                let recomputed = try pass.run(.plain, plan, unit: 7)
                try recomputed.expect(golden, "recomputed, \(text)")
                let reused = try pass.run(.recorded, plan, unit: 7)
                #expect(reused.freshTokens < reused.tokens && recomputed.freshTokens == recomputed.tokens)
                try reused.expect(golden, "reused, \(record) records, \(text)")
                // The law: the two of them against each other.
                #expect(abs(reused.loss - recomputed.loss) <= 1e-5 * abs(recomputed.loss), "\(text)")
                for parameter in recomputed.gradients.table.parameters {
                    expectClose(
                        reused.gradients.buffer.floats[parameter.range],
                        recomputed.gradients.buffer.floats[parameter.range], within: 1e-5,
                        floor: 1e-6 * recomputed.norm, "\(parameter.name), \(record) records, \(text)")
                }
            }
        }
    }
}
