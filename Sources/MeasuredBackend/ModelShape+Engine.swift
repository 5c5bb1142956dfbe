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
