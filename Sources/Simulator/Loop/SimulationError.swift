/// Why a simulation can not go on.
public enum SimulationError: Error, Sendable, Equatable, CustomStringConvertible {
    /// A tier can not hold what a run needs at least.
    case tooLittleMemory(tier: MemoryTier, needed: Bytes, available: Bytes, purpose: String)
    /// The model has more layers than records are kept of.
    case tooManyLayers(Int, most: Int)
    /// Training left the range of numbers: the loss or the gradient is not finite.
    case diverged(step: Int, loss: Double, gradientNorm: Double)
    /// A law that every run keeps was broken: a bug of the simulator, with the state it was found in.
    case brokenLaw(String)

    public var description: String {
        switch self {
        case .tooLittleMemory(let tier, let needed, let available, let purpose):
            "the \(tier.name) has \(available) but \(purpose) needs \(needed)"
        case .tooManyLayers(let layers, let most): "the model has \(layers) layers, records take at most \(most)"
        case .diverged(let step, let loss, let norm):
            "training diverged in step \(step), with a loss of \(loss) and a gradient of norm \(norm): lower "
                + "training.learning_rate"
        case .brokenLaw(let law): "broken law: \(law)"
        }
    }
}
