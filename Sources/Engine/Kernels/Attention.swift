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
    var tileRows: Int { Self.tileRows(shape) }

    private static func tileRows(_ shape: AttentionShape) -> Int {
        max(1, queryTile / shape.group) * shape.group
    }

    /// Bytes of scratch held: tiles of all threads, and decoding's partial results.
    var scratchByteCount: Int { scratch.reduce(partials.byteCount) { $0 + $1.byteCount } }

    /// Floats of scratch that `threads` threads need, for forward passes only or for both.
    static func scratchFloats(_ shape: AttentionShape, threads: Int, backward: Bool) -> Int {
        let tiles = max(forwardScratch(shape), backward ? backwardScratch(shape) : 0)
        return threads * tiles + partialCount(threads: threads) * decodeFloats(shape)
    }

    /// Makes room for backward passes, or for forward passes only.
    func reserve(backward: Bool) {
        let need = max(Self.forwardScratch(shape), backward ? Self.backwardScratch(shape) : 0)
        for worker in scratch { _ = worker.reserve(need) }
        _ = reservePartials()
    }

    /// Floats of scratch per thread, forward: packed queries, sums and scores of a query tile with their tops and
    /// totals, and a gathered tile of K and V; or, decoding, a tile of scores and a result.
    static func forwardScratch(_ shape: AttentionShape) -> Int {
        let rows = tileRows(shape)
        let tile = rows * (2 * shape.headSize + forwardKeys + 2) + 2 * forwardKeys * shape.headSize
        return max(tile, shape.heads * decodeKeys + decodeFloats(shape))
    }

    /// Floats of scratch per thread, backward: packed queries, output gradients and dq of a query tile, its scores and
    /// their gradients, log-sums and projections, and a gathered tile of K and V.
    static func backwardScratch(_ shape: AttentionShape) -> Int {
        tileRows(shape) * (3 * shape.headSize + 2 * backwardKeys + 2) + 2 * backwardKeys * shape.headSize
    }

    package init(shape: AttentionShape, pool: ThreadPool) {
        self.shape = shape
        self.pool = pool
        scratch = (0..<pool.width).map { _ in Scratch() }
    }

    /// A piece of forward work: some query tokens of one span at one KV head, or some keys of a lone query.
    private enum Job {
        case tile(span: Int, kvHead: Int, tokens: Range<Int>)
        case decode(DecodePart)
    }

    private var jobs: [Job] = []
    /// First span of each group of a backward call, and the end.
    var groups: [Int] = []
    var decoding: [DecodePart] = []
    let partials = Scratch()

    /// o [rows, heads d] = softmax(q K^T / sqrt(d)) V and lse [rows, heads], the logarithm of each softmax's
    /// denominator, which is all that the backward pass needs to rebuild the probabilities.
    package func forward(
        q: Rows, o: Rows, lse: Rows, positions: UnsafePointer<Int32>, spans: [AttentionSpan]
    ) {
        planJobs(positions: positions, spans: spans)
        planDecoding(positions: positions, spans: spans)
        let partials = reservePartials()
        for part in decoding { jobs.append(.decode(part)) }
        let need = Self.forwardScratch(shape)
        for worker in scratch { _ = worker.reserve(need) }
        pool.parallel(jobs.count) { index, worker in
            let memory = self.scratch[worker].reserve(need)
            switch self.jobs[index] {
            case .tile(let span, let kvHead, let tokens):
                self.forwardTile(
                    q: q, o: o, lse: lse, positions: positions, kv: spans[span].kv, kvHead: kvHead, tokens: tokens,
                    memory: memory)
            case .decode(let part):
                let row = spans[part.span].rows.lowerBound
                let own = memory + self.shape.heads * Self.decodeKeys
                let result = part.place.map { partials + $0 * Self.decodeFloats(self.shape) } ?? own
                self.decode(part, q: q[row], kv: spans[part.span].kv, scores: memory, result: result)
                if part.place == nil { self.merge(result, parts: 1, o: o[row], lse: lse[row]) }
            }
        }
        mergeDecoding(spans: spans, partials: partials, o: o, lse: lse)
    }

    private func planJobs(positions: UnsafePointer<Int32>, spans: [AttentionSpan]) {
        jobs.removeAll(keepingCapacity: true)
        for (index, span) in spans.enumerated() where span.rows.count > 1 {
            let end = span.kv.end
            precondition(
                Int(positions[span.rows.upperBound - 1]) < end, "K and V end at \(end), before the last query")
            // Later tokens see more keys: the heaviest tiles first, so that threads finish together.
            let tiles = (span.rows.count + tileTokens - 1) / tileTokens
            for tile in (0..<tiles).reversed() {
                let start = span.rows.lowerBound + tile * tileTokens
                let tokens = start..<min(start + tileTokens, span.rows.upperBound)
                for head in 0..<shape.kvHeads { jobs.append(.tile(span: index, kvHead: head, tokens: tokens)) }
            }
        }
    }

    /// Online softmax over key tiles for one query tile.
    private func forwardTile(
        q: Rows, o: Rows, lse: Rows, positions: UnsafePointer<Int32>, kv: KVView, kvHead: Int,
        tokens: Range<Int>, memory: UnsafeMutablePointer<Float>
    ) {
        let d = shape.headSize
        let group = shape.group
        let rows = tokens.count * group
        let keys = Self.forwardKeys
        let queries = Matrix(memory, rows: rows, columns: d)
        let sums = Matrix(queries.base + tileRows * d, rows: rows, columns: d)
        let scores = sums.base + tileRows * d
        let tops = scores + tileRows * keys
        let totals = tops + tileRows
        let keyScratch = totals + tileRows
        let valueScratch = keyScratch + keys * d

        pack(q, tokens: tokens, kvHead: kvHead, scale: shape.scale, into: queries.base)
        sums.base.update(repeating: 0, count: rows * d)
        tops.update(repeating: -.infinity, count: rows)
        totals.update(repeating: 0, count: rows)
        let end = Int(positions[tokens.upperBound - 1]) + 1
        for start in stride(from: 0, to: end, by: keys) {
            let count = min(keys, end - start)
            let tile = kv.tile(
                start: start, count: count, headOffset: kvHead * d, headSize: d,
                keyScratch: keyScratch, valueScratch: valueScratch)
            let product = Matrix(scores, rows: rows, columns: count, stride: keys)
            MatrixProduct.sgemm(queries, transposed: false, tile.keys, transposed: true, product)
            for row in 0..<rows {
                let position = Int(positions[tokens.lowerBound + row / group])
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
            let token = tokens.lowerBound + row / group
            let head = kvHead * group + row % group
            Vector.scale(sums.base + row * d, by: 1 / totals[row], to: o[token] + head * d, d)
            lse[token][head] = tops[row] + logf(totals[row])
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
