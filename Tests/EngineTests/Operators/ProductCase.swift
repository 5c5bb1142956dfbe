import Engine

/// A linear layer, forward and backward.
struct ProductCase: OperatorCase {
    /// Rows of x, rows of W, columns of both.
    let m: Int
    let n: Int
    let k: Int
    /// Floats between the rows of every matrix.
    var gap = 0
    var scale = 1.0
    var accumulating = false
    /// The streams of W's rows and of its panels are cut without effect on an element; `sgemm` promises no such thing.
    var isForwardOnly = false
    var fill = Fill.normal

    /// Results on fewer rows than `sgemm` is good for; see `SkinnyProduct.suits`.
    var isSameOnAnyWidth: Bool { isForwardOnly && m <= 64 }

    var title: String {
        "product \(m) x \(n) x \(k)\(isForwardOnly ? ", forward" : "")\(gap > 0 ? ", gap \(gap)" : "")"
            + "\(scale == 1 ? "" : ", scale \(scale)")\(accumulating ? ", added" : ""), \(fill)"
    }

    static let table: [any OperatorCase] = {
        // Streamed rows, panels of 8, 16 and 32 and their remainders, and both sides of the step to `sgemm`.
        let rows = Array(1...9) + [15, 16, 17, 31, 32, 33, 63, 64, 65]
        var cases: [ProductCase] = []
        for m in rows {
            for k in [1, 15, 127, 128, 576] {
                for n in [1, 7, 8, 27] { cases.append(ProductCase(m: m, n: n, k: k, isForwardOnly: true)) }
            }
            cases.append(
                ProductCase(m: m, n: 41, k: 100, gap: 3, scale: -0.5, accumulating: true, isForwardOnly: true))
        }
        // Rows and columns of W enough for panels instead of `sgemm`, and one too few.
        for m in [65, 255, 256, 257] {
            for (n, k) in [(255, 128), (256, 127), (256, 128), (259, 128), (259, 576)] {
                cases.append(ProductCase(m: m, n: n, k: k, isForwardOnly: true))
            }
        }
        for (m, n, k) in [
            (1, 1, 1), (1, 7, 3), (3, 5, 17), (2, 1, 100), (24, 50, 31), (31, 64, 25), (65, 33, 64), (70, 129, 50),
            (129, 48, 300), (255, 17, 40), (257, 300, 16),
        ] {
            for (gap, scale, accumulating) in [(0, 1.0, false), (5, 2, true), (0, -0.125, true), (1, 3, false)] {
                cases.append(ProductCase(m: m, n: n, k: k, gap: gap, scale: scale, accumulating: accumulating))
            }
        }
        for fill in Fill.edges {
            for m in [1, 5, 20, 70] { cases.append(ProductCase(m: m, n: 19, k: 37, accumulating: true, fill: fill)) }
        }
        return cases
    }()

    private var x: [Double] { fill.values(m * k, "x") }
    private var w: [Double] { sample(n * k, "w") }
    private var dy: [Double] { sample(m * n, "dy") }
    private func before(_ count: Int) -> [Double] { sample(count, "before") }

    func compute(_ arena: inout Arena, _ pool: ThreadPool) -> [[Float]] {
        let x = arena.matrix(x, columns: k, gap: gap)
        let w = arena.matrix(w, columns: k, gap: gap)
        let factor = Float(scale)
        let y = result(&arena, m, n)
        MatrixProduct.forward(x, w, y, scale: factor, accumulating: accumulating, pool: pool)
        if isForwardOnly { return [arena.values(y)] }
        let dy = arena.matrix(dy, columns: n, gap: gap)
        let dx = result(&arena, m, k)
        let dw = arena.matrix(before(n * k), columns: k, gap: gap)
        MatrixProduct.inputGradient(dy, w, dx, scale: factor, accumulating: accumulating, pool: pool)
        MatrixProduct.weightGradient(dy, x, dw, scale: factor, pool: pool)
        return [arena.values(y), arena.values(dx), arena.values(dw)]
    }

    /// What is added to, or what must not stay.
    private func result(_ arena: inout Arena, _ rows: Int, _ columns: Int) -> Matrix {
        accumulating
            ? arena.matrix(before(rows * columns), columns: columns, gap: gap) : arena.blank(rows, columns, gap: gap)
    }

    func references() -> [Reference] {
        let y = reference(
            "y", Oracle.linear(x, w, k: k), Oracle.linear(x.magnitudes, w.magnitudes, k: k), accumulating, terms: k)
        if isForwardOnly { return [y] }
        let gradients = Oracle.linearBackward(x, w, dy: dy, k: k)
        let sizes = Oracle.linearBackward(x.magnitudes, w.magnitudes, dy: dy.magnitudes, k: k)
        return [
            y, reference("dx", gradients.dx, sizes.dx, accumulating, terms: n),
            reference("dw", gradients.dw, sizes.dw, true, terms: m),
        ]
    }

    private func reference(
        _ name: String, _ product: [Double], _ magnitudes: [Double], _ isAdded: Bool, terms: Int
    ) -> Reference {
        let before = isAdded ? before(product.count) : Array(repeating: 0, count: product.count)
        return Reference(
            name, zip(before, product).map { $0 + scale * $1 },
            magnitudes: zip(before, magnitudes).map { abs($0) + abs(scale) * $1 }, .sum(terms) + .steps(2))
    }
}
