import Engine
import Foundation

/// What attention over one span should give, and what rounding does to it.
///
/// A score s = q k / sqrt(d) errs with S = |q| |k| / sqrt(d), and its difference from the top with that difference; both
/// become relative errors of the probability. So does the logarithm of the softmax's denominator, backward.
struct AttentionReferences {
    let o: Reference
    let lse: Reference
    let dq: Reference
    let dk: Reference
    let dv: Reference

    init(_ input: Oracle.AttentionInput, dOutput: [Double]) {
        let shape = input.shape
        let d = shape.headSize
        let keys = input.k.count / shape.keyWidth
        let (o, lse) = Oracle.attention(input)
        let gradient = Oracle.attentionBackward(input, dOutput: dOutput)
        var sizes = Sizes(input)
        for row in input.positions.indices {
            for head in 0..<shape.heads { sizes.add(input, dOutput, row: row, head: head) }
        }
        let forward = Rounding.sum(d) + .sum(keys) + .exponential + .steps(6)
        let backward = 3 * .sum(d) + forward + .exponential + .steps(8)
        self.o = Reference("o", o, magnitudes: sizes.o, forward)
        self.lse = Reference("lse", lse, magnitudes: sizes.lse, forward)
        dq = Reference("dq", gradient.dq, magnitudes: sizes.dq, backward + .sum(keys))
        // The heads of a group add to the same K and V.
        let rows = Rounding.sum(input.positions.count * shape.group)
        dk = Reference("dk", gradient.dk, magnitudes: sizes.dk, backward + rows)
        dv = Reference("dv", gradient.dv, magnitudes: sizes.dv, backward + rows)
    }
}

/// Magnitudes of attention's results.
private struct Sizes {
    var o: [Double]
    var lse: [Double] = []
    var dq: [Double]
    var dk: [Double]
    var dv: [Double]

    init(_ input: Oracle.AttentionInput) {
        o = [Double](repeating: 0, count: input.q.count)
        dq = o
        dk = [Double](repeating: 0, count: input.k.count)
        dv = dk
    }

    /// One query at one head; called in the order of rows and heads.
    mutating func add(_ input: Oracle.AttentionInput, _ dOutput: [Double], row: Int, head: Int) {
        let shape = input.shape
        let d = shape.headSize
        let scale = 1 / Double(d).squareRoot()
        let query = row * shape.queryWidth + head * d
        let count = input.positions[row] + 1
        let offset = head / shape.group * d
        var scores = [Double](repeating: 0, count: count)
        var scoreSizes = scores
        // |dO| |v|, the size of the probability's gradient.
        var slopes = scores
        for key in 0..<count {
            let place = key * shape.keyWidth + offset
            for c in 0..<d {
                let product = input.q[query + c] * input.k[place + c] * scale
                scores[key] += product
                scoreSizes[key] += abs(product)
                slopes[key] += abs(dOutput[query + c] * input.v[place + c])
            }
        }
        let top = scores.max() ?? 0
        let total = scores.reduce(0) { $0 + exp($1 - top) }
        let shares = scores.map { exp($0 - top) / total }
        let conditions = scores.indices.map { 1 + scoreSizes[$0] + top - scores[$0] }
        let mean = zip(shares, conditions).reduce(0) { $0 + $1.0 * $1.1 }
        let logSize = abs(top) + abs(log(total)) + mean
        lse.append(logSize)
        for key in 0..<count {
            let weight = shares[key] * (conditions[key] + mean) + Rounding.clampedExponential
            for c in 0..<d { o[query + c] += weight * abs(input.v[key * shape.keyWidth + offset + c]) }
        }
        let projection = (0..<d).reduce(0) { $0 + abs(dOutput[query + $1]) * o[query + $1] }
        for key in 0..<count {
            let place = key * shape.keyWidth + offset
            let weight = shares[key] * (conditions[key] + logSize) + Rounding.clampedExponential
            let slope = weight * (slopes[key] + projection) * scale
            for c in 0..<d {
                dq[query + c] += slope * abs(input.k[place + c])
                dk[place + c] += slope * abs(input.q[query + c])
                dv[place + c] += weight * abs(dOutput[query + c])
            }
        }
    }
}
