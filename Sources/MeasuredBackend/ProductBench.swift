internal import Engine
internal import Simulator

/// Measures the engine's matrix products over the sizes that a model has.
///
/// Weights lie where a pass over the model leaves them: each execution takes the next ones of a buffer as large as the
/// model's, so that what fits no cache comes from memory. Inputs and outputs are used again, as scratch is.
struct ProductBench {
    private let sizes: ProductSizes
    private let sampling: Sampling
    private let pool: ThreadPool
    private let weights: FloatBuffer
    private let adapters: Int
    private let x: FloatBuffer
    private let y: FloatBuffer
    /// Work above which a point is taken from the one with fewer rows, in proportion.
    private let flopLimit: Double
    /// Where the next weights, and the next adapters, are taken: going on from one point to the next, so that none finds
    /// its weights where the last one left them.
    private let next = Cursors()

    private final class Cursors {
        var weights = 0
        var adapters = 0
    }

    init(
        _ config: ModelConfig, _ tuning: Tuning, effort: CalibrationEffort, sampling: Sampling, pool: ThreadPool
    ) {
        let model = ModelShape(config)
        sizes = ProductSizes(model, tuning, effort)
        self.sampling = sampling
        self.pool = pool
        let largest = (sizes.n.max() ?? 1) * (sizes.k.max() ?? 1)
        weights = .filled(max(model.layers * model.parametersPerLayer, largest))
        if case .lora = tuning { adapters = tuning.trainedParameters(of: model) } else { adapters = weights.count }
        let rows = sizes.m.max() ?? 1
        x = .filled(rows * (sizes.k.max() ?? 1))
        y = .filled(rows * (sizes.n.max() ?? 1))
        flopLimit = effort == .quick ? 1e9 : 6e9
    }

    /// - Parameter rate: told the highest rate of each point, in FLOP/s.
    func surface(_ orientation: Operator.Orientation, rate: (Double) -> Void) -> CostSurface {
        let (m, n, k) = (sizes.m, sizes.n, sizes.k)
        var samples: [Sample] = []
        for (row, rows) in m.enumerated() {
            for outputs in n {
                for inputs in k {
                    let flops = 2 * Double(rows) * Double(outputs) * Double(inputs)
                    guard row == 0 || flops <= flopLimit else {
                        let fewer = samples[samples.count - n.count * k.count]
                        samples.append(fewer.scaled(by: Double(rows) / Double(m[row - 1])))
                        continue
                    }
                    let sample = time(orientation, rows, outputs, inputs)
                    rate(flops / sample.shortest)
                    samples.append(sample)
                }
            }
        }
        return CostSurface(axes: [m, n, k], samples: samples)
    }

    private func time(_ orientation: Operator.Orientation, _ m: Int, _ n: Int, _ k: Int) -> Sample {
        let isAdapter = sizes.isAdapter(n) || sizes.isAdapter(k)
        let length = max(n * k, isAdapter ? adapters : weights.count)
        func place() -> Int {
            let start = isAdapter ? next.adapters : next.weights
            let chosen = start + n * k > length ? 0 : start
            if isAdapter { next.adapters = chosen + n * k } else { next.weights = chosen + n * k }
            return chosen
        }
        let input = Matrix(x.base, rows: m, columns: k)
        let output = Matrix(y.base, rows: m, columns: n)
        let isReading = orientation == .forward && m <= MatrixProduct.memoryBoundRows
        return sampling.time(isReading ? SpeedElasticity.reading : SpeedElasticity.computing) {
            let w = Matrix(weights.base + place(), rows: n, columns: k)
            switch orientation {
            case .forward: MatrixProduct.forward(input, w, output, pool: pool)
            case .inputGradient: MatrixProduct.inputGradient(output, w, input, pool: pool)
            case .weightGradient: MatrixProduct.weightGradient(output, input, w, scale: 0x1p-20, pool: pool)
            }
        }
    }
}

/// Nodes of the surfaces of products: the sizes of the model's linear layers and adapters, and rows on both sides of where
/// the engine's paths change.
struct ProductSizes {
    let m: [Int]
    let n: [Int]
    let k: [Int]
    private let ranks: [Int]

    init(_ model: ModelShape, _ tuning: Tuning, _ effort: CalibrationEffort) {
        var ranks: [Int] = []
        if case .lora(let rank, _, _) = tuning { ranks = [rank, 2 * rank, 3 * rank] }
        self.ranks = ranks
        n =
            (ranks + [
                model.kvWidth, model.queryWidth, model.hidden, model.qkvWidth, model.intermediate,
                2 * model.intermediate,
                model.vocabulary,
            ]).asAxis
        k = (ranks.prefix(1) + [model.hidden, model.queryWidth, model.intermediate]).asAxis
        let rows =
            switch effort {
            case .quick: [1, 4, 512]
            // Kernels for few rows compute whole tiles, of 32 rows and the last one of 8, 16 or 32: a node at either end
            // of each, up to an iteration's usual budget.
            case .full:
                [
                    1, 2, 3, 6, 8, 9, 16, 17, 32, 33, 40, 41, 48, 49, 64, 65, 72, 73, 80, 81, 96, 97, 104, 105, 112,
                    113, 128, 192, 384, 512, 1024,
                ]
            }
        m = (rows + MatrixProduct.forwardSteps.flatMap { [$0, $0 + 1] }).asAxis
    }

    func isAdapter(_ size: Int) -> Bool { ranks.contains(size) }
}

extension FloatBuffer {
    /// Memory whose every page is there, full of small numbers.
    static func filled(_ count: Int) -> FloatBuffer {
        let buffer = FloatBuffer(count: count)
        buffer.floats.update(repeating: 0x1p-7)
        return buffer
    }
}
