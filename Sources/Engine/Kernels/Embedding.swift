internal import Glibc

/// Token embedding: a row of the table for each token.
package enum Embedding {
    /// y [tokens, width], row r = table[tokens[r]].
    package static func forward(
        table: Matrix, tokens: UnsafeBufferPointer<Int32>, y: UnsafeMutablePointer<Float>
    ) {
        for (row, token) in tokens.enumerated() {
            precondition(token >= 0 && token < table.rows, "token \(token) is outside the vocabulary of \(table.rows)")
            let bytes = table.columns * MemoryLayout<Float>.stride
            memcpy(y + row * table.columns, table.base + Int(token) * table.stride, bytes)
        }
    }

    /// dTable[tokens[r]] += dy[r]. Threads own columns, and rows are added in order, so that repeated tokens sum alike
    /// on every run.
    package static func backward(
        dy: Matrix, tokens: UnsafeBufferPointer<Int32>, dTable: Matrix, pool: ThreadPool
    ) {
        pool.parallel(pool.width) { part, _ in
            let start = dy.columns * part / pool.width
            let end = dy.columns * (part + 1) / pool.width
            for (row, token) in tokens.enumerated() {
                Vector.add(
                    dy.base + row * dy.stride + start, times: 1, to: dTable.base + Int(token) * dTable.stride + start,
                    end - start)
            }
        }
    }
}

/// Sums over the rows of a matrix, as a bias gradient needs them.
package enum ColumnSum {
    /// target [columns] += sum over rows of x. Threads own columns.
    package static func add(_ x: Matrix, to target: UnsafeMutablePointer<Float>, pool: ThreadPool) {
        pool.parallel(pool.width) { part, _ in
            let start = x.columns * part / pool.width
            let end = x.columns * (part + 1) / pool.width
            for row in 0..<x.rows {
                Vector.add(x.base + row * x.stride + start, times: 1, to: target + start, end - start)
            }
        }
    }
}
