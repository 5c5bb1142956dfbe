internal import Glibc

/// A view of a row-major matrix that somebody else owns.
package struct Matrix {
    package let base: UnsafeMutablePointer<Float>
    package let rows: Int
    package let columns: Int
    /// Floats from one row to the next.
    package let stride: Int

    package init(_ base: UnsafeMutablePointer<Float>, rows: Int, columns: Int, stride: Int? = nil) {
        self.base = base
        self.rows = rows
        self.columns = columns
        self.stride = stride ?? columns
    }

    /// Columns `start..<start + count` of every row.
    package func columns(from start: Int, count: Int) -> Matrix {
        Matrix(base + start, rows: rows, columns: count, stride: stride)
    }

    /// Rows `start..<start + count`.
    package func rows(from start: Int, count: Int) -> Matrix {
        Matrix(base + start * stride, rows: count, columns: columns, stride: stride)
    }

    package var asRows: Rows { Rows(base, stride: stride) }

    /// Moves rows `chosen` to the front; what the rest then holds is undefined.
    package func gather(_ chosen: RowChoice) {
        for target in 0..<chosen.count where chosen[target] != target {
            memcpy(base + target * stride, base + chosen[target] * stride, columns * MemoryLayout<Float>.stride)
        }
    }

    /// Moves the first rows to `chosen` and clears all others: the way back from `gather`.
    package func scatter(_ chosen: RowChoice) {
        var next = chosen.count - 1
        for target in (0..<rows).reversed() {
            let row = base + target * stride
            if next >= 0, chosen[next] == target {
                if next != target { memcpy(row, base + next * stride, columns * MemoryLayout<Float>.stride) }
                next -= 1
            } else {
                memset(row, 0, columns * MemoryLayout<Float>.stride)
            }
        }
    }
}

/// Some rows of a matrix, ascending: numbers out of a list that counts from another row.
package struct RowChoice {
    private let list: ArraySlice<Int>
    private let origin: Int

    /// - Parameter origin: what `list` has for the matrix's row 0.
    package init(_ list: ArraySlice<Int>, from origin: Int = 0) {
        self.list = list
        self.origin = origin
    }

    package var count: Int { list.count }

    package subscript(index: Int) -> Int { list[list.startIndex + index] - origin }
}

/// Rows of one width that lie anywhere: evenly spaced, or each where a table says.
///
/// Recorded tensors stay in the blocks that serving filled; row-wise kernels read them in place through this view.
package struct Rows {
    private let base: UnsafeMutablePointer<Float>
    private let stride: Int
    private let table: UnsafePointer<UnsafeMutablePointer<Float>>?

    /// Row `r` at `base + r * stride`.
    package init(_ base: UnsafeMutablePointer<Float>, stride: Int) {
        self.base = base
        self.stride = stride
        table = nil
    }

    /// Row `r` at `table[r]`.
    package init(_ table: UnsafePointer<UnsafeMutablePointer<Float>>) {
        base = table[0]
        stride = 0
        self.table = table
    }

    @inline(__always)
    package subscript(row: Int) -> UnsafeMutablePointer<Float> {
        if let table { return table[row] }
        return base + row * stride
    }

    /// Row `start` becomes row 0.
    package func dropping(_ start: Int) -> Rows {
        if let table { return Rows(table + start) }
        return Rows(base + start * stride, stride: stride)
    }

    /// The rows as one matrix where they are evenly spaced by exactly `columns`; nil when they are scattered.
    package func matrix(rows: Int, columns: Int) -> Matrix? {
        guard let table else { return Matrix(base, rows: rows, columns: columns, stride: stride) }
        for row in 1..<max(rows, 1) where table[row] != table[row - 1] + columns { return nil }
        return Matrix(table[0], rows: rows, columns: columns)
    }

    /// Copies `count` rows of `width` floats.
    package static func copy(_ source: Rows, to target: Rows, count: Int, width: Int, pool: ThreadPool) {
        pool.rows(count, cost: width) { range in
            for row in range { memcpy(target[row], source[row], width * MemoryLayout<Float>.stride) }
        }
    }
}
