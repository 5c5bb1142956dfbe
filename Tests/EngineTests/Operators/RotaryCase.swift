import Engine

/// Rotary embedding of a fused projection, and its gradient.
struct RotaryCase: OperatorCase {
    let heads: Int
    let kvHeads: Int
    let headSize: Int
    let positions: [Int]
    var theta = 10_000.0
    var scaling: RotaryScaling?
    var hasBias = true
    var fill = Fill.normal

    var title: String {
        "rotary \(heads)/\(kvHeads) x \(headSize), \(positions.count) from \(positions[0]) on, theta \(theta)\(scaling.map { ", \($0)" } ?? ""), "
            + "\(hasBias ? "bias" : "no bias"), \(fill)"
    }

    /// Rules of scaled frequencies; with base 1000 the last divides some, keeps some and blends some.
    static let scalings: [RotaryScaling?] = [
        nil, .linear(factor: 3),
        .llama3(.init(factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 200)),
    ]

    static let table: [any OperatorCase] = {
        let gaps = [0, 3, 4, 11, 100]
        var cases: [RotaryCase] = []
        for (heads, kvHeads, headSize) in [(1, 1, 2), (2, 2, 16), (3, 1, 6), (8, 1, 64), (9, 3, 80), (2, 1, 128)] {
            for hasBias in [false, true] {
                cases.append(
                    RotaryCase(heads: heads, kvHeads: kvHeads, headSize: headSize, positions: gaps, hasBias: hasBias))
            }
        }
        for scaling in scalings {
            for headSize in [2, 16, 64] {
                cases.append(
                    RotaryCase(
                        heads: 3, kvHeads: 1, headSize: headSize, positions: gaps, theta: 1000, scaling: scaling))
            }
        }
        for config in ModelConfig.presets {
            cases.append(
                RotaryCase(
                    heads: config.heads, kvHeads: config.kvHeads, headSize: config.headSize,
                    positions: [0, config.maxContext - 1], theta: config.ropeTheta))
        }
        cases.append(RotaryCase(heads: 1, kvHeads: 1, headSize: 4, positions: Array(0..<4096)))
        return cases + Fill.edges.map { RotaryCase(heads: 3, kvHeads: 1, headSize: 38, positions: gaps, fill: $0) }
    }()

    private var rows: Int { positions.count }
    private var q: Int { heads * headSize }
    private var k: Int { kvHeads * headSize }
    private var width: Int { q + 2 * k }
    private var projected: [Double] { fill.values(rows * width, "projected") }
    private var bias: [Double] { hasBias ? sample(width, "bias") : Array(repeating: 0, count: width) }
    private var dq: [[Double]] { ["dq", "more"].map { fill.values(rows * q, $0) } }
    private var dk: [Double] { fill.values(rows * k, "dk") }
    private var dv: [Double] { fill.values(rows * k, "dv") }

    func compute(_ arena: inout Arena, _ pool: ThreadPool) -> [[Float]] {
        let end = (positions.max() ?? 0) + 1
        let rotary = RotaryEmbedding(headSize: headSize, theta: theta, scaling: scaling, positions: end)
        let layout = RotaryEmbedding.Heads(queries: heads, keys: kvHeads)
        let source = arena.matrix(projected, columns: width, gap: 1)
        let bias = hasBias ? arena.matrix(bias, columns: width).base : nil
        let places = arena.integers(positions)
        let results = [q, k, k].map { arena.blank(rows, $0, gap: 2) }
        let back = arena.blank(rows, width, gap: 3)
        let dq = dq.map { arena.matrix($0, columns: q).asRows }
        let dk = arena.rows(dk, columns: k, scattered: true)
        let dv = arena.rows(dv, columns: k, scattered: true)
        guard let places = places.baseAddress else { return [] }
        rotary.forward(
            projected: source, bias: bias, positions: places, heads: layout, q: results[0].asRows,
            k: results[1].asRows, v: results[2].asRows, pool: pool)
        rotary.backward(
            dq: [dq[0], dq[1]], dk: dk, dv: dv, positions: places, heads: layout, projected: back, pool: pool)
        return results.map { arena.values($0) } + [arena.values(back)]
    }

    func references() -> [Reference] {
        let (projected, bias, dq, dk, dv) = (projected, bias, dq, dk, dv)
        let sums = projected.indices.map { projected[$0] + bias[$0 % width] }
        let sizes = projected.indices.map { abs(projected[$0]) + abs(bias[$0 % width]) }
        let dqSum = zip(dq[0], dq[1]).map(+)
        let dqSizes = zip(dq[0], dq[1]).map { abs($0) + abs($1) }
        func part(_ name: String, _ columns: Range<Int>) -> Reference {
            turned(name, sums.columns(columns, of: width), sizes.columns(columns, of: width), sign: 1)
        }
        let back = [turned("dq", dqSum, dqSizes, sign: -1), turned("dk", dk, dk.magnitudes, sign: -1)]
        // The two turned parts and dv side by side.
        func besides(_ parts: [([Double], Int)]) -> [Double] {
            (0..<rows).flatMap { row in parts.flatMap { $0.0[row * $0.1..<(row + 1) * $0.1] } }
        }
        return [
            part("q", 0..<q), part("k", q..<q + k),
            Reference(
                "v", sums.columns(q + k..<width, of: width), magnitudes: sizes.columns(q + k..<width, of: width),
                .steps(1)),
            Reference(
                "gradient", besides([(back[0].values, q), (back[1].values, k), (dv, k)]),
                magnitudes: besides([(back[0].magnitudes, q), (back[1].magnitudes, k), (dv.magnitudes, k)]),
                back[0].rounding),
        ]
    }

    /// Sine and cosine are rounded, then both products and their sum; neither exceeds 1.
    private func turned(_ name: String, _ x: [Double], _ sizes: [Double], sign: Double) -> Reference {
        let half = headSize / 2
        let y = Oracle.rotate(
            x, positions: positions, headSize: headSize, theta: theta, scaling: scaling, sign: sign)
        return Reference(
            name, y,
            magnitudes: sizes.indices.map { sizes[$0] + sizes[$0 % headSize < half ? $0 + half : $0 - half] },
            .steps(4))
    }
}
