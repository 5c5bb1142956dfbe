internal import Glibc

/// Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101).
public struct AdamW: Sendable, Hashable, Codable {
    /// Decay of the gradient's running mean.
    public var beta1: Double
    /// Decay of the squared gradient's running mean.
    public var beta2: Double
    /// Added to the root of the second moment.
    public var epsilon: Double
    /// Decoupled weight decay, applied to matrices only.
    public var weightDecay: Double
    /// Largest global gradient norm; larger gradients are scaled down to it. Nil: no clipping.
    public var clipNorm: Double?

    public init(
        beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8, weightDecay: Double = 0,
        clipNorm: Double? = nil
    ) {
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.weightDecay = weightDecay
        self.clipNorm = clipNorm
    }

    /// The factor that brings a gradient of the given global norm within `clipNorm`.
    public func gradientScale(norm: Double) -> Double {
        guard let clipNorm, norm > clipNorm, norm > 0 else { return 1 }
        return clipNorm / norm
    }

    /// The scalars of one step, the same for every element.
    package struct Coefficients {
        let beta1: Float
        let beta2: Float
        let gradientScale: Float
        let rate: Float
        let secondCorrection: Float
        let epsilon: Float
        let decay: Float

        /// `step` counts from 1 for the bias corrections 1 - beta^step. They take the betas as rounded for the moments:
        /// rounding changes 1 - 0.999 by a factor of 1 - 1.3e-5.
        package init(_ rule: AdamW, step: Int, learningRate: Double, gradientScale: Double, decays: Bool) {
            beta1 = Float(rule.beta1)
            beta2 = Float(rule.beta2)
            self.gradientScale = Float(gradientScale)
            rate = Float(learningRate / (1 - pow(Double(beta1), Double(step))))
            secondCorrection = Float(1 / (1 - pow(Double(beta2), Double(step))).squareRoot())
            epsilon = Float(rule.epsilon)
            decay = Float(decays ? 1 - learningRate * rule.weightDecay : 1)
        }
    }

    /// `count` elements: m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2,
    /// target = source decay - rate m / (sqrt(v) correction + epsilon).
    package static func update(
        _ c: Coefficients, gradient: UnsafePointer<Float>, first: UnsafeMutablePointer<Float>,
        second: UnsafeMutablePointer<Float>, from source: UnsafePointer<Float>,
        to target: UnsafeMutablePointer<Float>, count: Int, pool: ThreadPool
    ) {
        pool.rows((count + 15) / 16, cost: 32) { range in
            var index = range.lowerBound * 16
            let end = min(count, range.upperBound * 16)
            while index + 16 <= end {
                var m = Lanes(at: first + index)
                var v = Lanes(at: second + index)
                let w = updated(c, Lanes(at: gradient + index), &m, &v, Lanes(at: source + index))
                m.store(at: first + index)
                v.store(at: second + index)
                w.store(at: target + index)
                index += 16
            }
            while index < end {
                var m = Lanes(repeating: first[index])
                var v = Lanes(repeating: second[index])
                let w = updated(c, Lanes(repeating: gradient[index]), &m, &v, Lanes(repeating: source[index]))
                first[index] = m[0]
                second[index] = v[0]
                target[index] = w[0]
                index += 1
            }
        }
    }

    @inline(__always)
    private static func updated(
        _ c: Coefficients, _ gradient: Lanes, _ first: inout Lanes, _ second: inout Lanes, _ weight: Lanes
    ) -> Lanes {
        let g = gradient * c.gradientScale
        first = first * c.beta1 + g * (1 - c.beta1)
        second = second * c.beta2 + g * g * (1 - c.beta2)
        let root = second.squareRoot() * c.secondCorrection + c.epsilon
        return weight * c.decay - first * c.rate / root
    }

    /// Floats whose squares are added up together.
    private static let normBlock = 1 << 14

    /// Blocks of `count` floats, each of which has a sum of its own.
    static func normBlocks(_ count: Int) -> Int { (count + normBlock - 1) / normBlock }

    /// Sum of squares in `Double`, in blocks of fixed size added in order.
    package static func squaredNorm(_ values: UnsafeBufferPointer<Float>, pool: ThreadPool) -> Double {
        withUnsafeTemporaryAllocation(of: Double.self, capacity: normBlocks(values.count)) {
            squaredNorm(values, partial: $0, pool: pool)
        }
    }

    /// The same with room for the sums of the blocks.
    static func squaredNorm(
        _ values: UnsafeBufferPointer<Float>, partial: UnsafeMutableBufferPointer<Double>, pool: ThreadPool
    ) -> Double {
        let block = normBlock
        let blocks = normBlocks(values.count)
        guard blocks > 0, let base = values.baseAddress else { return 0 }
        pool.parallel(blocks) { index, _ in
            let start = base + index * block
            let count = min(block, values.count - index * block)
            var sum = SIMD8<Double>.zero
            var place = 0
            while place + 8 <= count {
                let lanes = UnsafeRawPointer(start + place).loadUnaligned(as: SIMD8<Float>.self)
                let wide = SIMD8<Double>(
                    Double(lanes[0]), Double(lanes[1]), Double(lanes[2]), Double(lanes[3]),
                    Double(lanes[4]), Double(lanes[5]), Double(lanes[6]), Double(lanes[7]))
                sum.addProduct(wide, wide)
                place += 8
            }
            var total = 0.0
            for lane in 0..<8 { total += sum[lane] }
            while place < count {
                total += Double(start[place]) * Double(start[place])
                place += 1
            }
            partial[index] = total
        }
        return partial.reduce(0, +)
    }
}
