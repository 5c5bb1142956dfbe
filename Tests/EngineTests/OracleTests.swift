import Engine
import Testing

/// The oracles' gradients against central finite differences of the oracles themselves.
@Suite("Oracles against finite differences")
struct OracleTests {
    /// Steps of h = 1e-5 cut a function off after h^2 / 6 of its third derivative, some 1e-10 here, and divide its rounding
    /// error by 2 h: 2^-53 of a sum of up to a few hundred terms of order 1, some 1e-9.
    static let tolerance = 1e-8

    @Test(arguments: GradientCase.table)
    func gradient(_ test: GradientCase) {
        let operands = test.operands.map(\.values)
        let dValue = sample(test.value(operands).count, "dValue")
        let gradients = test.gradient(operands, dValue)
        #expect(gradients.count == operands.count)
        for (index, gradient) in gradients.enumerated() {
            let numeric = centralDifferences(at: operands[index]) { moved in
                var all = operands
                all[index] = moved
                return inner(test.value(all), dValue)
            }
            // Equal probabilities leave some gradients zero up to cancellation, hence a floor of order 1.
            expectClose(gradient, numeric, within: Self.tolerance, floor: 1, test.operands[index].name)
            let wrong = gradient.enumerated().map { $0.offset == gradient.count / 2 ? $0.element + 1e-4 : $0.element }
            let noticed = Closeness(wrong, numeric, floor: 1).complaint(beyond: Self.tolerance)
            #expect(noticed != nil, "a wrong gradient of \(test.operands[index].name) would pass")
        }
    }

    /// The log-sum is what the backward pass rebuilds probabilities from.
    @Test("attention's log-sums: their derivative by one score is its probability")
    func logSum() {
        let shape = AttentionShape(heads: 1, kvHeads: 1, headSize: 2)
        // Keys that are multiples of (1, 0), values that pick out one key each.
        let input = { (keys: [Double]) in
            Oracle.AttentionInput(
                q: [Double(2).squareRoot(), 0], k: keys.flatMap { [$0, 0] }, v: [1, 0, 0, 1, 0, 0], positions: [2],
                shape: shape)
        }
        let keys = [0.3, -1.2, 0.9]
        let numeric = centralDifferences(at: keys) { Oracle.attention(input($0)).lse[0] }
        expectClose(Oracle.attention(input(keys)).o, numeric.prefix(2), within: Self.tolerance, "probabilities")
    }

    @Test("AdamW's first step has the learning rate's length, whatever the gradient's", arguments: [-1e3, 1e-3, 5])
    func adamW(gradient: Double) {
        var moments = (first: 0.0, second: 0.0)
        let rule = AdamW(epsilon: 1e-30, weightDecay: 0.1)
        let value = Oracle.adamW(
            rule, step: 1, value: 2, gradient: gradient, moments: &moments, learningRate: 0.5, decays: true)
        #expect(abs(value - (2 * 0.95 - (gradient > 0 ? 0.5 : -0.5))) < 1e-12)
        #expect(abs(moments.first - 0.1 * gradient) <= 1e-15 * abs(gradient))
        #expect(abs(moments.second - 0.001 * gradient * gradient) <= 1e-15 * gradient * gradient)
    }
}
