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
        /// Shares of the gradient of q [rows, heads d]; `queryGradientParts` of them, their sum is dq.
        package let dq: [Rows]

        package init(dOutput: Rows, projections: Rows, dq: [Rows]) {
            precondition(dq.count == Attention.queryGradientParts, "one dq for each part")
            self.dOutput = dOutput
            self.projections = projections
            self.dq = dq
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
    /// `dKeys[s]` and `dValues[s]` are span s's gradients from position 0 on, matrices [end, kvHeads d]; they are
    /// added to. A (span, KV head, part) is one job and owns the key tiles of its part: no two jobs write the same place,
    /// and each adds in a fixed order.
    package func backward(
        q: Rows, lse: Rows, positions: UnsafePointer<Int32>, spans: [AttentionSpan], gradients: Gradients,
        dKeys: [Matrix], dValues: [Matrix]
    ) {
        let d = shape.headSize
        let need = Self.backwardScratch(shape)
        for worker in scratch { _ = worker.reserve(need) }
        let parts = Self.queryGradientParts
        let perSpan = shape.kvHeads * parts
        for (index, span) in spans.enumerated() where !span.rows.isEmpty {
            let end = Int(positions[span.rows.upperBound - 1]) + 1
            precondition(
                span.kv.end >= end && dKeys[index].rows >= end && dValues[index].rows >= end,
                "K, V and their gradients must reach the last query")
        }
        pool.parallel(spans.count * perSpan) { index, worker in
            let span = index / perSpan
            let kvHead = index % perSpan / parts
            let pass = TilePass(
                part: index % parts, kvHead: kvHead,
                dKeys: dKeys[span].columns(from: kvHead * d, count: d),
                dValues: dValues[span].columns(from: kvHead * d, count: d))
            let rows = spans[span].rows
            for start in stride(from: rows.lowerBound, to: rows.upperBound, by: self.tileTokens) {
                self.backwardTile(
                    q: q, lse: lse, positions: positions, kv: spans[span].kv, gradients: gradients, pass: pass,
                    tokens: start..<min(start + self.tileTokens, rows.upperBound),
                    memory: self.scratch[worker].reserve(need))
            }
        }
    }

    private struct TilePass {
        let part: Int
        let kvHead: Int
        let dKeys: Matrix
        let dValues: Matrix
    }

    /// One query tile against the key tiles of its part.
    private func backwardTile(
        q: Rows, lse: Rows, positions: UnsafePointer<Int32>, kv: KVView, gradients: Gradients, pass: TilePass,
        tokens: Range<Int>, memory: UnsafeMutablePointer<Float>
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
        for start in stride(from: pass.part * keys, to: end, by: Self.queryGradientParts * keys) {
            let count = min(keys, end - start)
            let tile = kv.tile(
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
            let dKeys = pass.dKeys.rows(from: start, count: count)
            let dValues = pass.dValues.rows(from: start, count: count)
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
