/// Gradients of everything a tuning mode trains, in the order of its table.
public final class GradientBuffer {
    public let config: ModelConfig
    public let tuning: TuningMode
    public let table: ParameterTable
    /// The gradients, laid out as `table` says.
    public let buffer: FloatBuffer
    /// Bytes held.
    public var byteCount: Int { buffer.byteCount }

    let weights: WeightsLayout?
    private let adapterLayers: [LayerAdapters]
    private let squares: UnsafeMutableBufferPointer<Double>

    /// All zero.
    public init(_ config: ModelConfig, _ tuning: TuningMode) {
        self.config = config
        self.tuning = tuning
        table = tuning.table(for: config)
        buffer = FloatBuffer(count: table.count)
        squares = .allocate(capacity: AdamW.normBlocks(table.count))
        switch tuning {
        case .full:
            weights = WeightsLayout(config)
            adapterLayers = []
        case .lora(let lora):
            weights = nil
            adapterLayers = AdaptersLayout(config, lora).views(config, lora, base: buffer.base)
        }
    }

    deinit { squares.deallocate() }

    /// Bytes of the gradients, of each moment of the optimizer, and of what a step publishes.
    public static func byteCount(_ config: ModelConfig, _ tuning: TuningMode) -> Int {
        tuning.table(for: config).byteCount
    }

    /// Back to zero, before the first micro-batch of a step.
    public func clear() { buffer.clear() }

    /// One tensor's gradient; nil for a name that is not trained.
    public subscript(name: String) -> UnsafeMutableBufferPointer<Float>? {
        table[name].map { UnsafeMutableBufferPointer(rebasing: buffer.floats[$0.range]) }
    }

    /// The global L2 norm.
    public func norm(pool: ThreadPool) -> Double {
        AdamW.squaredNorm(UnsafeBufferPointer(buffer.floats), partial: squares, pool: pool).squareRoot()
    }

    func weightGradients(_ layer: Int) -> LayerTensors? {
        weights.map { LayerTensors(config, $0.layers[layer], base: buffer.base) }
    }

    func adapterGradients(_ layer: Int) -> LayerAdapters? {
        adapterLayers.isEmpty ? nil : adapterLayers[layer]
    }
}

/// AdamW's running moments of everything a tuning mode trains.
public final class OptimizerState {
    public let table: ParameterTable
    /// Mean of the gradient.
    public let first: FloatBuffer
    /// Mean of the squared gradient.
    public let second: FloatBuffer
    /// Steps begun.
    public private(set) var steps: Int
    /// Bytes of both moments.
    public var byteCount: Int { first.byteCount + second.byteCount }

    /// Zero moments; `steps` for a state that is restored.
    public init(_ table: ParameterTable, steps: Int = 0) {
        self.table = table
        self.steps = steps
        first = FloatBuffer(count: table.count)
        second = FloatBuffer(count: table.count)
    }

    /// Bytes of both moments.
    public static func byteCount(_ config: ModelConfig, _ tuning: TuningMode) -> Int {
        2 * tuning.table(for: config).byteCount
    }

    /// Begins the next step; its parameter ranges are then updated by `AdamW.step`.
    public func beginStep() { steps += 1 }
}

extension AdamW {
    /// Updates the floats `range` of the trained parameters within the step that `state` has begun.
    ///
    /// A step covers every float once, in ranges of any size and order. New values go to `target`, which may be
    /// `source`, or the other half of a double buffer while serving reads `source`. `gradientScale` is
    /// `gradientScale(norm:)` of the whole gradient.
    public func step(
        _ range: Range<Int>, state: OptimizerState, gradients: GradientBuffer, from source: FloatBuffer,
        to target: FloatBuffer, learningRate: Double, gradientScale: Double = 1, pool: ThreadPool
    ) {
        precondition(state.steps > 0, "call beginStep first")
        precondition(
            state.table == gradients.table && source.count == state.table.count && target.count == source.count,
            "gradients, moments and parameters must share one table")
        precondition(range.upperBound <= source.count, "the range ends beyond the parameters")
        for decays in [true, false] {
            let coefficients = Coefficients(
                self, step: state.steps, learningRate: learningRate, gradientScale: gradientScale, decays: decays)
            for parameter in state.table.parameters where parameter.decays == decays {
                let part = parameter.range.clamped(to: range)
                guard !part.isEmpty else { continue }
                let start = part.lowerBound
                Self.update(
                    coefficients, gradient: gradients.buffer.base + start, first: state.first.base + start,
                    second: state.second.base + start, from: source.base + start, to: target.base + start,
                    count: part.count, pool: pool)
            }
        }
    }
}
