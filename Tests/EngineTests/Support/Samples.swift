import Engine

/// Standard normal values that all samples are taken from. Their number is prime, so that no two rows of a matrix are
/// alike.
private let normals: [Double] = {
    let stream = NormalStream(seed: 42, name: "samples")
    return (0..<65_521).map { stream[$0] }
}()

/// Reproducible values for operator tests, from a place that `name` chooses on: rounded to `Float` first, so that both
/// precisions start from the same.
func sample(_ count: Int, _ name: String, deviation: Double = 1, mean: Double = 0) -> [Double] {
    let start = name.utf8.reduce(0) { ($0 * 7919 + Int($1)) % normals.count }
    return (0..<count).map { Double(Float(mean + deviation * normals[(start + $0) % normals.count])) }
}

/// What an operand holds.
enum Fill: String, Sendable, CaseIterable {
    case normal, zeros, negativeZeros, equal, ties, huge, tiny, denormal

    /// All but the normal case.
    static let edges = Array(allCases.dropFirst())

    /// `count` values, all of them `Float`s.
    func values(_ count: Int, _ name: String) -> [Double] {
        switch self {
        case .normal: sample(count, name)
        case .zeros: Array(repeating: 0, count: count)
        case .negativeZeros: Array(repeating: -0.0, count: count)
        case .equal: Array(repeating: 0.75, count: count)
        case .ties: sample(count, name).map { $0.rounded() }
        // Squares and long sums of them stay within `Float`.
        case .huge: sample(count, name, deviation: 1e15)
        // Squares are below the normal range.
        case .tiny: sample(count, name, deviation: 1e-20)
        case .denormal: sample(count, name, deviation: 1e-40)
        }
    }
}

extension [Double] {
    var floats: [Float] { map { Float($0) } }

    /// Columns `range` of rows of `width`.
    func columns(_ range: Range<Int>, of width: Int) -> [Double] {
        (0..<count / width).flatMap { row in self[row * width + range.lowerBound..<row * width + range.upperBound] }
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
