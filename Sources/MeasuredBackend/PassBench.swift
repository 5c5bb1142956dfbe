internal import Engine
internal import Glibc
internal import Simulator

/// Measures the engine's passes over memory, each over the number of values it makes.
struct PassBench {
    private let config: ModelConfig
    private let pool: ThreadPool
    private let sampling: Sampling
    private let rotary: RotaryEmbedding
    private let attention: Attention
    private let rows: [Int]
    private let a: FloatBuffer
    private let b: FloatBuffer
    private let c: FloatBuffer
    private let small: FloatBuffer
    private let positions: [Int32]
    /// More than any cache holds.
    private let cold: FloatBuffer

    init(_ config: ModelConfig, effort: CalibrationEffort, sampling: Sampling, pool: ThreadPool) {
        self.config = config
        self.pool = pool
        self.sampling = sampling
        rotary = RotaryEmbedding(headSize: config.headSize, theta: config.ropeTheta, positions: 64)
        attention = Attention(
            shape: AttentionShape(heads: config.heads, kvHeads: config.kvHeads, headSize: config.headSize), pool: pool)
        rows = effort == .quick ? [1, 24, 256] : [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
        let longest = rows[rows.count - 1]
        let width = max(2 * config.intermediate, config.projectedWidth, config.hidden)
        a = .filled(longest * width)
        b = .filled(longest * width)
        c = .filled(longest * width)
        small = .filled(max(longest, width))
        positions = (0..<longest).map { Int32($0 % 64) }
        cold = .filled(48 << 20)
    }

    /// All passes but those over trained parameters.
    func curves() -> [Operator.Role: CostSurface] {
        let (h, i, v) = (config.hidden, config.intermediate, config.vocabulary)
        let projected = config.projectedWidth
        var curves: [Operator.Role: CostSurface] = [
            .norm: curve(h) {
                RMSNorm.forward(
                    x: view(a, h), gain: small.base, epsilon: 1e-5, y: view(b, h), count: $0, width: h, pool: pool)
            },
            .residual: curve(h) { Rows.copy(view(a, h), to: view(b, h), count: $0, width: h, pool: pool) },
            .swiglu: curve(i) {
                SwiGLU.forward(
                    gateUp: view(a, 2 * i), y: view(b, i), count: $0, width: i, pool: pool)
            },
            .swigluBackward: curve(i) {
                SwiGLU.backward(
                    gateUp: view(a, 2 * i), dy: view(b, i), dGateUp: view(c, 2 * i), count: $0, width: i, pool: pool)
            },
            .normBackward: curve(h) {
                RMSNorm.backward(
                    x: view(a, h), gain: small.base, epsilon: 1e-5, dy: view(b, h), dx: view(c, h),
                    inverses: small.base,
                    count: $0, width: h, pool: pool)
            },
            .gainGradient: curve(h) {
                RMSNorm.gainGradient(
                    x: view(a, h), dy: view(b, h), inverses: small.base, dGain: small.base, count: $0, width: h,
                    pool: pool)
            },
            .attentionProjection: curve(config.queryWidth) {
                attention.outputProjections(
                    dOutput: view(a, config.queryWidth), o: view(b, config.queryWidth),
                    projections: view(c, config.heads), count: $0)
            },
            .biasGradient: curve(projected) {
                ColumnSum.add(
                    Matrix(a.base, rows: $0, columns: projected), to: small.base, pool: pool)
            },
            .gather: curve(h) { memcpy(b.base, a.base, $0 * h * MemoryLayout<Float>.stride) },
            .clear: curve(2 * config.keyWidth) {
                memset(
                    cold.base, 0, $0 * 2 * config.keyWidth * MemoryLayout<Float>.stride)
            },
        ]
        curves[.rope] = positioned(projected) { rows, positions in
            rotary.forward(
                projected: Matrix(a.base, rows: rows, columns: projected), bias: nil, positions: positions,
                heads: heads, q: view(b, projected), k: view(c, projected), v: view(c, projected),
                pool: pool)
        }
        curves[.ropeBackward] = positioned(projected) { rows, positions in
            rotary.backward(
                dq: [view(a, projected), view(b, projected)], dk: view(a, projected), dv: view(b, projected),
                positions: positions, heads: heads, projected: Matrix(c.base, rows: rows, columns: projected),
                pool: pool)
        }
        let table = FloatBuffer.filled(v * h)
        curves[.embedding] = tokens(table) { Embedding.forward(table: $0, tokens: $1, y: b.base) }
        curves[.embeddingBackward] = tokens(table) { table, tokens in
            Embedding.backward(
                dy: Matrix(a.base, rows: tokens.count, columns: h), tokens: tokens, dTable: table, pool: pool)
        }
        curves[.greedy] = greedy()
        curves[.loss] = loss()
        curves[.recordCopy] = recordCopy()
        return curves
    }

    /// Gradient norm and optimizer over the trained parameters, in the memory that a step has.
    func trainedCurves(_ tuning: TuningMode) -> [Operator.Role: CostSurface] {
        let table = tuning.table(for: config)
        let gradients = GradientBuffer(config, tuning)
        let state = OptimizerState(table)
        let (source, target) = (FloatBuffer.filled(table.count), FloatBuffer.filled(table.count))
        state.beginStep()
        let rule = AdamW()
        let sizes = [table.count / 16, table.count / 4, table.count].filter { $0 > 0 }.asAxis
        let optimizer = sizes.map { count in
            sampling.time {
                rule.step(
                    0..<count, state: state, gradients: gradients, from: source, to: target, learningRate: 1e-4,
                    pool: pool)
                gradients.buffer.floats[0..<count].update(repeating: 0)
            }
        }
        let norm = sampling.time { _ = gradients.norm(pool: pool) }
        return [
            .optimizer: CostSurface(axes: [sizes], samples: optimizer),
            .gradientNorm: CostSurface(axes: [[table.count]], samples: [norm]),
        ]
    }

    // MARK: Pieces

    private var heads: RotaryEmbedding.Heads {
        RotaryEmbedding.Heads(queries: config.heads, keys: config.kvHeads)
    }

    private func view(_ buffer: FloatBuffer, _ columns: Int) -> Rows { Rows(buffer.base, stride: columns) }

    /// A pass that makes `width` values for each row.
    private func curve(_ width: Int, _ body: (Int) -> Void) -> CostSurface {
        CostSurface(axes: [rows.map { $0 * width }], samples: rows.map { count in sampling.time { body(count) } })
    }

    private func positioned(_ width: Int, _ body: (Int, UnsafePointer<Int32>) -> Void) -> CostSurface {
        curve(width) { count in
            positions.withUnsafeBufferPointer { if let base = $0.baseAddress { body(count, base) } }
        }
    }

    private func tokens(_ table: FloatBuffer, _ body: (Matrix, UnsafeBufferPointer<Int32>) -> Void) -> CostSurface {
        let table = Matrix(table.base, rows: config.vocabulary, columns: config.hidden)
        let ids = (0..<rows[rows.count - 1]).map { Int32($0 * 7919 % config.vocabulary) }
        return curve(config.hidden) { count in
            ids.withUnsafeBufferPointer { body(table, UnsafeBufferPointer(rebasing: $0[0..<count])) }
        }
    }

    /// The choice of the largest of a row of logits, which is in the middle on average.
    private func greedy() -> CostSurface {
        let v = config.vocabulary
        let logits = FloatBuffer.filled(v)
        logits.floats[v / 2] = 1
        let sample = sampling.time { _ = CrossEntropy.greedy(logits.base, v) }
        return CostSurface(axes: [[v]], samples: [sample])
    }

    private func loss() -> CostSurface {
        let v = config.vocabulary
        let counts = [1, 4, 16, OperatorList.lossChunk]
        let logits = FloatBuffer.filled(OperatorList.lossChunk * v)
        let targets = [Int32](repeating: 0, count: OperatorList.lossChunk)
        let samples = counts.map { count in
            sampling.time {
                withUnsafeTemporaryAllocation(of: Double.self, capacity: count) { losses in
                    targets.withUnsafeBufferPointer { targets in
                        guard let targets = targets.baseAddress, let losses = losses.baseAddress else { return }
                        CrossEntropy.forwardBackward(
                            logits: Matrix(logits.base, rows: count, columns: v), targets: targets,
                            weights: small.base, losses: losses, pool: pool)
                    }
                }
            }
        }
        return CostSurface(axes: [counts.map { $0 * v }], samples: samples)
    }

    /// Rows of a layer's activations copied to memory that has not been touched for long.
    private func recordCopy() -> CostSurface {
        let width = ActivationBlock.floatCount(config, rows: 1)
        var offset = 0
        let counts = rows.filter { $0 <= 256 }
        let source = FloatBuffer.filled(256 * width)
        let samples = counts.map { count in
            sampling.time {
                Rows.copy(
                    view(source, width), to: Rows(cold.base + offset, stride: width), count: count, width: width,
                    pool: pool)
                offset += count * width
                if offset + 256 * width > cold.count { offset = 0 }
            }
        }
        return CostSurface(axes: [counts.map { $0 * width }], samples: samples)
    }
}
