import Engine

/// Owned room for the results and operands of a kernel under test.
///
/// Around each matrix, and in gaps between its rows, lies a NaN that no kernel may overwrite, and that shows in the
/// results when one reads it. Matrices do not begin at multiples of a vector.
struct Arena: ~Copyable {
    private static let guardValue = Float(bitPattern: 0x7FC0_A11C)
    private static let margin = 17

    private var blocks: [(buffer: FloatBuffer, matrix: Matrix)] = []
    private var tables: [UnsafeMutableBufferPointer<UnsafeMutablePointer<Float>>] = []
    private var numbers: [UnsafeMutableBufferPointer<Int32>] = []

    init() {}

    deinit {
        for table in tables { table.deallocate() }
        for list in numbers { list.deallocate() }
    }

    /// A matrix that holds `values`, with `gap` floats between rows.
    mutating func matrix(_ values: [Double], columns: Int, gap: Int = 0) -> Matrix {
        let matrix = blank(values.count / max(columns, 1), columns, gap: gap)
        for (index, value) in values.enumerated() {
            matrix.base[index / columns * matrix.stride + index % columns] = Float(value)
        }
        return matrix
    }

    /// A matrix filled with a value that no kernel should leave behind.
    mutating func blank(_ rows: Int, _ columns: Int, _ value: Float = .nan, gap: Int = 0) -> Matrix {
        let stride = columns + gap
        let buffer = FloatBuffer(count: 2 * Self.margin + rows * stride)
        buffer.floats.update(repeating: Self.guardValue)
        let matrix = Matrix(buffer.base + Self.margin, rows: rows, columns: columns, stride: stride)
        for row in 0..<rows { (matrix.base + row * stride).update(repeating: value, count: columns) }
        blocks.append((buffer, matrix))
        return matrix
    }

    /// The rows of a matrix as they lie or, `scattered`, as a table that begins with the last.
    mutating func rows(_ matrix: Matrix, scattered: Bool) -> Rows {
        guard scattered, matrix.rows > 0 else { return matrix.asRows }
        let table = UnsafeMutableBufferPointer<UnsafeMutablePointer<Float>>.allocate(capacity: matrix.rows)
        tables.append(table)
        for row in 0..<matrix.rows {
            table.initializeElement(at: row, to: matrix.base + (matrix.rows - 1 - row) * matrix.stride)
        }
        return table.baseAddress.map { Rows(UnsafePointer($0)) } ?? matrix.asRows
    }

    /// Such rows of a matrix filled with a value that no kernel should leave behind.
    mutating func rows(blank count: Int, _ columns: Int, gap: Int = 0, scattered: Bool) -> Rows {
        let matrix = blank(count, columns, gap: gap)
        return rows(matrix, scattered: scattered)
    }

    /// Such rows of a matrix that hold `values` in their order.
    mutating func rows(_ values: [Double], columns: Int, gap: Int = 0, scattered: Bool) -> Rows {
        let matrix = blank(values.count / columns, columns, gap: gap)
        let result = rows(matrix, scattered: scattered)
        for (index, value) in values.enumerated() { result[index / columns][index % columns] = Float(value) }
        return result
    }

    /// Positions, tokens or targets as kernels take them.
    mutating func integers(_ values: [Int]) -> UnsafeBufferPointer<Int32> {
        let list = UnsafeMutableBufferPointer<Int32>.allocate(capacity: values.count)
        numbers.append(list)
        _ = list.initialize(from: values.map { Int32($0) })
        return UnsafeBufferPointer(list)
    }

    /// The floats of a matrix in row order.
    borrowing func values(_ matrix: Matrix) -> [Float] { values(matrix.asRows, matrix.rows, matrix.columns) }

    /// The floats of `count` rows in their order.
    borrowing func values(_ rows: Rows, _ count: Int, _ width: Int) -> [Float] {
        (0..<count).flatMap { UnsafeBufferPointer(start: rows[$0], count: width) }
    }

    /// Whether everything around the matrices is as it was.
    borrowing func isIntact() -> Bool {
        blocks.allSatisfy { buffer, matrix in
            let end = Self.margin + matrix.rows * matrix.stride
            func isUntouched(_ places: Range<Int>) -> Bool {
                places.allSatisfy { buffer.base[$0].bitPattern == Self.guardValue.bitPattern }
            }
            let gaps = (0..<matrix.rows).allSatisfy { row in
                let next = Self.margin + (row + 1) * matrix.stride
                return isUntouched(next - matrix.stride + matrix.columns..<next)
            }
            return gaps && isUntouched(0..<Self.margin) && isUntouched(end..<buffer.count)
        }
    }
}
