internal import Simulator

extension Scenario {
    /// Finds settings that make no sense together.
    static func check(_ arm: ArmConfiguration, at origin: ScenarioError.Origin) throws(ScenarioError) {
        func mistake(_ field: String, _ problem: String) -> ScenarioError {
            ScenarioError(origin: origin, field: field, problem: problem)
        }
        guard arm.training.enabled else { return }
        if arm.training.placement == .separate {
            guard !arm.training.reuse else {
                throw mistake(
                    "training.reuse",
                    "found `true`, expected false with training.placement separate: records stay on the server's device"
                )
            }
            guard arm.recording.scope == .none else {
                throw mistake(
                    "recording.record",
                    "found `\(arm.recording.scope.rawValue)`, expected none, because a separate "
                        + "trainer reads no records")
            }
        }
        if arm.training.offloadsActivations {
            guard arm.training.placement == .colocated else {
                throw mistake(
                    "training.offload_activations",
                    "found `true`, expected false with training.placement separate: the host and its link are the "
                        + "server's device's")
            }
            guard arm.recording.scope == .none else {
                throw mistake(
                    "training.offload_activations",
                    "found `true`, expected false with recording.record `\(arm.recording.scope.rawValue)`: the host is "
                        + "the records' where there are any")
            }
        }
        if arm.training.sharing == .slo, arm.training.placement == .colocated {
            guard arm.serving.ttftObjective > .zero || arm.serving.tbtObjective > .zero else {
                throw mistake(
                    "training.sharing",
                    "found `slo`, expected serving.tbt_objective or serving.ttft_objective to be set with it")
            }
        }
    }
}
