internal import Glibc

/// Softmax cross-entropy over rows of logits, and the greedy choice.
package enum CrossEntropy {
    /// The weighted loss of each row: losses[r] = w[r] (log sum e^logits - logits[target]) in nats. Logits are lost.
    package static func forward(
        logits: Matrix, targets: UnsafePointer<Int32>, weights: UnsafePointer<Float>,
        losses: UnsafeMutablePointer<Double>, pool: ThreadPool
    ) {
        pool.rows(logits.rows, cost: 3 * logits.columns) { range in
            for row in range { losses[row] = loss(logits, row, Int(targets[row]), weights[row]).loss }
        }
    }

    /// A row's loss; its logits become e^(logits - their largest), of which `sum` is the sum.
    @inline(__always)
    private static func loss(
        _ logits: Matrix, _ row: Int, _ target: Int, _ weight: Float
    ) -> (loss: Double, sum: Float) {
        let values = logits.base + row * logits.stride
        precondition(target >= 0 && target < logits.columns, "target \(target) is outside the vocabulary")
        let chosen = Double(values[target])
        let top = Vector.largest(values, logits.columns)
        let sum = Vector.exponentials(values, minus: top, logits.columns)
        return (Double(weight) * (Double(top) + log(Double(sum)) - chosen), sum)
    }

    /// The weighted loss of each row, and its gradient in place of the logits.
    ///
    /// losses[r] = w[r] (log sum e^logits - logits[target]) in nats;
    /// logits[r] becomes w[r] (softmax(logits) - one-hot(target)).
    package static func forwardBackward(
        logits: Matrix, targets: UnsafePointer<Int32>, weights: UnsafePointer<Float>,
        losses: UnsafeMutablePointer<Double>, pool: ThreadPool
    ) {
        pool.rows(logits.rows, cost: 4 * logits.columns) { range in
            for row in range {
                let values = logits.base + row * logits.stride
                let target = Int(targets[row])
                let (loss, sum) = loss(logits, row, target, weights[row])
                losses[row] = loss
                Vector.scale(values, by: weights[row] / sum, to: values, logits.columns)
                values[target] -= weights[row]
            }
        }
    }

    /// The index of the largest value, the first of equals.
    package static func greedy(_ values: UnsafePointer<Float>, _ count: Int) -> Int {
        let top = Vector.largest(values, count)
        for index in 0..<count where values[index] == top { return index }
        return 0
    }
}
