public import Engine
public import Simulator

extension ModelShape {
    /// The simulator's view of an engine's model.
    public init(_ config: ModelConfig) {
        self.init(
            name: config.name, layers: config.layers, hidden: config.hidden, heads: config.heads,
            kvHeads: config.kvHeads, headSize: config.headSize, intermediate: config.intermediate,
            vocabulary: config.vocabulary, maxContext: config.maxContext, tiedHead: config.tiedHead,
            qkvBias: config.qkvBias)
    }
}

extension Engine.SavePlan {
    /// The engine's form of the simulator's save plan.
    public init(_ plan: Simulator.SavePlan) {
        switch plan {
        case .full: self = .full
        case .lean: self = .lean
        case .boundary: self = .boundary
        }
    }
}

extension NarrowPrecision {
    /// What values are rounded to; nil where they stay as they are.
    init?(_ precision: PiecePrecision) {
        switch precision {
        case .own, .fp32: return nil
        case .bf16: self = .bf16
        case .int8: self = .int8
        }
    }
}

extension PassPlan {
    /// The engine's form of the simulator's save plans, for a model of `layers` layers.
    public init(_ plans: SavePlans, layers: Int) {
        self.init(
            own: Engine.SavePlan(plans.own), keepsDerived: plans.checkpointing == .none,
            recorded: (0..<layers).map { Engine.SavePlan(plans.recorded[$0]) })
    }
}

extension PassRows {
    /// The rows of a micro-batch in numbers.
    public init(_ microBatch: MicroBatch) {
        self.init(
            fresh: microBatch.freshRows, freshLoss: microBatch.freshLossRows,
            recorded: microBatch.rows - microBatch.freshRows,
            recordedLoss: microBatch.lossRows - microBatch.freshLossRows)
    }
}

extension TuningMode {
    /// The engine's form of the simulator's tuning mode.
    public init(_ tuning: Tuning) {
        switch tuning {
        case .full: self = .full
        case .lora(let rank, let alpha, let targets):
            let projections = targets.compactMap { Engine.Projection(rawValue: $0.rawValue) }
            self = .lora(LoRAConfig(rank: rank, alpha: alpha, targets: Set(projections)))
        }
    }
}
