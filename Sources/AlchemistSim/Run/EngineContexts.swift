internal import Engine
internal import MeasuredBackend
internal import Simulator

/// One warmed-up engine for all arms; what quanta are expected to cost is measured once for each way of training.
struct EngineContexts {
    private let contexts: [Tuning: EngineContext]
    private let fallback: EngineContext

    init(_ model: ModelConfig, pool: ThreadPool, arms: [ArmConfiguration]) throws {
        var contexts: [Tuning: EngineContext] = [:]
        for arm in arms where contexts[arm.training.tuning] == nil {
            contexts[arm.training.tuning] = try EngineContext(
                model, pool: pool, training: arm.training, tokenBudget: arm.serving.tokenBudget)
        }
        self.contexts = contexts
        fallback =
            try contexts.values.first
            ?? EngineContext(model, pool: pool, training: TrainingConfiguration(), tokenBudget: 64)
    }

    func context(for arm: ArmConfiguration) -> EngineContext { contexts[arm.training.tuning] ?? fallback }
}
