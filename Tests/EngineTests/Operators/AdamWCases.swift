import Engine

/// One update of AdamW.
struct AdamWCase: OperatorCase {
    let count: Int
    let step: Int
    var rule = AdamW(weightDecay: 0.1)
    var gradientScale = 1.0
    var decays = true
    var fill = Fill.normal
    private let learningRate = 0.003

    var title: String {
        "AdamW \(count), step \(step), betas \(rule.beta1) \(rule.beta2), epsilon \(rule.epsilon), "
            + "gradient x \(gradientScale), \(decays ? "decay" : "no decay"), \(fill)"
    }

    static let table: [any OperatorCase] = {
        var cases: [AdamWCase] = []
        for count in [1, 15, 16, 17, 1000, 33_333] {
            for step in [1, 2, 1000] { cases.append(AdamWCase(count: count, step: step)) }
        }
        cases.append(AdamWCase(count: 100, step: 1, rule: AdamW(beta1: 0, beta2: 0.5)))
        cases.append(AdamWCase(count: 100, step: 3, rule: AdamW(beta1: 0.8, beta2: 0.95, epsilon: 1e-6), decays: false))
        cases.append(AdamWCase(count: 100, step: 10, rule: AdamW(beta2: 0.99999), gradientScale: 0.037))
        for fill in Fill.edges {
            for step in [1, 5] { cases.append(AdamWCase(count: 37, step: step, fill: fill)) }
        }
        return cases
    }()

    private var gradient: [Double] { fill.values(count, "gradient") }
    private var weight: [Double] { sample(count, "weight") }
    /// Moments of gradients of the same size.
    private var first: [Double] {
        step == 1 ? Array(repeating: 0, count: count) : fill.values(count, "first").map { Double(Float($0 / 10)) }
    }
    private var second: [Double] {
        step == 1 ? Array(repeating: 0, count: count) : fill.values(count, "second").map { Double(Float($0 * $0 / 10)) }
    }

    func compute(_ arena: inout Arena, _ pool: ThreadPool) -> [[Float]] {
        let gradient = arena.matrix(gradient, columns: count)
        let first = arena.matrix(first, columns: count)
        let second = arena.matrix(second, columns: count)
        let source = arena.matrix(weight, columns: count)
        let target = arena.blank(1, count)
        let coefficients = AdamW.Coefficients(
            rule, step: step, learningRate: learningRate, gradientScale: gradientScale, decays: decays)
        AdamW.update(
            coefficients, gradient: gradient.base, first: first.base, second: second.base, from: source.base,
            to: target.base, count: count, pool: pool)
        // In place as well.
        let again = arena.matrix(weight, columns: count)
        let (m, v) = (arena.matrix(self.first, columns: count), arena.matrix(self.second, columns: count))
        AdamW.update(
            coefficients, gradient: gradient.base, first: m.base, second: v.base, from: again.base, to: again.base,
            count: count, pool: pool)
        return [arena.values(first), arena.values(second), arena.values(target), arena.values(again)]
    }

    func references() -> [Reference] {
        // The kernel's betas are those rounded to `Float`.
        var rule = rule
        rule.beta1 = Double(Float(rule.beta1))
        rule.beta2 = Double(Float(rule.beta2))
        let (gradient, first, second, weight) = (gradient.map { $0 * gradientScale }, first, second, weight)
        var moments = zip(first, second).map { (first: $0, second: $1) }
        var weights: [Double] = []
        var firstSizes: [Double] = []
        var sizes: [Double] = []
        for index in 0..<count {
            weights.append(
                Oracle.adamW(
                    rule, step: step, value: weight[index], gradient: gradient[index], moments: &moments[index],
                    learningRate: learningRate, decays: decays))
            let size = rule.beta1 * abs(first[index]) + (1 - rule.beta1) * abs(gradient[index])
            firstSizes.append(size)
            // The step, as far as the first moment's terms do not cancel.
            var terms = (first: abs(first[index]), second: second[index])
            let step = Oracle.adamW(
                rule, step: step, value: 0, gradient: abs(gradient[index]), moments: &terms,
                learningRate: learningRate, decays: false)
            sizes.append(abs(weight[index]) + abs(step))
        }
        return [
            Reference("first moment", moments.map(\.first), magnitudes: firstSizes, .steps(5)),
            Reference("second moment", moments.map(\.second), .steps(7)),
            Reference("weights", weights, magnitudes: sizes, .steps(18)),
            Reference("weights in place", weights, magnitudes: sizes, .steps(18)),
        ]
    }
}

/// The sum of squares of a gradient, in `Double`.
struct SquaredNormCase: OperatorCase {
    let count: Int
    var fill = Fill.normal

    var title: String { "squared norm \(count), \(fill)" }

    static let table: [any OperatorCase] =
        // Blocks have 16384 values.
        [0, 1, 7, 8, 9, 1000, 16_383, 16_384, 16_385, 50_000].map { SquaredNormCase(count: $0) }
        + Fill.edges.map { SquaredNormCase(count: 77, fill: $0) }

    private var x: [Double] { fill.values(count, "x") }

    func compute(_ arena: inout Arena, _ pool: ThreadPool) -> [[Float]] {
        let x = arena.matrix(x, columns: count)
        let norm = AdamW.squaredNorm(UnsafeBufferPointer(start: x.base, count: count), pool: pool)
        return [[Float(expected == 0 ? norm : (norm / expected - 1) * 0x1p29)]]
    }

    private var expected: Double { inner(x, x) }

    func references() -> [Reference] {
        // Both sums round at 2^-53, which is 2^-24 in units of 2^-29.
        [Reference("relative error", [0], magnitudes: [1], 2 * .sum(count))]
    }
}
