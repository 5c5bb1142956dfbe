/// A named tensor inside an arena of floats, row-major.
public struct Parameter: Sendable, Hashable {
    public let name: String
    /// [out, in] for a matrix, [width] for a gain or a bias.
    public let shape: [Int]
    /// Floats before it in the arena.
    public let offset: Int

    /// Floats held.
    public var count: Int { shape.reduce(1, *) }
    /// Its floats in the arena.
    public var range: Range<Int> { offset..<offset + count }
    /// Whether weight decay applies: to matrices, not to gains and biases.
    public var decays: Bool { shape.count > 1 }
}

/// The order, shapes and places of the tensors of an arena. Weights, gradients, optimizer and checkpoints all walk it.
public struct ParameterTable: Sendable, Hashable {
    public private(set) var parameters: [Parameter] = []
    /// Floats in all.
    public private(set) var count = 0
    /// Bytes of one copy.
    public var byteCount: Int { count * MemoryLayout<Float>.stride }

    public subscript(name: String) -> Parameter? { parameters.first { $0.name == name } }

    /// Adds a tensor behind the others; returns its offset.
    @discardableResult
    mutating func append(_ name: String, _ shape: [Int]) -> Int {
        let parameter = Parameter(name: name, shape: shape, offset: count)
        parameters.append(parameter)
        count += parameter.count
        return parameter.offset
    }
}

/// Where each tensor of a model lies.
struct WeightsLayout {
    /// Offsets of one layer's tensors.
    struct Layer {
        var attentionNorm = 0
        var projection = 0
        var bias: Int?
        var output = 0
        var mlpNorm = 0
        var gateUp = 0
        var down = 0
    }

    private(set) var table = ParameterTable()
    private(set) var layers: [Layer] = []
    let embedding: Int
    let finalNorm: Int
    /// Offset of the head [vocabulary, hidden]: the embedding's when tied.
    let head: Int

    init(_ config: ModelConfig) {
        let h = config.hidden
        embedding = table.append("embedding", [config.vocabulary, h])
        for index in 0..<config.layers {
            var layer = Layer()
            let prefix = "layers.\(index)."
            layer.attentionNorm = table.append(prefix + "attention_norm", [h])
            layer.projection = table.append(prefix + "qkv", [config.projectedWidth, h])
            if config.qkvBias { layer.bias = table.append(prefix + "qkv_bias", [config.projectedWidth]) }
            layer.output = table.append(prefix + "o", [h, config.queryWidth])
            layer.mlpNorm = table.append(prefix + "mlp_norm", [h])
            layer.gateUp = table.append(prefix + "gate_up", [2 * config.intermediate, h])
            layer.down = table.append(prefix + "down", [h, config.intermediate])
            layers.append(layer)
        }
        finalNorm = table.append("final_norm", [h])
        head = config.tiedHead ? embedding : table.append("head", [config.vocabulary, h])
    }
}

/// One layer's tensors in an arena laid out like the weights: the weights themselves, or their gradients.
struct LayerTensors {
    let attentionNorm: UnsafeMutablePointer<Float>
    /// [projectedWidth, hidden]: q, k, v.
    let projection: Matrix
    /// Its rows of q.
    let queries: Matrix
    /// Its rows of k and v.
    let keysAndValues: Matrix
    let bias: UnsafeMutablePointer<Float>?
    /// [hidden, queryWidth]
    let output: Matrix
    let mlpNorm: UnsafeMutablePointer<Float>
    /// [2 intermediate, hidden]: gate, up.
    let gateUp: Matrix
    /// [hidden, intermediate]
    let down: Matrix

    init(_ config: ModelConfig, _ layout: WeightsLayout.Layer, base: UnsafeMutablePointer<Float>) {
        let h = config.hidden
        attentionNorm = base + layout.attentionNorm
        projection = Matrix(base + layout.projection, rows: config.projectedWidth, columns: h)
        queries = projection.rows(from: 0, count: config.queryWidth)
        keysAndValues = projection.rows(from: config.queryWidth, count: 2 * config.keyWidth)
        bias = layout.bias.map { base + $0 }
        output = Matrix(base + layout.output, rows: h, columns: config.queryWidth)
        mlpNorm = base + layout.mlpNorm
        gateUp = Matrix(base + layout.gateUp, rows: 2 * config.intermediate, columns: h)
        down = Matrix(base + layout.down, rows: h, columns: config.intermediate)
    }
}
