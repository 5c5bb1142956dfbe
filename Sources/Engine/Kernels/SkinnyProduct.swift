internal import COpenBLAS

/// y = x W^T for a few rows of x, as in decoding: reads W from memory once, at the speed of memory.
enum SkinnyProduct {
    /// Rows of x up to which streaming W beats packing it for `sgemm`.
    static let rowLimit = 24

    /// y [m, n] = scale x [m, k] W [n, k]^T, added to y when `accumulating`.
    static func forward(
        _ x: Matrix, _ w: Matrix, _ y: Matrix, scale: Float, accumulating: Bool, pool: ThreadPool
    ) {
        let blocks = (w.rows + 3) / 4
        let isSmall = w.rows * w.columns * x.rows < 20_000
        let parts = isSmall ? 1 : min(blocks, 2 * pool.width)
        pool.parallel(parts) { part, _ in
            var row = blocks * part / parts * 4
            let end = min(w.rows, blocks * (part + 1) / parts * 4)
            while row + 4 <= end {
                fourOutputs(x, w, y, row, scale, accumulating)
                row += 4
            }
            while row < end {
                for index in 0..<x.rows {
                    let sum = Vector.dot(x.base + index * x.stride, w.base + row * w.stride, w.columns) * scale
                    put(sum, y, index, row, accumulating)
                }
                row += 1
            }
        }
    }

    /// Four rows of W against all rows of x; the four stay in the first-level cache meanwhile.
    @inline(__always)
    private static func fourOutputs(
        _ x: Matrix, _ w: Matrix, _ y: Matrix, _ row: Int, _ scale: Float, _ accumulating: Bool
    ) {
        var index = 0
        while index + 4 <= x.rows {
            fourByFour(x, w, y, index, row, scale, accumulating)
            index += 4
        }
        while index < x.rows {
            oneByFour(x, w, y, index, row, scale, accumulating)
            index += 1
        }
    }

    /// Asks for the next four rows while these are in use: the processor itself looks ahead within a row only.
    @inline(__always)
    private static func prefetch(
        _ w0: UnsafePointer<Float>, _ w1: UnsafePointer<Float>, _ w2: UnsafePointer<Float>,
        _ w3: UnsafePointer<Float>, _ ahead: Int
    ) {
        alchemist_prefetch(w0 + ahead)
        alchemist_prefetch(w1 + ahead)
        alchemist_prefetch(w2 + ahead)
        alchemist_prefetch(w3 + ahead)
    }

    @inline(__always)
    private static func put(_ sum: Float, _ y: Matrix, _ row: Int, _ column: Int, _ accumulating: Bool) {
        let target = y.base + row * y.stride + column
        target.pointee = accumulating ? target.pointee + sum : sum
    }

    @inline(__always)
    private static func oneByFour(
        _ x: Matrix, _ w: Matrix, _ y: Matrix, _ index: Int, _ row: Int, _ scale: Float, _ accumulating: Bool
    ) {
        let a = x.base + index * x.stride
        let w0 = w.base + row * w.stride
        let w1 = w0 + w.stride
        let w2 = w1 + w.stride
        let w3 = w2 + w.stride
        var s0 = Lanes.zero
        var s1 = Lanes.zero
        var s2 = Lanes.zero
        var s3 = Lanes.zero
        var k = 0
        while k + 16 <= w.columns {
            prefetch(w0, w1, w2, w3, 4 * w.stride + k)
            let v = Lanes(at: a + k)
            s0.addProduct(v, Lanes(at: w0 + k))
            s1.addProduct(v, Lanes(at: w1 + k))
            s2.addProduct(v, Lanes(at: w2 + k))
            s3.addProduct(v, Lanes(at: w3 + k))
            k += 16
        }
        var sums = SIMD4(s0.total, s1.total, s2.total, s3.total)
        while k < w.columns {
            sums += a[k] * SIMD4(w0[k], w1[k], w2[k], w3[k])
            k += 1
        }
        sums *= scale
        for lane in 0..<4 { put(sums[lane], y, index, row + lane, accumulating) }
    }

    @inline(__always)
    private static func fourByFour(
        _ x: Matrix, _ w: Matrix, _ y: Matrix, _ index: Int, _ row: Int, _ scale: Float, _ accumulating: Bool
    ) {
        let x0 = x.base + index * x.stride
        let x1 = x0 + x.stride
        let x2 = x1 + x.stride
        let x3 = x2 + x.stride
        let w0 = w.base + row * w.stride
        let w1 = w0 + w.stride
        let w2 = w1 + w.stride
        let w3 = w2 + w.stride
        var a0 = Lanes.zero, a1 = Lanes.zero, a2 = Lanes.zero, a3 = Lanes.zero
        var b0 = Lanes.zero, b1 = Lanes.zero, b2 = Lanes.zero, b3 = Lanes.zero
        var c0 = Lanes.zero, c1 = Lanes.zero, c2 = Lanes.zero, c3 = Lanes.zero
        var d0 = Lanes.zero, d1 = Lanes.zero, d2 = Lanes.zero, d3 = Lanes.zero
        var k = 0
        while k + 16 <= w.columns {
            if index == 0 { prefetch(w0, w1, w2, w3, 4 * w.stride + k) }
            let u0 = Lanes(at: w0 + k)
            let u1 = Lanes(at: w1 + k)
            let u2 = Lanes(at: w2 + k)
            let u3 = Lanes(at: w3 + k)
            let p = Lanes(at: x0 + k)
            a0.addProduct(p, u0)
            a1.addProduct(p, u1)
            a2.addProduct(p, u2)
            a3.addProduct(p, u3)
            let q = Lanes(at: x1 + k)
            b0.addProduct(q, u0)
            b1.addProduct(q, u1)
            b2.addProduct(q, u2)
            b3.addProduct(q, u3)
            let r = Lanes(at: x2 + k)
            c0.addProduct(r, u0)
            c1.addProduct(r, u1)
            c2.addProduct(r, u2)
            c3.addProduct(r, u3)
            let s = Lanes(at: x3 + k)
            d0.addProduct(s, u0)
            d1.addProduct(s, u1)
            d2.addProduct(s, u2)
            d3.addProduct(s, u3)
            k += 16
        }
        var first = SIMD4(a0.total, a1.total, a2.total, a3.total)
        var second = SIMD4(b0.total, b1.total, b2.total, b3.total)
        var third = SIMD4(c0.total, c1.total, c2.total, c3.total)
        var fourth = SIMD4(d0.total, d1.total, d2.total, d3.total)
        while k < w.columns {
            let column = SIMD4(w0[k], w1[k], w2[k], w3[k])
            first += x0[k] * column
            second += x1[k] * column
            third += x2[k] * column
            fourth += x3[k] * column
            k += 1
        }
        for lane in 0..<4 {
            put(first[lane] * scale, y, index, row + lane, accumulating)
            put(second[lane] * scale, y, index + 1, row + lane, accumulating)
            put(third[lane] * scale, y, index + 2, row + lane, accumulating)
            put(fourth[lane] * scale, y, index + 3, row + lane, accumulating)
        }
    }
}
