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

    private let start: StartingModel
    private let pool: ThreadPool
    private var contexts: [Key: EngineContext] = [:]

    init(_ start: StartingModel, pool: ThreadPool) {
        self.start = start
        self.pool = pool
    }

    func context(for arm: ArmConfiguration) throws -> EngineContext {
        let key = Key(
            tuning: arm.training.tuning, tokenBudget: arm.serving.tokenBudget, maxBatch: arm.serving.maxBatch)
        if let context = contexts[key] { return context }
        let context = try EngineContext(start, pool: pool, training: arm.training, serving: arm.serving)
        contexts[key] = context
        return context
    }
}
