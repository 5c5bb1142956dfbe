import Engine

/// Token embedding and its gradient.
struct EmbeddingCase: OperatorCase {
    let tokens: [Int]
    let vocabulary: Int
    let width: Int
    var gap = 0
    var fill = Fill.normal

    var title: String {
        "embedding of \(tokens.count) tokens, \(vocabulary) x \(width)\(gap > 0 ? ", gap \(gap)" : ""), \(fill)"
    }

    static let table: [any OperatorCase] = {
        var cases = [
            EmbeddingCase(tokens: [0], vocabulary: 1, width: 1),
            EmbeddingCase(tokens: [3, 0, 3, 4], vocabulary: 5, width: 20),
            EmbeddingCase(tokens: [2, 2, 2, 2, 2, 2, 2], vocabulary: 3, width: 15, gap: 2),
            EmbeddingCase(tokens: (0..<300).map { $0 * $0 % 17 }, vocabulary: 17, width: 127),
            EmbeddingCase(tokens: (0..<40).reversed(), vocabulary: 40, width: 576),
        ]
        cases += Fill.edges.map { EmbeddingCase(tokens: [1, 0, 1], vocabulary: 2, width: 37, fill: $0) }
        return cases
    }()

    private var table: [Double] { fill.values(vocabulary * width, "table") }
    private var dy: [Double] { fill.values(tokens.count * width, "dy") }
    private var before: [Double] { fill.values(vocabulary * width, "before") }

    func compute(_ arena: inout Arena, _ pool: ThreadPool) -> [[Float]] {
        let table = arena.matrix(table, columns: width, gap: gap)
        let dy = arena.matrix(dy, columns: width, gap: gap)
        let y = arena.blank(tokens.count, width)
        let gradient = arena.matrix(before, columns: width, gap: gap)
        let tokens = arena.integers(tokens)
        Embedding.forward(table: table, tokens: tokens, y: y.base)
        Embedding.backward(dy: dy, tokens: tokens, dTable: gradient, pool: pool)
        return [arena.values(y), arena.values(gradient)]
    }

    func references() -> [Reference] {
        let gradient = Oracle.embeddingBackward(dy, tokens: tokens, rows: vocabulary)
        let sizes = Oracle.embeddingBackward(dy.magnitudes, tokens: tokens, rows: vocabulary)
        return [
            Reference(exact: "y", Oracle.embedding(table, tokens: tokens, width: width)),
            Reference(
                "gradient", zip(before, gradient).map(+), magnitudes: zip(before, sizes).map { abs($0) + $1 },
                .sum(tokens.count)),
        ]
    }
}

/// Sums over rows.
struct ColumnSumCase: OperatorCase {
    let rows: Int
    let columns: Int
    var gap = 0
    var fill = Fill.normal

    var title: String { "column sum \(rows) x \(columns)\(gap > 0 ? ", gap \(gap)" : ""), \(fill)" }

    static let table: [any OperatorCase] =
        [(1, 1), (1, 127), (3, 2), (17, 16), (100, 49), (1000, 5)].flatMap { rows, columns in
            [0, 3].map { ColumnSumCase(rows: rows, columns: columns, gap: $0) }
        } + Fill.edges.map { ColumnSumCase(rows: 9, columns: 35, fill: $0) }

    private var x: [Double] { fill.values(rows * columns, "x") }
    private var before: [Double] { fill.values(columns, "before") }

    func compute(_ arena: inout Arena, _ pool: ThreadPool) -> [[Float]] {
        let x = arena.matrix(x, columns: columns, gap: gap)
        let target = arena.matrix(before, columns: columns)
        ColumnSum.add(x, to: target.base, pool: pool)
        return [arena.values(target)]
    }

    func references() -> [Reference] {
        let sizes = Oracle.columnSum(x.magnitudes, columns: columns)
        return [
            Reference(
                "sum", zip(before, Oracle.columnSum(x, columns: columns)).map(+),
                magnitudes: zip(before, sizes).map { abs($0) + $1 }, .sum(rows))
        ]
    }
}
