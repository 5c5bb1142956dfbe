import Engine

/// RMSNorm, forward and backward, over rows that lie together or anywhere.
struct NormCase: OperatorCase {
    let count: Int
    let width: Int
    var scattered = false
    var fill = Fill.normal
    private let epsilon: Float = 1e-5

    var title: String { "RMSNorm \(count) x \(width)\(scattered ? ", scattered" : ""), \(fill)" }

    static let table: [any OperatorCase] = {
        let sizes = [(1, 1), (1, 2), (3, 15), (2, 16), (3, 17), (3, 33), (9, 576), (70, 64), (301, 127)]
        return sizes.flatMap { count, width in
            [false, true].map { NormCase(count: count, width: width, scattered: $0) }
        } + Fill.edges.map { NormCase(count: 5, width: 83, fill: $0) }
    }()

    private var x: [Double] { fill.values(count * width, "x") }
    private var gain: [Double] { sample(width, "gain", mean: 1) }
    private var dy: [Double] { sample(count * width, "dy") }
    /// What the gradient of x is added to: of the gradient's size, or rounding would hide it.
    private var before: [Double] {
        let inverse = Oracle.inverseRoot(x, row: 0, width: width, epsilon: Double(epsilon))
        return sample(count * width, "before").map { Double(Float($0 * inverse)) }
    }
    private var gainBefore: [Double] { sample(width, "gain before") }

    func compute(_ arena: inout Arena, _ pool: ThreadPool) -> [[Float]] {
        let x = arena.rows(x, columns: width, scattered: scattered)
        let gain = arena.matrix(gain, columns: width)
        let dy = arena.rows(dy, columns: width, gap: 2, scattered: scattered)
        let y = arena.rows(blank: count, width, gap: 1, scattered: scattered)
        let dx = arena.rows(before, columns: width, scattered: scattered)
        let dGain = arena.matrix(gainBefore, columns: width)
        let inverses = arena.blank(count, 1)
        RMSNorm.forward(x: x, gain: gain.base, epsilon: epsilon, y: y, count: count, width: width, pool: pool)
        RMSNorm.backward(
            x: x, gain: gain.base, epsilon: epsilon, dy: dy, dx: dx, inverses: inverses.base, count: count,
            width: width, pool: pool)
        RMSNorm.gainGradient(
            x: x, dy: dy, inverses: inverses.base, dGain: dGain.base, count: count, width: width, pool: pool)
        return [arena.values(y, count, width), arena.values(dx, count, width), arena.values(dGain)]
    }

    func references() -> [Reference] {
        let (x, gain, dy) = (x, gain, dy)
        let y = Oracle.rmsNorm(x, gain: gain, epsilon: Double(epsilon))
        let (dx, dGain) = Oracle.rmsNormBackward(x, gain: gain, epsilon: Double(epsilon), dy: dy)
        var sizes = before.magnitudes
        var gainSizes = gainBefore.magnitudes
        for row in 0..<count {
            let inverse = Oracle.inverseRoot(x, row: row, width: width, epsilon: Double(epsilon))
            let places = row * width..<(row + 1) * width
            let projection = places.reduce(0) { $0 + abs(gain[$1 % width] * dy[$1] * x[$1]) } * inverse / Double(width)
            for place in places {
                let column = place % width
                sizes[place] += inverse * (abs(gain[column] * dy[place]) + abs(x[place]) * inverse * projection)
                // A product that underflows is multiplied by the inverse root, up to 316.
                gainSizes[column] += (abs(dy[place] * x[place]) + 0x1p-126) * inverse
            }
        }
        // Half of the mean square's error goes into each inverse root.
        let inverse = 0.5 * Rounding.sum(width) + .steps(3)
        return [
            Reference("y", y, inverse + .steps(2)),
            Reference("dx", zip(before, dx).map(+), magnitudes: sizes, 3 * inverse + .sum(width) + .steps(8)),
            Reference(
                "dGain", zip(gainBefore, dGain).map(+), magnitudes: gainSizes, inverse + .sum(count) + .steps(3)),
        ]
    }
}
