import Engine
import Foundation

/// The helpers that all kernels are made of.
struct VectorCase: OperatorCase {
    let count: Int
    var fill = Fill.normal
    private let factor: Float = -0.7

    var title: String { "vector helpers \(count), \(fill)" }

    static let table: [any OperatorCase] =
        [0, 1, 2, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 1000, 1023].map { VectorCase(count: $0) }
        + Fill.edges.flatMap { fill in [7, 53].map { VectorCase(count: $0, fill: fill) } }

    private var a: [Double] { fill.values(count, "a") }
    private var b: [Double] { sample(count, "b") }
    private var top: Float { Float(a.max() ?? 0) }

    func compute(_ arena: inout Arena, _ pool: ThreadPool) -> [[Float]] {
        let (a, b) = (arena.matrix(a, columns: count), arena.matrix(b, columns: count))
        let (added, scaled) = (arena.matrix(self.b, columns: count), arena.blank(1, count))
        let dot = Vector.dot(a.base, b.base, count)
        Vector.add(a.base, times: factor, to: added.base, count)
        Vector.scale(a.base, by: factor, to: scaled.base, count)
        let largest = Vector.largest(a.base, count)
        let powers = arena.matrix(self.a, columns: count)
        // Up to the next multiple of a vector the padded form may write, and there writes zeros.
        let room = (count + 15) / 16 * 16
        let padded = arena.matrix(self.a + Array(repeating: 1e9, count: room - count), columns: room)
        let sums = [
            Vector.exponentials(powers.base, minus: top, count),
            Vector.exponentials(padded.base, minus: top, count, padded: true),
        ]
        Vector.scale(a.base, by: factor, to: a.base, count)
        return [
            [dot], arena.values(added), arena.values(scaled), arena.values(a), [largest], arena.values(powers),
            arena.values(padded), sums,
        ]
    }

    func references() -> [Reference] {
        let (a, b, factor) = (a, b, Double(factor))
        let scaled = a.map { factor * $0 }
        let powers = a.map { exp($0 - Double(top)) }
        // An argument's rounding error is the power's relative error.
        let sizes = zip(powers, a).map { ($0 == 0 ? 0 : $0 * (1 + Double(top) - $1)) + Rounding.clampedExponential }
        let padding = Array(repeating: 0.0, count: (16 - count % 16) % 16)
        let rounding = Rounding.exponential + .steps(1)
        let sum = powers.reduce(0, +)
        let sumSize = sizes.reduce(0, +)
        return [
            Reference("dot", [inner(a, b)], magnitudes: [inner(a.magnitudes, b.magnitudes)], .sum(count) + .steps(1)),
            Reference(
                "added", zip(b, scaled).map(+), magnitudes: zip(b, scaled).map { abs($0) + abs($1) }, .steps(2)),
            Reference("scaled", scaled, .steps(1)), Reference("scaled in place", scaled, .steps(1)),
            Reference(exact: "largest", [a.max() ?? -.infinity]),
            Reference("exponentials", powers, magnitudes: sizes, rounding),
            Reference("padded", powers + padding, magnitudes: sizes + padding, rounding),
            Reference("sums", [sum, sum], magnitudes: [sumSize, sumSize], rounding + .sum(count)),
        ]
    }
}

/// Rows moved together and apart, and copied from where they lie.
struct RowMoveCase: OperatorCase {
    let rows: Int
    let width: Int
    /// Rows that are moved.
    let chosen: [Int]

    var title: String { "rows \(rows) x \(width), \(chosen.count) of them" }

    static let table: [any OperatorCase] = [
        RowMoveCase(rows: 1, width: 1, chosen: []), RowMoveCase(rows: 1, width: 3, chosen: [0]),
        RowMoveCase(rows: 7, width: 15, chosen: [0, 1, 5]), RowMoveCase(rows: 7, width: 16, chosen: [6]),
        RowMoveCase(rows: 300, width: 127, chosen: Array(stride(from: 1, to: 300, by: 3))),
        RowMoveCase(rows: 40, width: 576, chosen: Array(0..<40)),
    ]

    private var x: [Double] { sample(rows * width, "x") }

    func compute(_ arena: inout Arena, _ pool: ThreadPool) -> [[Float]] {
        let matrix = arena.matrix(x, columns: width, gap: 2)
        matrix.gather(RowChoice(chosen.map { $0 + 5 }[...], from: 5))
        let gathered = arena.values(matrix.rows(from: 0, count: chosen.count))
        matrix.scatter(RowChoice(chosen.map { $0 + 5 }[...], from: 5))
        let source = arena.rows(x, columns: width, gap: 1, scattered: true)
        let target = arena.rows(blank: rows, width, scattered: false)
        Rows.copy(source, to: target, count: rows, width: width, pool: pool)
        return [gathered, arena.values(matrix), arena.values(target, rows, width)]
    }

    func references() -> [Reference] {
        let x = x
        return [
            Reference(exact: "gathered", chosen.flatMap { x[$0 * width..<($0 + 1) * width] }),
            Reference(
                exact: "scattered", x.indices.map { chosen.contains($0 / width) ? x[$0] : 0 }),
            Reference(exact: "copied", x),
        ]
    }
}
