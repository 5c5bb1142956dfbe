/// Root-mean-square normalisation: y = g x / sqrt(mean(x^2) + epsilon), over rows of `width` floats
/// (Zhang and Sennrich, arXiv 1910.07467).
///
/// Nothing is kept for the backward pass but x: the inverse root is one read of x away.
package enum RMSNorm {
    /// y [count, width] from x [count, width] and gain [width].
    package static func forward(
        x: Rows, gain: UnsafePointer<Float>, epsilon: Float, y: Rows, count: Int, width: Int, pool: ThreadPool
    ) {
        pool.rows(count, cost: width) { range in
            for row in range {
                let source = x[row]
                let target = y[row]
                let inverse = Self.inverse(source, epsilon, width)
                let factor = Lanes(repeating: inverse)
                var index = 0
                while index + 16 <= width {
                    (Lanes(at: source + index) * factor * Lanes(at: gain + index)).store(at: target + index)
                    index += 16
                }
                while index < width {
                    target[index] = source[index] * inverse * gain[index]
                    index += 1
                }
            }
        }
    }

    /// dx += the gradient through the norm: with i the inverse root and n the width,
    /// dx[c] += i g[c] dy[c] - x[c] i^3 / n * sum(g dy x).
    ///
    /// `inverses` [count] receives i of each row for `gainGradient`.
    package static func backward(
        x: Rows, gain: UnsafePointer<Float>, epsilon: Float, dy: Rows, dx: Rows,
        inverses: UnsafeMutablePointer<Float>, count: Int, width: Int, pool: ThreadPool
    ) {
        pool.rows(count, cost: 3 * width) { range in
            for row in range {
                let inverse = Self.inverse(x[row], epsilon, width)
                inverses[row] = inverse
                Self.backwardRow(x[row], gain, dy[row], dx[row], inverse, width)
            }
        }
    }

    /// dGain [width] += sum over rows of dy x i. Columns are split over threads, rows are added in order.
    package static func gainGradient(
        x: Rows, dy: Rows, inverses: UnsafePointer<Float>, dGain: UnsafeMutablePointer<Float>,
        count: Int, width: Int, pool: ThreadPool
    ) {
        pool.parallel(pool.width) { part, _ in
            let columns = width * part / pool.width..<width * (part + 1) / pool.width
            for row in 0..<count {
                let source = x[row]
                let gradient = dy[row]
                let inverse = inverses[row]
                for column in columns { dGain[column] += gradient[column] * source[column] * inverse }
            }
        }
    }

    @inline(__always)
    private static func inverse(_ x: UnsafePointer<Float>, _ epsilon: Float, _ width: Int) -> Float {
        1 / (Vector.dot(x, x, width) / Float(width) + epsilon).squareRoot()
    }

    @inline(__always)
    private static func backwardRow(
        _ x: UnsafePointer<Float>, _ gain: UnsafePointer<Float>, _ dy: UnsafePointer<Float>,
        _ dx: UnsafeMutablePointer<Float>, _ inverse: Float, _ width: Int
    ) {
        var lanes = Lanes.zero
        var index = 0
        while index + 16 <= width {
            lanes.addProduct(Lanes(at: gain + index) * Lanes(at: dy + index), Lanes(at: x + index))
            index += 16
        }
        var projection = lanes.total
        while index < width {
            projection += gain[index] * dy[index] * x[index]
            index += 1
        }
        let along = -projection * inverse * inverse * inverse / Float(width)
        let scale = Lanes(repeating: inverse)
        let slope = Lanes(repeating: along)
        index = 0
        while index + 16 <= width {
            let through = Lanes(at: gain + index) * Lanes(at: dy + index) * scale
            (Lanes(at: dx + index) + through.addingProduct(slope, Lanes(at: x + index))).store(at: dx + index)
            index += 16
        }
        while index < width {
            dx[index] += gain[index] * dy[index] * inverse + along * x[index]
            index += 1
        }
    }
}
