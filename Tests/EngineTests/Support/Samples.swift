import Engine

/// Reproducible values for operator tests: rounded to `Float` first, so that both precisions start from the same.
func sample(_ count: Int, _ name: String, deviation: Double = 1, mean: Double = 0) -> [Double] {
    let stream = NormalStream(seed: 42, name: name)
    return (0..<count).map { Double(Float(mean + deviation * stream[$0])) }
}

extension [Double] {
    var floats: [Float] { map { Float($0) } }
}

/// Owned room for the results and operands of a kernel under test.
struct Arena: ~Copyable {
    private var buffers: [FloatBuffer] = []

    /// A matrix that holds `values`.
    mutating func matrix(_ values: [Double], columns: Int) -> Matrix {
        let buffer = FloatBuffer(count: values.count)
        for (index, value) in values.enumerated() { buffer.base[index] = Float(value) }
        buffers.append(buffer)
        return Matrix(buffer.base, rows: values.count / columns, columns: columns)
    }

    /// A matrix filled with a value that no kernel should leave behind.
    mutating func blank(_ rows: Int, _ columns: Int, _ value: Float = .nan) -> Matrix {
        let buffer = FloatBuffer(count: rows * columns)
        buffer.floats.update(repeating: value)
        buffers.append(buffer)
        return Matrix(buffer.base, rows: rows, columns: columns)
    }

    /// The floats of a matrix in row order; also what keeps the arena alive up to here.
    borrowing func values(_ matrix: Matrix) -> [Float] {
        (0..<matrix.rows).flatMap { row in
            (0..<matrix.columns).map { matrix.base[row * matrix.stride + $0] }
        }
    }
}

/// The gradient of `objective` at `point` by central differences.
func centralDifferences(at point: [Double], step: Double = 1e-5, _ objective: ([Double]) -> Double) -> [Double] {
    var moved = point
    return point.indices.map { index in
        moved[index] = point[index] + step
        let above = objective(moved)
        moved[index] = point[index] - step
        let below = objective(moved)
        moved[index] = point[index]
        return (above - below) / (2 * step)
    }
}

/// The inner product of two arrays.
func inner(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
