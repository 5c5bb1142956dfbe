internal import COpenBLAS
internal import Glibc

/// y = x W^T for a few rows of x, as in decoding: reads W from memory once, in the order in which it lies.
///
/// One to four rows of x are multiplied with one row of W at a time, so that memory sees a single stream. More rows
/// are arithmetic's business: x is packed by columns, and each float of W multiplies a vector that holds one column of
/// 8, 16 or 32 rows of x, without sums across lanes at the end.
enum SkinnyProduct {
    /// Whether this beats `sgemm`, which packs W first: up to 64 rows always; up to 256 while the packed x stays in the
    /// second-level cache beside the rows of W in use, and W has rows enough to make packing x worth it.
    static func suits(_ x: Matrix, _ w: Matrix) -> Bool {
        if x.rows <= alwaysRows { return true }
        let packed = (x.rows + 15) / 16 * 16 * x.columns
        return x.rows <= mostRows && packed <= 160 << 10 && x.columns >= 128 && w.rows >= 256
    }

    /// Rows of x up to which W is read row by row.
    static let streamedRows = 4
    /// Rows of x up to which this always beats `sgemm`, and up to which it may.
    static let alwaysRows = 64
    static let mostRows = 256
    /// Rows of W that are multiplied with a panel of x together.
    private static let group = 8
    /// Rows of x in a panel, at most.
    private static let panelRows = 32

    /// Makes room for the packed rows of every product with at most `columns` columns, so that no product has to.
    static func reserve(columns: Int, pool: ThreadPool) { _ = pool.reserveScratch(max(64 * columns, 160 << 10)) }

    /// y [m, n] = scale x [m, k] W [n, k]^T, added to y when `accumulating`.
    static func forward(
        _ x: Matrix, _ w: Matrix, _ y: Matrix, scale: Float, accumulating: Bool, pool: ThreadPool
    ) {
        let isSmall = w.rows * w.columns * x.rows < 20_000
        let output = Output(y, scale: scale, accumulating: accumulating)
        let packed = x.rows > streamedRows && w.rows >= group ? Packed(x, pool: pool) : nil
        let groups = (w.rows + group - 1) / group
        let parts = isSmall ? 1 : min(groups, 2 * pool.width)
        pool.parallel(parts) { part, _ in
            let start = groups * part / parts * group
            let end = min(w.rows, groups * (part + 1) / parts * group)
            var row = start
            if let packed {
                while row + group <= end {
                    for panel in 0..<packed.panels { multiply(packed[panel], w, row, output) }
                    row += group
                }
            }
            while row < end {
                streamed(x, w, row, output)
                row += 1
            }
        }
    }

    /// Where results go, and how.
    private struct Output {
        let y: Matrix
        let scale: Float
        let accumulating: Bool

        init(_ y: Matrix, scale: Float, accumulating: Bool) {
            self.y = y
            self.scale = scale
            self.accumulating = accumulating
        }

        @inline(__always)
        func put(_ sum: Float, row: Int, column: Int) {
            let target = y.base + row * y.stride + column
            target.pointee = accumulating ? target.pointee + sum * scale : sum * scale
        }

        /// Eight columns, `sums[c]` of which hold one float for each of `count` rows from `row` on.
        @inline(__always)
        func put(_ sums: UnsafePointer<Float>, width: Int, row: Int, count: Int, column: Int) {
            for index in 0..<count {
                let source = sums + index
                let eight =
                    SIMD8(
                        source[0], source[width], source[2 * width], source[3 * width], source[4 * width],
                        source[5 * width], source[6 * width], source[7 * width]) * scale
                let target = UnsafeMutableRawPointer(y.base + (row + index) * y.stride + column)
                let before = accumulating ? target.loadUnaligned(as: SIMD8<Float>.self) : .zero
                target.storeBytes(of: before + eight, as: SIMD8<Float>.self)
            }
        }
    }

    // MARK: Few rows

    /// One row of W against all rows of x.
    @inline(__always)
    private static func streamed(_ x: Matrix, _ w: Matrix, _ row: Int, _ output: Output) {
        let weights = w.base + row * w.stride
        var index = 0
        while index + 4 <= x.rows {
            let sums = four(x.base + index * x.stride, x.stride, weights, w.columns)
            for lane in 0..<4 { output.put(sums[lane], row: index + lane, column: row) }
            index += 4
        }
        while index < x.rows {
            output.put(Vector.dot(x.base + index * x.stride, weights, w.columns), row: index, column: row)
            index += 1
        }
    }

    /// Products of four rows of x with one of W.
    ///
    /// Their arithmetic fills the processor's window of instructions, so that loads do not run far enough ahead by
    /// themselves to keep memory busy; 8 KiB of W are asked for.
    @inline(__always)
    private static func four(
        _ x: UnsafePointer<Float>, _ stride: Int, _ w: UnsafePointer<Float>, _ count: Int
    ) -> SIMD4<Float> {
        var (a, b, c, d) = (Half.zero, Half.zero, Half.zero, Half.zero)
        var (e, f, g, h) = (Half.zero, Half.zero, Half.zero, Half.zero)
        var k = 0
        while k + 16 <= count {
            alchemist_prefetch_far(w + k + 2048)
            let (low, high) = (Half(at: w + k), Half(at: w + k + 8))
            let place = x + k
            a.addProduct(low, Half(at: place))
            b.addProduct(low, Half(at: place + stride))
            c.addProduct(low, Half(at: place + 2 * stride))
            d.addProduct(low, Half(at: place + 3 * stride))
            e.addProduct(high, Half(at: place + 8))
            f.addProduct(high, Half(at: place + stride + 8))
            g.addProduct(high, Half(at: place + 2 * stride + 8))
            h.addProduct(high, Half(at: place + 3 * stride + 8))
            k += 16
        }
        var sums = SIMD4((a + e).total, (b + f).total, (c + g).total, (d + h).total)
        while k < count {
            sums += w[k] * SIMD4(x[k], x[stride + k], x[2 * stride + k], x[3 * stride + k])
            k += 1
        }
        return sums
    }

    // MARK: More rows

    /// Some rows of x by columns: [k, width], rows past `rows` zero.
    private struct Panel {
        let base: UnsafeMutablePointer<Float>
        let start: Int
        let rows: Int
        /// 8, 16 or 32.
        let width: Int

        init(base: UnsafeMutablePointer<Float>, start: Int, rows: Int) {
            self.base = base
            self.start = start
            self.rows = rows
            width = rows <= 8 ? 8 : (rows + 15) / 16 * 16
        }
    }

    /// x in panels, one behind another in the pool's scratch.
    private struct Packed {
        private let x: Matrix
        private let base: UnsafeMutablePointer<Float>

        init(_ x: Matrix, pool: ThreadPool) {
            self.x = x
            base = pool.reserveScratch(x.columns * ((x.rows + 15) / 16 * 16))
            let base = base
            for index in 0..<panels {
                let panel = Self.panel(index, of: x, at: base)
                pool.rows(x.columns, cost: 2 * panel.width) { columns in
                    for row in 0..<panel.width {
                        let source = x.base + (panel.start + row) * x.stride
                        for column in columns {
                            panel.base[column * panel.width + row] = row < panel.rows ? source[column] : 0
                        }
                    }
                }
            }
        }

        var panels: Int { (x.rows + panelRows - 1) / panelRows }

        subscript(index: Int) -> Panel { Self.panel(index, of: x, at: base) }

        /// All panels but the last are full.
        private static func panel(_ index: Int, of x: Matrix, at base: UnsafeMutablePointer<Float>) -> Panel {
            let start = index * panelRows
            let rows = min(panelRows, x.rows - start)
            return Panel(base: base + start * x.columns, start: start, rows: rows)
        }
    }

    /// Eight rows of W against a panel. The first panel asks for the next eight rows meanwhile.
    @inline(__always)
    private static func multiply(_ panel: Panel, _ w: Matrix, _ row: Int, _ output: Output) {
        withUnsafeTemporaryAllocation(of: Float.self, capacity: group * panelRows) { sums in
            guard let sums = sums.baseAddress else { return }
            let weights = w.base + row * w.stride
            let asksAhead = panel.start == 0
            switch panel.width {
            case 8: eight(panel.base, weights, w.stride, w.columns, asksAhead: asksAhead, sums)
            case 16: sixteen(panel.base, weights, w.stride, w.columns, asksAhead: asksAhead, sums)
            default: thirtyTwo(panel.base, weights, w.stride, w.columns, asksAhead: asksAhead, sums)
            }
            output.put(sums, width: panel.width, row: panel.start, count: panel.rows, column: row)
        }
    }

    /// Asks for what lies as far behind the eight rows as `k` lies behind their beginning, line by line; in the second-level
    /// cache, because sixteen rows rarely fit the first.
    @inline(__always)
    private static func prefetch(_ w: UnsafePointer<Float>, _ stride: Int, _ k: Int) {
        let next = w + group * stride + group * k
        for line in 0..<group { alchemist_prefetch_far(next + 16 * line) }
    }

    /// sums [8, 8] = eight rows of W times the panel x [count, 8].
    @inline(__always)
    private static func eight(
        _ x: UnsafePointer<Float>, _ w: UnsafePointer<Float>, _ stride: Int, _ count: Int, asksAhead: Bool,
        _ sums: UnsafeMutablePointer<Float>
    ) {
        var a = Half.zero, b = Half.zero, c = Half.zero, d = Half.zero
        var e = Half.zero, f = Half.zero, g = Half.zero, h = Half.zero
        for k in 0..<count {
            if asksAhead, k % 16 == 0 { prefetch(w, stride, k) }
            let column = Half(at: x + 8 * k)
            let weight = w + k
            a.addProduct(column, Half(repeating: weight[0]))
            b.addProduct(column, Half(repeating: weight[stride]))
            c.addProduct(column, Half(repeating: weight[2 * stride]))
            d.addProduct(column, Half(repeating: weight[3 * stride]))
            e.addProduct(column, Half(repeating: weight[4 * stride]))
            f.addProduct(column, Half(repeating: weight[5 * stride]))
            g.addProduct(column, Half(repeating: weight[6 * stride]))
            h.addProduct(column, Half(repeating: weight[7 * stride]))
        }
        a.store(at: sums)
        b.store(at: sums + 8)
        c.store(at: sums + 16)
        d.store(at: sums + 24)
        e.store(at: sums + 32)
        f.store(at: sums + 40)
        g.store(at: sums + 48)
        h.store(at: sums + 56)
    }

    /// sums [8, 16] = eight rows of W times the panel x [count, 16].
    @inline(__always)
    private static func sixteen(
        _ x: UnsafePointer<Float>, _ w: UnsafePointer<Float>, _ stride: Int, _ count: Int, asksAhead: Bool,
        _ sums: UnsafeMutablePointer<Float>
    ) {
        var a = Lanes.zero, b = Lanes.zero, c = Lanes.zero, d = Lanes.zero
        var e = Lanes.zero, f = Lanes.zero, g = Lanes.zero, h = Lanes.zero
        for k in 0..<count {
            if asksAhead, k % 16 == 0 { prefetch(w, stride, k) }
            let column = Lanes(at: x + 16 * k)
            let weight = w + k
            a.addProduct(column, Lanes(repeating: weight[0]))
            b.addProduct(column, Lanes(repeating: weight[stride]))
            c.addProduct(column, Lanes(repeating: weight[2 * stride]))
            d.addProduct(column, Lanes(repeating: weight[3 * stride]))
            e.addProduct(column, Lanes(repeating: weight[4 * stride]))
            f.addProduct(column, Lanes(repeating: weight[5 * stride]))
            g.addProduct(column, Lanes(repeating: weight[6 * stride]))
            h.addProduct(column, Lanes(repeating: weight[7 * stride]))
        }
        a.store(at: sums)
        b.store(at: sums + 16)
        c.store(at: sums + 32)
        d.store(at: sums + 48)
        e.store(at: sums + 64)
        f.store(at: sums + 80)
        g.store(at: sums + 96)
        h.store(at: sums + 112)
    }

    /// sums [8, 32] = eight rows of W times the panel x [count, 32].
    @inline(__always)
    private static func thirtyTwo(
        _ x: UnsafePointer<Float>, _ w: UnsafePointer<Float>, _ stride: Int, _ count: Int, asksAhead: Bool,
        _ sums: UnsafeMutablePointer<Float>
    ) {
        var a0 = Lanes.zero, b0 = Lanes.zero, c0 = Lanes.zero, d0 = Lanes.zero
        var e0 = Lanes.zero, f0 = Lanes.zero, g0 = Lanes.zero, h0 = Lanes.zero
        var a1 = Lanes.zero, b1 = Lanes.zero, c1 = Lanes.zero, d1 = Lanes.zero
        var e1 = Lanes.zero, f1 = Lanes.zero, g1 = Lanes.zero, h1 = Lanes.zero
        for k in 0..<count {
            if asksAhead, k % 16 == 0 { prefetch(w, stride, k) }
            let low = Lanes(at: x + 32 * k)
            let high = Lanes(at: x + 32 * k + 16)
            let weight = w + k
            add(weight[0], low, high, &a0, &a1)
            add(weight[stride], low, high, &b0, &b1)
            add(weight[2 * stride], low, high, &c0, &c1)
            add(weight[3 * stride], low, high, &d0, &d1)
            add(weight[4 * stride], low, high, &e0, &e1)
            add(weight[5 * stride], low, high, &f0, &f1)
            add(weight[6 * stride], low, high, &g0, &g1)
            add(weight[7 * stride], low, high, &h0, &h1)
        }
        a0.store(at: sums)
        a1.store(at: sums + 16)
        b0.store(at: sums + 32)
        b1.store(at: sums + 48)
        c0.store(at: sums + 64)
        c1.store(at: sums + 80)
        d0.store(at: sums + 96)
        d1.store(at: sums + 112)
        e0.store(at: sums + 128)
        e1.store(at: sums + 144)
        f0.store(at: sums + 160)
        f1.store(at: sums + 176)
        g0.store(at: sums + 192)
        g1.store(at: sums + 208)
        h0.store(at: sums + 224)
        h1.store(at: sums + 240)
    }

    @inline(__always)
    private static func add(_ weight: Float, _ low: Lanes, _ high: Lanes, _ first: inout Lanes, _ second: inout Lanes) {
        let factor = Lanes(repeating: weight)
        first.addProduct(low, factor)
        second.addProduct(high, factor)
    }
}
