internal import Engine
internal import Simulator

extension Scenario {
    /// The scenario with the rank, alpha and targets of its adapter.
    ///
    /// - Throws: a `ScenarioError` for a field, of the scenario or of an arm, that says something else.
    func adopting(_ lora: LoRAConfig) throws(ScenarioError) -> Scenario {
        let tuning = Tuning.lora(
            rank: lora.rank, alpha: lora.alpha,
            targets: Simulator.Projection.allCases.filter { target in
                lora.targets.contains { $0.rawValue == target.rawValue }
            })
        var adopted = self
        adopted.base.training.tuning = tuning
        // In the order of the fields, so that the first conflict is always the same one.
        for field in ScenarioField.all {
            guard let origin = ScenarioField.adapterDecided.contains(field.path) ? origins[field.path] : nil else {
                continue
            }
            try Self.check(field, in: self, against: adopted, at: origin)
        }
        for arm in arms {
            var changed = adopted
            for setting in arm.settings {
                try changed.set(setting.path, to: setting.value, at: .arm(arm.name))
                for field in ScenarioField.all
                where field.path == setting.path && changed.base.training.tuning != tuning {
                    try Self.check(field, in: changed, against: adopted, at: .arm(arm.name))
                }
            }
        }
        return adopted
    }

    private static func check(
        _ field: ScenarioField, in stated: Scenario, against adopted: Scenario, at origin: ScenarioError.Origin
    ) throws(ScenarioError) {
        let found = field.value(in: stated)
        let expected = field.value(in: adopted)
        guard found != expected else { return }
        throw ScenarioError(
            origin: origin, field: field.path,
            problem: "found `\(found.safeExcerpt)`, expected \(expected), as \(ScenarioField.adapterPath) has it")
    }
}
