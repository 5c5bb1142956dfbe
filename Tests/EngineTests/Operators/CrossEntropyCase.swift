import Engine
import Foundation

/// Cross-entropy with its gradient, and the greedy choice.
struct CrossEntropyCase: OperatorCase {
    let count: Int
    let width: Int
    var gap = 0
    /// Deviation of the logits.
    var spread = 5.0
    /// Every so-manyth logit is minus infinity, but never a target; 0 for none.
    var maskedEvery = 0
    var fill = Fill.normal

    var title: String {
        "cross-entropy \(count) x \(width)\(gap > 0 ? ", gap \(gap)" : ""), logits x \(spread)"
            + "\(maskedEvery > 0 ? ", masked" : ""), \(fill)"
    }

    static let table: [any OperatorCase] = {
        var cases = [(1, 1), (1, 2), (1, 17), (5, 15), (5, 64), (9, 1000), (2, 49_152), (33, 2048)].map {
            CrossEntropyCase(count: $0, width: $1)
        }
        for spread in [1e-3, 30, 1000] { cases.append(CrossEntropyCase(count: 7, width: 77, gap: 3, spread: spread)) }
        for maskedEvery in [2, 3] { cases.append(CrossEntropyCase(count: 4, width: 50, maskedEvery: maskedEvery)) }
        return cases + Fill.edges.map { CrossEntropyCase(count: 3, width: 35, spread: 1, fill: $0) }
    }()

    private var targets: [Int] {
        // Never a multiple of `maskedEvery` less one.
        (0..<count).map { maskedEvery > 0 ? $0 * maskedEvery : $0 * 31 % width }
    }
    private var weights: [Double] { (0..<count).map { $0 % 3 == 1 ? 0 : sample(count, "weights")[$0] } }
    private var logits: [Double] {
        var values = fill.values(count * width, "logits").map { Double(Float($0 * spread)) }
        if maskedEvery > 0 {
            for index in values.indices where index % width % maskedEvery == maskedEvery - 1 {
                values[index] = -.infinity
            }
        }
        return values
    }

    func compute(_ arena: inout Arena, _ pool: ThreadPool) -> [[Float]] {
        let logits = arena.matrix(logits, columns: width, gap: gap)
        let weights = arena.matrix(weights, columns: count)
        let greedy = (0..<count).map { Float(CrossEntropy.greedy(logits.base + $0 * logits.stride, width)) }
        var losses = [Double](repeating: .nan, count: count)
        let targets = arena.integers(targets)
        losses.withUnsafeMutableBufferPointer { losses in
            guard let targets = targets.baseAddress, let losses = losses.baseAddress else { return }
            CrossEntropy.forwardBackward(
                logits: logits, targets: targets, weights: weights.base, losses: losses, pool: pool)
        }
        return [arena.values(logits), losses.floats, greedy]
    }

    func references() -> [Reference] {
        let (logits, targets, weights) = (logits, targets, weights)
        var sizes = logits
        var losses: [Double] = []
        var lossSizes: [Double] = []
        var greedy: [Double] = []
        for row in 0..<count {
            let line = Array(logits[row * width..<(row + 1) * width])
            let top = line.max() ?? 0
            let powers = line.map { exp($0 - top) }
            let total = powers.reduce(0, +)
            // An argument's rounding error grows with it and becomes the power's relative error.
            let condition = zip(powers, line).map { $0 == 0 ? 0 : $0 * (1 + top - $1) }
            let mean = (condition.reduce(0, +)) / total
            for column in 0..<width {
                let share = (condition[column] + powers[column] * mean) / total + Rounding.clampedExponential
                sizes[row * width + column] = abs(weights[row]) * (share + (column == targets[row] ? 1 : 0))
            }
            let loss = Oracle.crossEntropy(line, targets: [targets[row]], weights: [weights[row]])
            losses.append(loss)
            // The loss is rounded once more by this test.
            lossSizes.append(abs(weights[row]) * mean + abs(loss))
            greedy.append(Double(line.firstIndex(of: top) ?? 0))
        }
        let rounding = Rounding.sum(width) + .exponential + .steps(4)
        return [
            Reference(
                "gradient", Oracle.crossEntropyBackward(logits, targets: targets, weights: weights), magnitudes: sizes,
                rounding),
            Reference("losses", losses, magnitudes: lossSizes, rounding),
            Reference(exact: "greedy", greedy),
        ]
    }
}
