import Engine
import Foundation

/// SwiGLU, forward and backward.
struct SwiGLUCase: OperatorCase {
    let count: Int
    let width: Int
    var scattered = false
    /// Deviation of the gates: beyond 87, e^-gate leaves the range of `Float`.
    var spread = 1.0
    var fill = Fill.normal

    var title: String {
        "SwiGLU \(count) x \(width)\(scattered ? ", scattered" : ""), gates x \(spread), \(fill)"
    }

    static let table: [any OperatorCase] = {
        var cases = [(1, 1), (2, 15), (3, 16), (3, 17), (40, 100), (129, 37)].flatMap { count, width in
            [1.0, 30, 300].map { SwiGLUCase(count: count, width: width, scattered: $0 == 30, spread: $0) }
        }
        cases += Fill.edges.map { SwiGLUCase(count: 3, width: 51, fill: $0) }
        return cases
    }()

    private var gateUp: [Double] { fill.values(count * 2 * width, "gateUp").map { Double(Float($0 * spread)) } }
    private var dy: [Double] { sample(count * width, "dy") }

    func compute(_ arena: inout Arena, _ pool: ThreadPool) -> [[Float]] {
        let gateUp = arena.rows(gateUp, columns: 2 * width, scattered: scattered)
        let dy = arena.rows(dy, columns: width, gap: 1, scattered: scattered)
        let y = arena.rows(blank: count, width, gap: 2, scattered: scattered)
        let gradient = arena.rows(blank: count, 2 * width, scattered: scattered)
        SwiGLU.forward(gateUp: gateUp, y: y, count: count, width: width, pool: pool)
        SwiGLU.backward(gateUp: gateUp, dy: dy, dGateUp: gradient, count: count, width: width, pool: pool)
        return [arena.values(y, count, width), arena.values(gradient, count, 2 * width)]
    }

    func references() -> [Reference] {
        let (gateUp, dy) = (gateUp, dy)
        var sizes = [Double](repeating: 0, count: dy.count)
        var gradientSizes = [Double](repeating: 0, count: gateUp.count)
        for place in dy.indices {
            let index = place / width * 2 * width + place % width
            let (gate, up) = (gateUp[index], gateUp[index + width])
            let sigmoid = 1 / (1 + exp(-gate)) + Rounding.clampedExponential
            sizes[place] = abs(gate * up) * sigmoid
            // 1 - sigmoid errs as the sigmoid does, however small it is itself.
            gradientSizes[index] = abs(dy[place] * up) * sigmoid * (1 + abs(gate))
            gradientSizes[index + width] = abs(dy[place] * gate) * sigmoid
        }
        let sigmoid = Rounding.exponential + .steps(2)
        return [
            Reference("y", Oracle.swiGLU(gateUp, width: width), magnitudes: sizes, sigmoid + .steps(2)),
            Reference(
                "gradient", Oracle.swiGLUBackward(gateUp, width: width, dy: dy), magnitudes: gradientSizes,
                2 * sigmoid + .steps(6)),
        ]
    }
}
