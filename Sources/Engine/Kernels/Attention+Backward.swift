internal import Glibc

extension Attention {
    /// Key tiles of a span are dealt out to this many jobs in turn, each with its own share of dq.
    package static let queryGradientParts = 2

    /// What one call of `backward` reads and writes. Row indices are those of the spans.
    package struct Gradients {
        /// Gradient of the attention output [rows, heads d].
        package let dOutput: Rows
        /// Row sums of dOutput o per head [rows, heads], from `outputProjections`.
        package let projections: Rows
        /// Shares of the gradient of q [rows, heads d]; their sum is dq.
        package let dq: [2 of Rows]

        package init(dOutput: Rows, projections: Rows, dq: [2 of Rows]) {
            self.dOutput = dOutput
            self.projections = projections
            self.dq = dq
        }
    }

    /// Consecutive query rows of one sequence, and where the gradients of its K and V go: those of positions from
    /// `start` on to `own`, those before to `trunk`, which other sequences that go on from the same positions share.
    package struct GradientSpan {
        /// Gradients of K and V [positions, kvHeads d].
        package struct Target {
            package let keys: Matrix
            package let values: Matrix

            package init(keys: Matrix, values: Matrix) {
                self.keys = keys
                self.values = values
            }
        }

        package let queries: AttentionSpan
        package let start: Int
        package let trunk: Target?
        package let own: Target
        /// Spans of the same number, which follow each other, share a target.
        package let group: Int

        package init(_ queries: AttentionSpan, own: Target, start: Int = 0, trunk: Target? = nil, group: Int) {
            precondition((trunk?.keys.rows ?? 0) == start, "the trunk ends where the span's own positions begin")
            self.queries = queries
            self.own = own
            self.start = start
            self.trunk = trunk
            self.group = group
        }

        /// Key tiles of the positions before `end`: none lies on both sides of `start`.
        func tileCount(before end: Int) -> Int { Self.tiles(min(end, start)) + Self.tiles(end - start) }

        func tile(_ index: Int, before end: Int) -> Range<Int> {
            let size = Attention.backwardKeys
            let shared = Self.tiles(min(end, start))
            if index < shared { return index * size..<min((index + 1) * size, min(end, start)) }
            let first = start + (index - shared) * size
            return first..<min(first + size, end)
        }

        private static func tiles(_ positions: Int) -> Int { max(0, positions + backwardKeys - 1) / backwardKeys }

        func target(of tile: Range<Int>) -> Target {
            guard let trunk, tile.lowerBound < start else {
                return Target(
                    keys: own.keys.rows(from: tile.lowerBound - start, count: tile.count),
                    values: own.values.rows(from: tile.lowerBound - start, count: tile.count))
            }
            return Target(
                keys: trunk.keys.rows(from: tile.lowerBound, count: tile.count),
                values: trunk.values.rows(from: tile.lowerBound, count: tile.count))
        }
    }

    /// projections[r][head] = sum over a head of dOutput o: the term that softmax's gradient subtracts.
    package func outputProjections(dOutput: Rows, o: Rows, projections: Rows, count: Int) {
        let d = shape.headSize
        pool.rows(count, cost: shape.queryWidth) { range in
            for row in range {
                for head in 0..<self.shape.heads {
                    projections[row][head] = Vector.dot(dOutput[row] + head * d, o[row] + head * d, d)
                }
            }
        }
    }

    /// Gradients of q, K and V for the query rows of `spans`.
    ///
    /// Probabilities are rebuilt as P = e^(q K^T / sqrt(d) - lse). With D the projections:
    /// dV += P^T dO, dS = P (dO V^T - D), dq = dS K / sqrt(d), dK += dS^T q / sqrt(d).
    ///
    /// Gradients of K and V are added to. A (group of spans, KV head, part) is one job and owns the key tiles of its part:
    /// no two jobs write the same place, and each adds in a fixed order.
    package func backward(
        q: Rows, lse: Rows, positions: UnsafePointer<Int32>, spans: [GradientSpan], gradients: Gradients
    ) {
        let need = Self.backwardScratch(shape)
        for worker in scratch { _ = worker.reserve(need) }
        let parts = Self.queryGradientParts
        let perGroup = shape.kvHeads * parts
        groups.removeAll(keepingCapacity: true)
        for (index, span) in spans.enumerated() {
            let rows = span.queries.rows
            if groups.isEmpty || spans[index - 1].group != span.group { groups.append(index) }
            guard !rows.isEmpty else { continue }
            let end = Int(positions[rows.upperBound - 1]) + 1
            let reach = span.start + min(span.own.keys.rows, span.own.values.rows)
            precondition(
                span.queries.kv.end >= end && reach >= end, "K, V and their gradients must reach the last query")
        }
        groups.append(spans.count)
        pool.parallel((groups.count - 1) * perGroup) { index, worker in
            let group = index / perGroup
            let pass = TilePass(part: index % parts, kvHead: index % perGroup / parts)
            for place in self.groups[group]..<self.groups[group + 1] {
                let rows = spans[place].queries.rows
                for start in stride(from: rows.lowerBound, to: rows.upperBound, by: self.tileTokens) {
                    self.backwardTile(
                        q: q, lse: lse, positions: positions, span: spans[place], gradients: gradients, pass: pass,
                        tokens: start..<min(start + self.tileTokens, rows.upperBound),
                        memory: self.scratch[worker].reserve(need))
                }
            }
        }
    }

    private struct TilePass {
        let part: Int
        let kvHead: Int
    }

    /// One query tile against the key tiles of its part.
    private func backwardTile(
        q: Rows, lse: Rows, positions: UnsafePointer<Int32>, span: GradientSpan, gradients: Gradients,
        pass: TilePass, tokens: Range<Int>, memory: UnsafeMutablePointer<Float>
    ) {
        let d = shape.headSize
        let group = shape.group
        let rows = tokens.count * group
        let keys = Self.backwardKeys
        let queries = Matrix(memory, rows: rows, columns: d)
        let outputs = Matrix(queries.base + tileRows * d, rows: rows, columns: d)
        let dq = Matrix(outputs.base + tileRows * d, rows: rows, columns: d)
        let scores = dq.base + tileRows * d
        let slopes = scores + tileRows * keys
        let logSums = slopes + tileRows * keys
        let projections = logSums + tileRows
        let keyScratch = projections + tileRows
        let valueScratch = keyScratch + keys * d

        pack(q, tokens: tokens, kvHead: pass.kvHead, scale: shape.scale, into: queries.base)
        pack(gradients.dOutput, tokens: tokens, kvHead: pass.kvHead, scale: 1, into: outputs.base)
        for row in 0..<rows {
            let head = pass.kvHead * group + row % group
            logSums[row] = lse[tokens.lowerBound + row / group][head]
            projections[row] = gradients.projections[tokens.lowerBound + row / group][head]
        }
        dq.base.update(repeating: 0, count: rows * d)
        let end = Int(positions[tokens.upperBound - 1]) + 1
        for index in stride(from: pass.part, to: span.tileCount(before: end), by: Self.queryGradientParts) {
            let range = span.tile(index, before: end)
            let (start, count) = (range.lowerBound, range.count)
            let tile = span.queries.kv.tile(
                start: start, count: count, headOffset: pass.kvHead * d, headSize: d,
                keyScratch: keyScratch, valueScratch: valueScratch)
            let p = Matrix(scores, rows: rows, columns: count, stride: keys)
            let ds = Matrix(slopes, rows: rows, columns: count, stride: keys)
            MatrixProduct.sgemm(queries, transposed: false, tile.keys, transposed: true, p)
            MatrixProduct.sgemm(outputs, transposed: false, tile.values, transposed: true, ds)
            for row in 0..<rows {
                let position = Int(positions[tokens.lowerBound + row / group])
                let visible = max(0, min(count, position + 1 - start))
                Self.probabilities(
                    scores + row * keys, slopes + row * keys, logSums[row], projections[row], visible, count)
            }
            let target = span.target(of: range)
            let dKeys = target.keys.columns(from: pass.kvHead * d, count: d)
            let dValues = target.values.columns(from: pass.kvHead * d, count: d)
            MatrixProduct.sgemm(p, transposed: true, outputs, transposed: false, dValues, accumulating: true)
            MatrixProduct.sgemm(ds, transposed: true, queries, transposed: false, dKeys, accumulating: true)
            MatrixProduct.sgemm(ds, transposed: false, tile.keys, transposed: false, dq, accumulating: true)
        }
        for row in 0..<rows {
            let head = pass.kvHead * group + row % group
            let target = gradients.dq[pass.part][tokens.lowerBound + row / group] + head * d
            Vector.scale(dq.base + row * d, by: shape.scale, to: target, d)
        }
    }

    /// One row: scores become probabilities, slopes become their gradients; both zero from `visible` on.
    @inline(__always)
    private static func probabilities(
        _ scores: UnsafeMutablePointer<Float>, _ slopes: UnsafeMutablePointer<Float>, _ logSum: Float,
        _ projection: Float, _ visible: Int, _ count: Int
    ) {
        let shift = Lanes(repeating: logSum)
        let offset = Lanes(repeating: projection)
        var index = 0
        while index < visible {
            // Lanes past `visible` hold leftovers; they are zeroed below, or lie beyond the product's columns.
            let p = exponential(Lanes(at: scores + index) - shift)
            let ds = p * (Lanes(at: slopes + index) - offset)
            p.store(at: scores + index)
            ds.store(at: slopes + index)
            index += 16
        }
        if visible < count {
            (scores + visible).update(repeating: 0, count: count - visible)
            (slopes + visible).update(repeating: 0, count: count - visible)
        }
    }
}
