internal import Foundation

/// All parameters of a model in one buffer.
public final class Weights {
    public let config: ModelConfig
    /// The buffer's tensors.
    public var table: ParameterTable { layout.table }
    /// The parameters, laid out as `table` says.
    public let buffer: FloatBuffer
    /// Bytes held.
    public var byteCount: Int { buffer.byteCount }

    let layout: WeightsLayout

    /// Normal values of deviation 0.02, the projections into the residual stream divided by sqrt(2 layers) (GPT-2's
    /// rule, so that its variance does not grow with depth), gains 1, biases 0. Each tensor has its own random stream.
    public convenience init(_ config: ModelConfig, seed: UInt64, pool: ThreadPool? = nil) {
        self.init(zeros: config)
        let residual = 0.02 / (2 * Double(config.layers)).squareRoot()
        for parameter in table.parameters {
            let floats = UnsafeMutableBufferPointer(rebasing: buffer.floats[parameter.range])
            if parameter.name.hasSuffix("norm") {
                floats.update(repeating: 1)
            } else if parameter.shape.count > 1 {
                let intoResidual = parameter.name.hasSuffix(".o") || parameter.name.hasSuffix(".down")
                NormalStream(seed: seed, name: parameter.name)
                    .fill(floats, deviation: intoResidual ? residual : 0.02, pool: pool)
            }
        }
    }

    /// All zero: the other half of a double buffer, or room for a checkpoint.
    public init(zeros config: ModelConfig) {
        precondition(config.problems.isEmpty, config.problems.joined(separator: "; "))
        self.config = config
        layout = WeightsLayout(config)
        buffer = FloatBuffer(count: layout.table.count)
    }

    /// Copies all parameters of a model of the same sizes.
    public func copy(from other: Weights) {
        precondition(other.table == table, "the models differ in their parameters")
        buffer.copy(from: other.buffer)
    }

    /// Bytes of one copy of the parameters.
    public static func byteCount(_ config: ModelConfig) -> Int { WeightsLayout(config).table.byteCount }

    /// [vocabulary, hidden]
    var embedding: Matrix {
        Matrix(buffer.base + layout.embedding, rows: config.vocabulary, columns: config.hidden)
    }
    /// [vocabulary, hidden]; the embedding when tied.
    var head: Matrix { Matrix(buffer.base + layout.head, rows: config.vocabulary, columns: config.hidden) }
    var finalNorm: UnsafeMutablePointer<Float> { buffer.base + layout.finalNorm }

    func layer(_ index: Int) -> LayerTensors { LayerTensors(config, layout.layers[index], base: buffer.base) }
}

/// What a forward pass computes with: frozen or served weights, and adapters on top when tuning is by LoRA.
public struct ModelParameters {
    public var weights: Weights
    public var adapters: Adapters?

    public init(_ weights: Weights, adapters: Adapters? = nil) {
        self.weights = weights
        self.adapters = adapters
    }
}
