internal import Engine
internal import Simulator

/// Measures the engine's attention over queries and their mean context.
///
/// K and V lie in blocks of some tokens over all layers, as serving keeps them, and each execution takes the next layer.
/// Decoding reads them once per iteration and all weights in between, so that the caches hold what weights leave of them.
struct AttentionBench {
    private let config: ModelConfig
    private let attention: Attention
    private let effort: CalibrationEffort
    private let sampling: Sampling
    private let blockTokens: Int
    /// As large as the model: what is read between two visits of the same K and V.
    private let weights: FloatBuffer

    init(
        _ config: ModelConfig, effort: CalibrationEffort, sampling: Sampling, blockTokens: Int, pool: ThreadPool
    ) {
        self.config = config
        self.effort = effort
        self.blockTokens = blockTokens
        self.sampling = sampling
        let model = ModelShape(config)
        weights = .filled(model.layers * model.parametersPerLayer)
        attention = Attention(
            shape: AttentionShape(heads: config.heads, kvHeads: config.kvHeads, headSize: config.headSize), pool: pool)
    }

    var heads: HardwareProfile.Heads {
        HardwareProfile.Heads(queryWidth: config.queryWidth, kvWidth: config.keyWidth)
    }

    private var queries: [Int] { effort == .quick ? [2, 64, 256] : [2, 8, 16, 32, 64, 96, 128, 192, 256, 512, 1024] }
    private var contexts: [Int] {
        (effort == .quick ? [16, 128, 512] : [4, 16, 32, 64, 128, 256, 512, 1024]).filter {
            $0 <= config.maxContext / 2
        }
    }

    func forward() -> CostSurface { surface(backward: false) }
    func backward() -> CostSurface { surface(backward: true) }

    /// Single queries over their contexts, which are all equal.
    func decode() -> CostSurface {
        let sequences = effort == .quick ? [1, 8, 32] : [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64]
        let contexts = (effort == .quick ? [16, 256] : [8, 32, 64, 128, 256, 512, 1024]).filter {
            $0 <= config.maxContext / 2
        }
        var samples: [Sample] = []
        for count in sequences {
            for context in contexts {
                samples.append(
                    time([Part](repeating: Part(start: context - 1, count: 1), count: count), backward: false))
            }
        }
        return CostSurface(axes: [sequences, contexts], samples: samples)
    }

    private func surface(backward: Bool) -> CostSurface {
        var samples: [Sample] = []
        for count in queries {
            for context in contexts { samples.append(time(parts(count, context), backward: backward)) }
        }
        return CostSurface(axes: [queries, contexts], samples: samples)
    }

    private struct Part {
        var start: Int
        var count: Int
    }

    /// `count` queries of a mean context: in one sequence behind what is in its cache, or, where even a sequence that
    /// begins with them has more context than that, in several.
    private func parts(_ count: Int, _ context: Int) -> [Part] {
        let longest = 2 * context - 1
        if count <= longest { return [Part(start: context - (count + 1) / 2, count: count)] }
        return stride(from: 0, to: count, by: longest).map { Part(start: 0, count: min(longest, count - $0)) }
    }

    private func time(_ parts: [Part], backward: Bool) -> Sample {
        let rows = parts.reduce(0) { $0 + $1.count }
        let width = config.queryWidth
        let planes = (0..<3 + Attention.queryGradientParts).map { _ in FloatBuffer.filled(rows * width) }
        let sums = (0..<2).map { _ in FloatBuffer.filled(rows * config.heads) }
        let blocks = parts.map { part in
            (0..<(part.start + part.count + blockTokens - 1) / blockTokens).map { _ in
                KVBlock(
                    config, capacity: blockTokens, buffer: .filled(config.layers * blockTokens * 2 * config.keyWidth))
            }
        }
        let gradients = parts.map { FloatBuffer.filled(($0.start + $0.count) * 2 * config.keyWidth) }
        let positions = parts.flatMap { part in (part.start..<part.start + part.count).map { Int32($0) } }
        let view = { (buffer: FloatBuffer, columns: Int) in Rows(buffer.base, stride: columns) }
        var layer = 0
        let isDecoding = !backward && parts.allSatisfy { $0.count == 1 }
        let elasticity = isDecoding ? SpeedElasticity.reading : SpeedElasticity.computing
        return sampling.time(elasticity, prepare: { if isDecoding { readWeights() } }) {
            let segments = blocks.map { blocks in
                blocks.enumerated().map {
                    $1.segment(layer: layer, start: $0 * blockTokens, count: blockTokens)
                }
            }
            layer = (layer + 1) % config.layers
            withSpans(parts, segments.flatMap(\.self), counts: segments.map(\.count)) { spans in
                positions.withUnsafeBufferPointer { positions in
                    guard let positions = positions.baseAddress else { return }
                    let (q, o, lse) = (view(planes[0], width), view(planes[1], width), view(sums[0], config.heads))
                    guard backward else {
                        attention.forward(q: q, o: o, lse: lse, positions: positions, spans: spans)
                        return
                    }
                    attention.backward(
                        q: q, lse: lse, positions: positions,
                        spans: spans.indices.map {
                            Attention.GradientSpan(spans[$0], own: target(gradients[$0]), group: $0)
                        },
                        gradients: Attention.Gradients(
                            dOutput: view(planes[2], width), projections: view(sums[1], config.heads),
                            dq: [view(planes[3], width), view(planes[4], width)]))
                }
            }
        }
    }

    private func readWeights() {
        var sum: Float = 0
        for index in stride(from: 0, to: weights.count, by: 16) { sum += weights.base[index] }
        withExtendedLifetime(sum) {}
    }

    private func target(_ gradient: FloatBuffer) -> Attention.GradientSpan.Target {
        Attention.GradientSpan.Target(
            keys: keyGradient(gradient, columns: 0), values: keyGradient(gradient, columns: config.keyWidth))
    }

    private func keyGradient(_ buffer: FloatBuffer, columns: Int) -> Matrix {
        let width = 2 * config.keyWidth
        return Matrix(buffer.base, rows: buffer.count / width, columns: width)
            .columns(from: columns, count: config.keyWidth)
    }

    private func withSpans(
        _ parts: [Part], _ segments: [KVSegment], counts: [Int], _ body: ([AttentionSpan]) -> Void
    ) {
        segments.withUnsafeBufferPointer { segments in
            var (row, next) = (0, 0)
            let spans = zip(parts, counts).map { part, count in
                defer { (row, next) = (row + part.count, next + count) }
                let view = UnsafeBufferPointer(rebasing: segments[next..<next + count])
                return AttentionSpan(rows: row..<row + part.count, kv: KVView(view))
            }
            body(spans)
        }
    }
}
