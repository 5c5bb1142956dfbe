internal import Engine
internal import MeasuredBackend
internal import Simulator

/// Warmed-up engines for arms that run in turn. Arms share one when they train in the same way and serve in iterations
/// of the same size; then the same quanta are expected to cost the same in each.
final class EngineContexts {
    private struct Key: Hashable {
        var tuning: Tuning
        var tokenBudget: Int
        var maxBatch: Int
    }

    private let model: ModelConfig
    private let pool: ThreadPool
    private var contexts: [Key: EngineContext] = [:]

    init(_ model: ModelConfig, pool: ThreadPool) {
        self.model = model
        self.pool = pool
    }

    func context(for arm: ArmConfiguration) throws -> EngineContext {
        let key = Key(
            tuning: arm.training.tuning, tokenBudget: arm.serving.tokenBudget, maxBatch: arm.serving.maxBatch)
        if let context = contexts[key] { return context }
        let context = try EngineContext(model, pool: pool, training: arm.training, serving: arm.serving)
        contexts[key] = context
        return context
    }
}
