internal import Glibc

extension Oracle {
    /// What attention reads: q [rows, heads d], K and V [keys, kvHeads d], and the position of each query.
    package struct AttentionInput {
        package var q: [Double]
        package var k: [Double]
        package var v: [Double]
        package let positions: [Int]
        package let shape: AttentionShape

        package init(q: [Double], k: [Double], v: [Double], positions: [Int], shape: AttentionShape) {
            self.q = q
            self.k = k
            self.v = v
            self.positions = positions
            self.shape = shape
        }
    }

    /// o [rows, heads d] and lse [rows, heads]; a query at position p sees keys 0...p.
    package static func attention(_ input: AttentionInput) -> (o: [Double], lse: [Double]) {
        let shape = input.shape
        let d = shape.headSize
        var o = [Double](repeating: 0, count: input.q.count)
        var lse = [Double](repeating: 0, count: input.positions.count * shape.heads)
        for row in input.positions.indices {
            for head in 0..<shape.heads {
                let (p, logSum) = probabilities(input, row, head)
                lse[row * shape.heads + head] = logSum
                for (key, share) in p.enumerated() {
                    for c in 0..<d {
                        o[row * shape.queryWidth + head * d + c] += share * input.v[place(key, head, c, shape)]
                    }
                }
            }
        }
        return (o, lse)
    }

    /// Gradients of q, K and V. With P the probabilities and dP = dO V^T: dS = P (dP - sum(P dP)).
    package static func attentionBackward(
        _ input: AttentionInput, dOutput: [Double]
    ) -> (dq: [Double], dk: [Double], dv: [Double]) {
        let shape = input.shape
        let d = shape.headSize
        let scale = 1 / Double(d).squareRoot()
        var dq = [Double](repeating: 0, count: input.q.count)
        var dk = [Double](repeating: 0, count: input.k.count)
        var dv = dk
        for row in input.positions.indices {
            for head in 0..<shape.heads {
                let query = row * shape.queryWidth + head * d
                let (p, _) = probabilities(input, row, head)
                var dp = [Double](repeating: 0, count: p.count)
                for key in p.indices {
                    for c in 0..<d {
                        dp[key] += dOutput[query + c] * input.v[place(key, head, c, shape)]
                        dv[place(key, head, c, shape)] += p[key] * dOutput[query + c]
                    }
                }
                let mean = zip(p, dp).reduce(0) { $0 + $1.0 * $1.1 }
                for key in p.indices {
                    let ds = p[key] * (dp[key] - mean) * scale
                    for c in 0..<d {
                        dq[query + c] += ds * input.k[place(key, head, c, shape)]
                        dk[place(key, head, c, shape)] += ds * input.q[query + c]
                    }
                }
            }
        }
        return (dq, dk, dv)
    }

    private static func place(_ key: Int, _ head: Int, _ component: Int, _ shape: AttentionShape) -> Int {
        key * shape.keyWidth + head / shape.group * shape.headSize + component
    }

    private static func probabilities(
        _ input: AttentionInput, _ row: Int, _ head: Int
    ) -> (p: [Double], logSum: Double) {
        let shape = input.shape
        let d = shape.headSize
        let scores = (0...input.positions[row]).map { key in
            (0..<d).reduce(0.0) { sum, c in
                sum + input.q[row * shape.queryWidth + head * d + c] * input.k[place(key, head, c, shape)]
            } / Double(d).squareRoot()
        }
        let top = scores.max() ?? 0
        let powers = scores.map { exp($0 - top) }
        let total = powers.reduce(0, +)
        return (powers.map { $0 / total }, top + log(total))
    }
}
