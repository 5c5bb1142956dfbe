import Engine
import Testing

/// The oracles' gradients against central finite differences of the oracles themselves.
@Suite("Oracles against finite differences")
struct OracleTests {
    static let tolerance = 1e-8

    @Test(arguments: [(1, 1, 1), (3, 4, 5), (2, 7, 3)])
    func linear(m: Int, n: Int, k: Int) {
        let x = sample(m * k, "x")
        let w = sample(n * k, "w")
        let dy = sample(m * n, "dy")
        let (dx, dw) = Oracle.linearBackward(x, w, dy: dy, k: k)
        let numericX = centralDifferences(at: x) { inner(Oracle.linear($0, w, k: k), dy) }
        let numericW = centralDifferences(at: w) { inner(Oracle.linear(x, $0, k: k), dy) }
        expectClose(dx, numericX, within: Self.tolerance, "dx")
        expectClose(dw, numericW, within: Self.tolerance, "dw")
    }

    @Test(arguments: [(1, 2), (3, 5), (2, 16)])
    func rmsNorm(rows: Int, width: Int) {
        let x = sample(rows * width, "x")
        let gain = sample(width, "gain", mean: 1)
        let dy = sample(rows * width, "dy")
        let (dx, dGain) = Oracle.rmsNormBackward(x, gain: gain, epsilon: 1e-3, dy: dy)
        let numericX = centralDifferences(at: x) { inner(Oracle.rmsNorm($0, gain: gain, epsilon: 1e-3), dy) }
        let numericGain = centralDifferences(at: gain) { inner(Oracle.rmsNorm(x, gain: $0, epsilon: 1e-3), dy) }
        expectClose(dx, numericX, within: Self.tolerance, "dx")
        expectClose(dGain, numericGain, within: Self.tolerance, "dGain")
    }

    @Test(arguments: [2, 6, 16], KernelTests.scalings)
    func rotary(headSize: Int, scaling: RotaryScaling?) {
        let positions = [0, 3, 11]
        let x = sample(3 * 2 * headSize, "x")
        let dy = sample(x.count, "dy")
        let dx = Oracle.rotate(dy, positions: positions, headSize: headSize, theta: 100, scaling: scaling, sign: -1)
        let numeric = centralDifferences(at: x) {
            inner(Oracle.rotate($0, positions: positions, headSize: headSize, theta: 100, scaling: scaling), dy)
        }
        expectClose(dx, numeric, within: Self.tolerance, "dx")
    }

    @Test(arguments: [(1, 1), (3, 5)])
    func swiGLU(rows: Int, width: Int) {
        let gateUp = sample(rows * 2 * width, "gateUp", deviation: 2)
        let dy = sample(rows * width, "dy")
        let gradient = Oracle.swiGLUBackward(gateUp, width: width, dy: dy)
        let numeric = centralDifferences(at: gateUp) { inner(Oracle.swiGLU($0, width: width), dy) }
        expectClose(gradient, numeric, within: Self.tolerance, "dGateUp")
    }

    @Test(arguments: [(1, 2), (4, 9)])
    func crossEntropy(rows: Int, width: Int) {
        let logits = sample(rows * width, "logits", deviation: 3)
        let targets = (0..<rows).map { $0 * 5 % width }
        let weights = sample(rows, "weights")
        let gradient = Oracle.crossEntropyBackward(logits, targets: targets, weights: weights)
        let numeric = centralDifferences(at: logits) {
            Oracle.crossEntropy($0, targets: targets, weights: weights)
        }
        expectClose(gradient, numeric, within: Self.tolerance, "dLogits")
    }

    @Test(arguments: [(2, 2, [0, 1, 2]), (4, 2, [1, 4, 5]), (3, 1, [0]), (6, 2, [6])])
    func attention(heads: Int, kvHeads: Int, positions: [Int]) {
        let shape = AttentionShape(heads: heads, kvHeads: kvHeads, headSize: 4)
        let keys = 7
        let input = Oracle.AttentionInput(
            q: sample(positions.count * shape.queryWidth, "q"), k: sample(keys * shape.keyWidth, "k"),
            v: sample(keys * shape.keyWidth, "v"), positions: positions, shape: shape)
        let dOutput = sample(input.q.count, "dOutput")
        let (dq, dk, dv) = Oracle.attentionBackward(input, dOutput: dOutput)
        func numeric(_ part: WritableKeyPath<Oracle.AttentionInput, [Double]>) -> [Double] {
            centralDifferences(at: input[keyPath: part]) { values in
                var moved = input
                moved[keyPath: part] = values
                return inner(Oracle.attention(moved).o, dOutput)
            }
        }
        // A single visible key leaves dq and dk zero up to cancellation.
        expectClose(dq, numeric(\.q), within: Self.tolerance, floor: 1, "dq")
        expectClose(dk, numeric(\.k), within: Self.tolerance, floor: 1, "dk")
        expectClose(dv, numeric(\.v), within: Self.tolerance, "dv")
    }
}
