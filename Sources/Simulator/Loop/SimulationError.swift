/// Why a simulation can not go on.
public enum SimulationError: Error, Sendable, Equatable, CustomStringConvertible {
    /// A tier can not hold what a run needs at least.
    case tooLittleMemory(tier: MemoryTier, needed: Bytes, available: Bytes, purpose: String)
    /// What KV blocks may take holds not even one.
    case tooLittleBlockMemory(allowed: Bytes, block: Bytes)
    /// The model has more layers than records are kept of.
    case tooManyLayers(Int, most: Int)
    /// Training left the range of numbers: the loss or the gradient is not finite.
    case diverged(step: Int, loss: Double, gradientNorm: Double)
    /// A law that every run keeps was broken: a bug of the simulator, with the state it was found in.
    case brokenLaw(String)

    /// Whether the simulated memory is too small.
    public var isLackOfMemory: Bool {
        switch self {
        case .tooLittleMemory, .tooLittleBlockMemory: true
        case .tooManyLayers, .diverged, .brokenLaw: false
        }
    }

    public var description: String {
        switch self {
        case .tooLittleMemory(let tier, let needed, let available, let purpose):
            "the \(tier.name) has \(available) but \(purpose) needs \(needed)"
        case .tooLittleBlockMemory(let allowed, let block):
            "serving.kv_memory leaves \(allowed) for KV blocks but one block (serving.kv_block_tokens) needs \(block)"
        case .tooManyLayers(let layers, let most): "the model has \(layers) layers, records take at most \(most)"
        case .diverged(let step, let loss, let norm):
            "training diverged in step \(step), with a loss of \(loss) and a gradient of norm \(norm): lower "
                + "training.learning_rate"
        case .brokenLaw(let law): "broken law: \(law)"
        }
    }
}
