import Engine
import Testing

/// The `Float` kernels against the oracles, over shapes that miss, meet and exceed the vector width and the tiles.
@Suite("Kernels against oracles")
struct KernelTests {
    /// Relative L2 error allowed: some units of the last place of `Float`, 6e-8, growing with long sums.
    static let tolerance = 1e-6
    let pool = ThreadPool(width: 2)

    @Test(
        "matrix products",
        arguments: [
            (1, 1, 1), (1, 7, 3), (1, 64, 64), (3, 5, 17), (4, 33, 40), (5, 300, 129), (8, 64, 16), (24, 50, 31),
            (25, 31, 64), (70, 129, 50), (129, 48, 300),
        ])
    func products(m: Int, n: Int, k: Int) {
        var arena = Arena()
        let x = sample(m * k, "x")
        let w = sample(n * k, "w")
        let dy = sample(m * n, "dy")
        let xs = arena.matrix(x, columns: k)
        let ws = arena.matrix(w, columns: k)
        let dys = arena.matrix(dy, columns: n)
        let y = arena.blank(m, n)
        let again = arena.blank(m, n, 1)
        let dx = arena.blank(m, k)
        let dw = arena.blank(n, k, 0.5)
        MatrixProduct.forward(xs, ws, y, pool: pool)
        MatrixProduct.forward(xs, ws, again, scale: 0.5, accumulating: true, pool: pool)
        MatrixProduct.inputGradient(dys, ws, dx, pool: pool)
        MatrixProduct.weightGradient(dys, xs, dw, scale: 2, pool: pool)
        let expected = Oracle.linear(x, w, k: k)
        let gradients = Oracle.linearBackward(x, w, dy: dy, k: k)
        expectClose(arena.values(y), expected, within: Self.tolerance, "y")
        expectClose(arena.values(again), expected.map { 1 + 0.5 * $0 }, within: Self.tolerance, "scaled and added")
        expectClose(arena.values(dx), gradients.dx, within: Self.tolerance, "dx")
        expectClose(arena.values(dw), gradients.dw.map { 0.5 + 2 * $0 }, within: Self.tolerance, "dw")
    }

    @Test(arguments: [(1, 1), (1, 15), (2, 16), (3, 33), (70, 64), (9, 576)])
    func rmsNorm(rows: Int, width: Int) {
        var arena = Arena()
        let x = sample(rows * width, "x", deviation: 3)
        let gain = sample(width, "gain", mean: 1)
        let dy = sample(rows * width, "dy")
        let before = sample(rows * width, "before")
        let xs = arena.matrix(x, columns: width)
        let gains = arena.matrix(gain, columns: width)
        let dys = arena.matrix(dy, columns: width)
        let y = arena.blank(rows, width)
        let dx = arena.matrix(before, columns: width)
        let inverses = arena.blank(rows, 1)
        let dGain = arena.blank(1, width, 2)
        RMSNorm.forward(
            x: xs.asRows, gain: gains.base, epsilon: 1e-5, y: y.asRows, count: rows, width: width, pool: pool)
        RMSNorm.backward(
            x: xs.asRows, gain: gains.base, epsilon: 1e-5, dy: dys.asRows, dx: dx.asRows, inverses: inverses.base,
            count: rows, width: width, pool: pool)
        RMSNorm.gainGradient(
            x: xs.asRows, dy: dys.asRows, inverses: inverses.base, dGain: dGain.base, count: rows, width: width,
            pool: pool)
        let expected = Oracle.rmsNormBackward(x, gain: gain, epsilon: 1e-5, dy: dy)
        expectClose(
            arena.values(y), Oracle.rmsNorm(x, gain: gain, epsilon: 1e-5), within: Self.tolerance, "y")
        expectClose(arena.values(dx), zip(before, expected.dx).map(+), within: Self.tolerance, "dx")
        expectClose(arena.values(dGain), expected.dGain.map { 2 + $0 }, within: Self.tolerance, "dGain")
        withExtendedLifetime(gains) {}
    }

    /// Rules of scaled rotary frequencies; with base 1000 the last divides some, keeps some and blends some.
    static let scalings: [RotaryScaling?] = [
        nil, .linear(factor: 3),
        .llama3(.init(factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 200)),
    ]

    @Test(arguments: [(4, 2, 2, 1), (2, 2, 6, 5), (3, 1, 16, 7), (9, 3, 64, 33)], scalings)
    func rotary(shape: (heads: Int, kvHeads: Int, headSize: Int, rows: Int), scaling: RotaryScaling?) {
        let (heads, kvHeads, headSize, rows) = shape
        var arena = Arena()
        let q = heads * headSize
        let k = kvHeads * headSize
        let width = q + 2 * k
        let positions = (0..<rows).map { 3 * $0 + 1 }
        let projected = sample(rows * width, "projected")
        let bias = sample(width, "bias")
        let rotary = RotaryEmbedding(
            headSize: headSize, theta: 1000, scaling: scaling, positions: 3 * rows + 1)
        let layout = RotaryEmbedding.Heads(queries: heads, keys: kvHeads)
        let source = arena.matrix(projected, columns: width)
        let biases = arena.matrix(bias, columns: width)
        let outQ = arena.blank(rows, q)
        let outK = arena.blank(rows, k)
        let outV = arena.blank(rows, k)
        let back = arena.blank(rows, width)
        let half = arena.matrix(sample(rows * q, "half"), columns: q)
        positions.map { Int32($0) }.withUnsafeBufferPointer { places in
            guard let places = places.baseAddress else { return }
            rotary.forward(
                projected: source, bias: biases.base, positions: places, heads: layout, q: outQ.asRows,
                k: outK.asRows, v: outV.asRows, pool: pool)
            rotary.backward(
                dq: [outQ.asRows, half.asRows], dk: outK.asRows, dv: outV.asRows, positions: places, heads: layout,
                projected: back, pool: pool)
        }
        func columns(_ start: Int, _ count: Int) -> [Double] {
            (0..<rows).flatMap { row in (0..<count).map { projected[row * width + start + $0] + bias[start + $0] } }
        }
        func turned(_ x: [Double], _ sign: Double) -> [Double] {
            Oracle.rotate(x, positions: positions, headSize: headSize, theta: 1000, scaling: scaling, sign: sign)
        }
        expectClose(arena.values(outQ), turned(columns(0, q), 1), within: Self.tolerance, "q")
        expectClose(arena.values(outK), turned(columns(q, k), 1), within: Self.tolerance, "k")
        expectClose(arena.values(outV), columns(q + k, k), within: Self.tolerance, "v")
        let turnedHalf = turned(sample(rows * q, "half"), -1)
        expectClose(
            arena.values(back.columns(from: 0, count: q)), zip(columns(0, q), turnedHalf).map(+),
            within: Self.tolerance, "gradient of q")
        expectClose(
            arena.values(back.columns(from: q, count: 2 * k)),
            (0..<rows).flatMap { row in
                (0..<2 * k).map { projected[row * width + q + $0] + bias[q + $0] }
            }, within: Self.tolerance, "gradients of k and v")
        withExtendedLifetime((source.base, biases.base)) {}
    }

    @Test(arguments: [(1, 1), (2, 15), (3, 16), (40, 100)], [1.0, 30.0])
    func swiGLU(size: (rows: Int, width: Int), deviation: Double) {
        var arena = Arena()
        let (rows, width) = size
        let gateUp = sample(rows * 2 * width, "gateUp", deviation: deviation)
        let dy = sample(rows * width, "dy")
        let source = arena.matrix(gateUp, columns: 2 * width)
        let dys = arena.matrix(dy, columns: width)
        let y = arena.blank(rows, width)
        let gradient = arena.blank(rows, 2 * width)
        SwiGLU.forward(gateUp: source.asRows, y: y.asRows, count: rows, width: width, pool: pool)
        SwiGLU.backward(
            gateUp: source.asRows, dy: dys.asRows, dGateUp: gradient.asRows, count: rows, width: width, pool: pool)
        expectClose(arena.values(y), Oracle.swiGLU(gateUp, width: width), within: Self.tolerance, "y")
        expectClose(
            arena.values(gradient), Oracle.swiGLUBackward(gateUp, width: width, dy: dy), within: Self.tolerance,
            "gradient")
    }

    @Test(arguments: [(1, 1), (1, 17), (5, 64), (9, 1000)])
    func crossEntropy(rows: Int, width: Int) {
        var arena = Arena()
        let logits = sample(rows * width, "logits", deviation: 5)
        let targets = (0..<rows).map { $0 * 31 % width }
        let weights = sample(rows, "weights")
        let values = arena.matrix(logits, columns: width)
        let top = CrossEntropy.greedy(values.base, width)
        #expect(top == logits[..<width].indices.max { logits[$0] < logits[$1] })
        var losses = [Double](repeating: 0, count: rows)
        targets.map { Int32($0) }.withUnsafeBufferPointer { targets in
            weights.floats.withUnsafeBufferPointer { weights in
                losses.withUnsafeMutableBufferPointer { losses in
                    guard let targets = targets.baseAddress, let weights = weights.baseAddress,
                        let losses = losses.baseAddress
                    else { return }
                    CrossEntropy.forwardBackward(
                        logits: values, targets: targets, weights: weights, losses: losses, pool: pool)
                }
            }
        }
        let expected = Oracle.crossEntropy(logits, targets: targets, weights: weights)
        #expect(abs(losses.reduce(0, +) - expected) <= 1e-6 * max(1, abs(expected)))
        expectClose(
            arena.values(values), Oracle.crossEntropyBackward(logits, targets: targets, weights: weights),
            within: Self.tolerance, floor: 1e-3, "gradient")
    }

    @Test func embedding() {
        var arena = Arena()
        let table = sample(5 * 20, "table")
        let tokens: [Int32] = [3, 0, 3, 4]
        let dy = sample(4 * 20, "dy")
        let tables = arena.matrix(table, columns: 20)
        let dys = arena.matrix(dy, columns: 20)
        let y = arena.blank(4, 20)
        let gradient = arena.blank(5, 20, 0)
        tokens.withUnsafeBufferPointer {
            Embedding.forward(table: tables, tokens: $0, y: y.base)
            Embedding.backward(dy: dys, tokens: $0, dTable: gradient, pool: pool)
        }
        #expect(arena.values(y) == tokens.flatMap { Array(table[Int($0) * 20..<Int($0 + 1) * 20]) }.floats)
        var expected = [Double](repeating: 0, count: 100)
        for (row, token) in tokens.enumerated() {
            for column in 0..<20 { expected[Int(token) * 20 + column] += dy[row * 20 + column] }
        }
        expectClose(arena.values(gradient), expected, within: Self.tolerance, "gradient")
    }
}
