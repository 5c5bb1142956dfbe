internal import COpenBLAS

/// Matrix products of a linear layer y = x W^T, W stored [out, in].
///
/// OpenBLAS runs on one thread; the pool cuts each product along its longer side. With few rows,
/// packing W for `sgemm` would cost more than reading it, and `SkinnyProduct` streams it instead.
package enum MatrixProduct {
    /// Rows of x up to which `forward` mostly waits for W to come from memory.
    package static let memoryBoundRows = 8
    /// Rows of x after which `forward` takes, or may take, another path.
    package static let forwardSteps = [SkinnyProduct.streamedRows, SkinnyProduct.alwaysRows, SkinnyProduct.mostRows]

    /// y [m, n] = scale x [m, k] W [n, k]^T, added to y when `accumulating`.
    package static func forward(
        _ x: Matrix, _ w: Matrix, _ y: Matrix, scale: Float = 1, accumulating: Bool = false, pool: ThreadPool
    ) {
        precondition(x.columns == w.columns && y.rows == x.rows && y.columns == w.rows, "shapes do not chain")
        if SkinnyProduct.suits(x, w) {
            SkinnyProduct.forward(x, w, y, scale: scale, accumulating: accumulating, pool: pool)
            return
        }
        split(y, depth: x.columns, pool: pool) { rows, columns in
            sgemm(
                x.rows(from: rows.lowerBound, count: rows.count), transposed: false,
                w.rows(from: columns.lowerBound, count: columns.count), transposed: true,
                y.rows(from: rows.lowerBound, count: rows.count).columns(
                    from: columns.lowerBound, count: columns.count),
                scale: scale, accumulating: accumulating)
        }
    }

    /// dx [m, k] = scale dy [m, n] W [n, k], added to dx when `accumulating`.
    package static func inputGradient(
        _ dy: Matrix, _ w: Matrix, _ dx: Matrix, scale: Float = 1, accumulating: Bool = false, pool: ThreadPool
    ) {
        precondition(dy.columns == w.rows && dx.rows == dy.rows && dx.columns == w.columns, "shapes do not chain")
        split(dx, depth: dy.columns, pool: pool) { rows, columns in
            sgemm(
                dy.rows(from: rows.lowerBound, count: rows.count), transposed: false,
                w.columns(from: columns.lowerBound, count: columns.count), transposed: false,
                dx.rows(from: rows.lowerBound, count: rows.count)
                    .columns(from: columns.lowerBound, count: columns.count),
                scale: scale, accumulating: accumulating)
        }
    }

    /// dW [n, k] += scale dy [m, n]^T x [m, k].
    package static func weightGradient(
        _ dy: Matrix, _ x: Matrix, _ dw: Matrix, scale: Float = 1, pool: ThreadPool
    ) {
        precondition(dy.rows == x.rows && dw.rows == dy.columns && dw.columns == x.columns, "shapes do not chain")
        split(dw, depth: dy.rows, pool: pool) { rows, columns in
            sgemm(
                dy.columns(from: rows.lowerBound, count: rows.count), transposed: true,
                x.columns(from: columns.lowerBound, count: columns.count), transposed: false,
                dw.rows(from: rows.lowerBound, count: rows.count)
                    .columns(from: columns.lowerBound, count: columns.count),
                scale: scale, accumulating: true)
        }
    }

    /// c = scale op(a) op(b) on the calling thread, added to c when `accumulating`.
    static func sgemm(
        _ a: Matrix, transposed transposeA: Bool, _ b: Matrix, transposed transposeB: Bool, _ c: Matrix,
        scale: Float = 1, accumulating: Bool = false
    ) {
        guard c.rows > 0, c.columns > 0 else { return }
        cblas_sgemm(
            CblasRowMajor, transposeA ? CblasTrans : CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans,
            blasint(c.rows), blasint(c.columns), blasint(transposeA ? a.rows : a.columns), scale,
            a.base, blasint(a.stride), b.base, blasint(b.stride), accumulating ? 1 : 0, c.base, blasint(c.stride))
    }

    /// Cuts the result along its longer side, in multiples of 16, one part per thread; small ones stay whole.
    private static func split(
        _ result: Matrix, depth: Int, pool: ThreadPool, _ body: (_ rows: Range<Int>, _ columns: Range<Int>) -> Void
    ) {
        let alongRows = result.rows > result.columns
        let length = alongRows ? result.rows : result.columns
        let units = (length + 15) / 16
        let isSmall = result.rows * result.columns * depth < 100_000
        let parts = isSmall ? 1 : min(pool.width, units)
        pool.parallel(parts) { part, _ in
            let range = units * part / parts * 16..<min(length, units * (part + 1) / parts * 16)
            if alongRows {
                body(range, 0..<result.columns)
            } else {
                body(0..<result.rows, range)
            }
        }
    }
}
