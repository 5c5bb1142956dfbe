internal import Glibc

/// Sizes of a grouped-query attention: `heads` query heads share `kvHeads` heads of K and V.
package struct AttentionShape: Sendable {
    package let heads: Int
    package let kvHeads: Int
    package let headSize: Int

    package init(heads: Int, kvHeads: Int, headSize: Int) {
        precondition(kvHeads > 0 && heads.isMultiple(of: kvHeads), "query heads must divide evenly over KV heads")
        self.heads = heads
        self.kvHeads = kvHeads
        self.headSize = headSize
    }

    /// Query heads per KV head.
    package var group: Int { heads / kvHeads }
    /// Floats of q, or of the attention output, per token.
    package var queryWidth: Int { heads * headSize }
    /// Floats of K, or of V, per token.
    package var keyWidth: Int { kvHeads * headSize }
    /// Scores are scaled by the inverse root of the head size.
    package var scale: Float { 1 / Float(headSize).squareRoot() }
}

/// Consecutive query rows that belong to one sequence.
package struct AttentionSpan {
    /// Rows in q and o.
    package let rows: Range<Int>
    /// The sequence's K and V: at least every position up to that of the span's last row.
    package let kv: KVView

    package init(rows: Range<Int>, kv: KVView) {
        self.rows = rows
        self.kv = kv
    }
}

/// Causal softmax attention in tiles, forward and backward, without a matrix of all scores (Dao et al., arXiv
/// 2205.14135). Query rows carry positions, ascending within a span but not necessarily consecutive; a row at position
/// p attends to positions 0...p.
///
/// Instances own scratch per worker, so one instance serves one caller at a time.
package final class Attention {
    package let shape: AttentionShape
    let pool: ThreadPool
    let scratch: [Scratch]

    /// Rows of a query tile: tokens times the heads of a group.
    static let queryTile = 192
    /// Keys of a tile, forward and backward: multiples of 16.
    static let forwardKeys = 256
    static let backwardKeys = 128

    /// Tokens whose query heads of one group fill a tile.
    var tileTokens: Int { max(1, Self.queryTile / shape.group) }
    var tileRows: Int { tileTokens * shape.group }

    package init(shape: AttentionShape, pool: ThreadPool) {
        self.shape = shape
        self.pool = pool
        scratch = (0..<pool.width).map { _ in Scratch() }
    }

    /// A piece of forward work: query tokens of one span at one KV head.
    private struct Job {
        let span: Int
        let kvHead: Int
        let tokens: Range<Int>
    }

    private var jobs: [Job] = []

    /// o [rows, heads d] = softmax(q K^T / sqrt(d)) V and lse [rows, heads], the logarithm of each softmax's
    /// denominator, which is all that the backward pass needs to rebuild the probabilities.
    package func forward(
        q: Rows, o: Rows, lse: Rows, positions: UnsafePointer<Int32>, spans: [AttentionSpan]
    ) {
        jobs.removeAll(keepingCapacity: true)
        var longest = 0
        for (index, span) in spans.enumerated() where !span.rows.isEmpty {
            let end = span.kv.end
            longest = max(longest, end)
            precondition(
                Int(positions[span.rows.upperBound - 1]) < end, "K and V end at \(end), before the last query")
            // Later tokens see more keys: the heaviest tiles first, so that threads finish together.
            for start in stride(from: span.rows.lowerBound, to: span.rows.upperBound, by: tileTokens).reversed() {
                let tokens = start..<min(start + tileTokens, span.rows.upperBound)
                for head in 0..<shape.kvHeads { jobs.append(Job(span: index, kvHead: head, tokens: tokens)) }
            }
        }
        let tileFloats =
            tileRows * (2 * shape.headSize + Self.forwardKeys + 2) + 2 * Self.forwardKeys * shape.headSize
        let need = max(tileFloats, shape.group * (longest + 16))
        for worker in scratch { _ = worker.reserve(need) }
        pool.parallel(jobs.count) { index, worker in
            let job = self.jobs[index]
            let span = spans[job.span]
            let memory = self.scratch[worker].reserve(need)
            if job.tokens.count == 1 {
                self.decode(
                    q: q[job.tokens.lowerBound], o: o[job.tokens.lowerBound], lse: lse[job.tokens.lowerBound],
                    end: Int(positions[job.tokens.lowerBound]) + 1, kv: span.kv, kvHead: job.kvHead, scores: memory)
            } else {
                self.forwardTile(q: q, o: o, lse: lse, positions: positions, kv: span.kv, job: job, memory: memory)
            }
        }
    }

    /// Online softmax over key tiles for one query tile.
    private func forwardTile(
        q: Rows, o: Rows, lse: Rows, positions: UnsafePointer<Int32>, kv: KVView, job: Job,
        memory: UnsafeMutablePointer<Float>
    ) {
        let d = shape.headSize
        let group = shape.group
        let rows = job.tokens.count * group
        let keys = Self.forwardKeys
        let queries = Matrix(memory, rows: rows, columns: d)
        let sums = Matrix(queries.base + tileRows * d, rows: rows, columns: d)
        let scores = sums.base + tileRows * d
        let tops = scores + tileRows * keys
        let totals = tops + tileRows
        let keyScratch = totals + tileRows
        let valueScratch = keyScratch + keys * d

        pack(q, tokens: job.tokens, kvHead: job.kvHead, scale: shape.scale, into: queries.base)
        sums.base.update(repeating: 0, count: rows * d)
        tops.update(repeating: -.infinity, count: rows)
        totals.update(repeating: 0, count: rows)
        let end = Int(positions[job.tokens.upperBound - 1]) + 1
        for start in stride(from: 0, to: end, by: keys) {
            let count = min(keys, end - start)
            let tile = kv.tile(
                start: start, count: count, headOffset: job.kvHead * d, headSize: d,
                keyScratch: keyScratch, valueScratch: valueScratch)
            let product = Matrix(scores, rows: rows, columns: count, stride: keys)
            MatrixProduct.sgemm(queries, transposed: false, tile.keys, transposed: true, product)
            for row in 0..<rows {
                let position = Int(positions[job.tokens.lowerBound + row / group])
                let visible = min(count, position + 1 - start)
                let line = scores + row * keys
                if visible > 0 {
                    let top = max(tops[row], Vector.largest(line, visible))
                    let sum = Vector.exponentials(line, minus: top, visible, padded: true)
                    if top > tops[row], totals[row] > 0 {
                        let correction = exponential(tops[row] - top)
                        totals[row] *= correction
                        Vector.scale(sums.base + row * d, by: correction, to: sums.base + row * d, d)
                    }
                    tops[row] = top
                    totals[row] += sum
                }
                let filled = max(visible, 0)
                if filled < count { (line + filled).update(repeating: 0, count: count - filled) }
            }
            MatrixProduct.sgemm(product, transposed: false, tile.values, transposed: false, sums, accumulating: true)
        }
        for row in 0..<rows {
            let token = job.tokens.lowerBound + row / group
            let head = job.kvHead * group + row % group
            Vector.scale(sums.base + row * d, by: 1 / totals[row], to: o[token] + head * d, d)
            lse[token][head] = tops[row] + logf(totals[row])
        }
    }

    /// One query row against K and V read once each; `scores` holds group * end floats.
    private func decode(
        q: UnsafePointer<Float>, o: UnsafeMutablePointer<Float>, lse: UnsafeMutablePointer<Float>, end: Int,
        kv: KVView, kvHead: Int, scores: UnsafeMutablePointer<Float>
    ) {
        let d = shape.headSize
        let offset = kvHead * d
        let heads = kvHead * shape.group..<(kvHead + 1) * shape.group
        for segment in kv.segments {
            for position in segment.start..<max(segment.start, min(segment.end, end)) {
                let key = segment.keys + (position - segment.start) * segment.rowStride + offset
                for (line, head) in heads.enumerated() {
                    scores[line * end + position] = Vector.dot(q + head * d, key, d) * shape.scale
                }
            }
        }
        for (line, head) in heads.enumerated() {
            let values = scores + line * end
            let top = Vector.largest(values, end)
            let sum = Vector.exponentials(values, minus: top, end)
            lse[head] = top + logf(sum)
            Vector.scale(values, by: 1 / sum, to: values, end)
            (o + head * d).update(repeating: 0, count: d)
        }
        for segment in kv.segments {
            for position in segment.start..<max(segment.start, min(segment.end, end)) {
                let value = segment.values + (position - segment.start) * segment.rowStride + offset
                for (line, head) in heads.enumerated() {
                    Vector.add(value, times: scores[line * end + position], to: o + head * d, d)
                }
            }
        }
    }

    /// Copies the heads of one group for some tokens into [tokens * group, headSize], scaled.
    func pack(
        _ source: Rows, tokens: Range<Int>, kvHead: Int, scale: Float, into target: UnsafeMutablePointer<Float>
    ) {
        let width = shape.group * shape.headSize
        for (index, token) in tokens.enumerated() {
            Vector.scale(source[token] + kvHead * width, by: scale, to: target + index * width, width)
        }
    }
}
