extension Oracle {
    /// Low-rank adapters of projections that read one input: `b[i]` [columns[i].count, rank] writes `columns[i]` of the
    /// fused output from rows i rank ..< (i + 1) rank of `a` [members rank, input].
    package struct Adapters {
        package var a: [Double]
        package var b: [[Double]]
        package let columns: [Range<Int>]
        package let rank: Int
        package let scale: Double

        package init(a: [Double], b: [[Double]], columns: [Range<Int>], rank: Int, scale: Double) {
            self.a = a
            self.b = b
            self.columns = columns
            self.rank = rank
            self.scale = scale
        }

        /// Floats of x per row.
        var input: Int { a.count / (b.count * rank) }

        /// The rows of `a` that are member `index`'s.
        func own(_ index: Int) -> Range<Int> { index * rank * input..<(index + 1) * rank * input }
    }

    /// y [rows, width] = scale (x A^T) B^T in each member's columns, zero elsewhere
    package static func lora(_ x: [Double], _ adapters: Adapters, width: Int) -> [Double] {
        let rows = x.count / adapters.input
        var y = [Double](repeating: 0, count: rows * width)
        for (index, columns) in adapters.columns.enumerated() {
            let inner = linear(x, Array(adapters.a[adapters.own(index)]), k: adapters.input)
            let part = linear(inner, adapters.b[index], k: adapters.rank)
            for row in 0..<rows {
                for column in columns {
                    y[row * width + column] +=
                        adapters.scale
                        * part[row * columns.count + column - columns.lowerBound]
                }
            }
        }
        return y
    }

    /// Gradients of x, of A and of each B
    package static func loraBackward(
        _ x: [Double], _ adapters: Adapters, dy: [Double], width: Int
    ) -> (dx: [Double], a: [Double], b: [[Double]]) {
        let rows = x.count / adapters.input
        var dx = [Double](repeating: 0, count: x.count)
        var a: [Double] = []
        var b: [[Double]] = []
        for (index, columns) in adapters.columns.enumerated() {
            let own = Array(adapters.a[adapters.own(index)])
            let slice = (0..<rows).flatMap { row in columns.map { adapters.scale * dy[row * width + $0] } }
            let inner = linear(x, own, k: adapters.input)
            let outer = linearBackward(inner, adapters.b[index], dy: slice, k: adapters.rank)
            let first = linearBackward(x, own, dy: outer.dx, k: adapters.input)
            for place in dx.indices { dx[place] += first.dx[place] }
            a += first.dw
            b.append(outer.dw)
        }
        return (dx, a, b)
    }
}
