internal import COpenBLAS
internal import Glibc

/// Attention of one query, as in decoding: bound by reading K and V, which are read once, all heads of a position
/// together, in the order in which they lie.
///
/// The keys of a span are cut into parts so that few spans still occupy all threads. A part leaves its unnormalised
/// output with the top and total of its softmax; parts are then merged in order (flash decoding).
extension Attention {
    /// Some keys of a span with one query.
    struct DecodePart {
        let span: Int
        /// Place among the partial results; nil for the only part of its span.
        let place: Int?
        let keys: Range<Int>
    }

    /// Keys whose K and V are worked on together, small enough to stay in the second-level cache.
    static let decodeKeys = 64
    /// Fewest keys worth a part of their own.
    private static let partKeys = 128
    /// Positions ahead at which K and V are asked for.
    private static let lookAhead = 6

    /// Floats of a part's result: an output, a top and a total per head.
    static func decodeFloats(_ shape: AttentionShape) -> Int { shape.queryWidth + 2 * shape.heads }

    /// Most partial results at a time: n < 2 threads spans are cut into ceil(2 threads / n) parts each, more are not cut.
    static func partialCount(threads: Int) -> Int { 4 * threads }

    /// Room for as many partial results as there can be.
    func reservePartials() -> UnsafeMutablePointer<Float> {
        partials.reserve(Self.partialCount(threads: pool.width) * Self.decodeFloats(shape))
    }

    /// Lists the parts of all spans with one query.
    func planDecoding(positions: UnsafePointer<Int32>, spans: [AttentionSpan]) {
        decoding.removeAll(keepingCapacity: true)
        var places = 0
        let lone = spans.reduce(0) { $0 + ($1.rows.count == 1 ? 1 : 0) }
        for (index, span) in spans.enumerated() where span.rows.count == 1 {
            let keys = Int(positions[span.rows.lowerBound]) + 1
            let held = span.kv.end
            precondition(keys <= held, "K and V end at \(held), before the query")
            let wanted = (2 * pool.width + lone - 1) / lone
            let parts = max(1, min(wanted, keys / Self.partKeys))
            for part in 0..<parts {
                let range = keys * part / parts..<keys * (part + 1) / parts
                decoding.append(DecodePart(span: index, place: parts > 1 ? places : nil, keys: range))
                if parts > 1 { places += 1 }
            }
        }
        precondition(places <= Self.partialCount(threads: pool.width), "more partial results than there is room for")
    }

    /// Online softmax over tiles of a part's keys, for all heads.
    func decode(
        _ part: DecodePart, q: UnsafePointer<Float>, kv: KVView, scores: UnsafeMutablePointer<Float>,
        result: UnsafeMutablePointer<Float>
    ) {
        let tops = result + shape.queryWidth
        let totals = tops + shape.heads
        result.update(repeating: 0, count: shape.queryWidth)
        tops.update(repeating: -.infinity, count: shape.heads)
        totals.update(repeating: 0, count: shape.heads)
        for segment in kv.segments where segment.end > part.keys.lowerBound {
            let first = max(segment.start, part.keys.lowerBound)
            let last = min(segment.end, part.keys.upperBound)
            if first >= last { break }
            for start in stride(from: first, to: last, by: Self.decodeKeys) {
                let offset = (start - segment.start) * segment.rowStride
                decodeTile(
                    q: q, keys: segment.keys + offset, values: segment.values + offset, stride: segment.rowStride,
                    count: min(Self.decodeKeys, last - start), scores: scores, result: result, tops: tops,
                    totals: totals)
            }
        }
    }

    private func decodeTile(
        q: UnsafePointer<Float>, keys: UnsafePointer<Float>, values: UnsafePointer<Float>, stride: Int, count: Int,
        scores: UnsafeMutablePointer<Float>, result: UnsafeMutablePointer<Float>,
        tops: UnsafeMutablePointer<Float>, totals: UnsafeMutablePointer<Float>
    ) {
        let d = shape.headSize
        let group = shape.group
        let scale = shape.scale
        for kvHead in 0..<shape.kvHeads {
            for row in 0..<count {
                let key = keys + row * stride + kvHead * d
                var ahead = 0
                while ahead < d {
                    alchemist_prefetch(key + Self.lookAhead * stride + ahead)
                    alchemist_prefetch(values + row * stride + kvHead * d + ahead)
                    ahead += 16
                }
                for line in 0..<group {
                    let head = kvHead * group + line
                    scores[line * Self.decodeKeys + row] = Vector.dot(q + head * d, key, d) * scale
                }
            }
            for line in 0..<group {
                let head = kvHead * group + line
                let probabilities = scores + line * Self.decodeKeys
                let output = result + head * d
                let top = max(tops[head], Vector.largest(probabilities, count))
                let sum = Vector.exponentials(probabilities, minus: top, count)
                if top > tops[head], totals[head] > 0 {
                    let correction = exponential(tops[head] - top)
                    totals[head] *= correction
                    Vector.scale(output, by: correction, to: output, d)
                }
                tops[head] = top
                totals[head] += sum
                Self.accumulate(probabilities, values + kvHead * d, stride, count, output, d)
            }
        }
    }

    /// output [width] += sum over rows of weights[row] values[row], with sums in registers for 64 columns at a time.
    @inline(__always)
    private static func accumulate(
        _ weights: UnsafePointer<Float>, _ values: UnsafePointer<Float>, _ stride: Int, _ count: Int,
        _ output: UnsafeMutablePointer<Float>, _ width: Int
    ) {
        var column = 0
        while column + 64 <= width {
            let target = output + column
            var a = Lanes(at: target)
            var b = Lanes(at: target + 16)
            var c = Lanes(at: target + 32)
            var d = Lanes(at: target + 48)
            for row in 0..<count {
                let source = values + row * stride + column
                let weight = Lanes(repeating: weights[row])
                a.addProduct(weight, Lanes(at: source))
                b.addProduct(weight, Lanes(at: source + 16))
                c.addProduct(weight, Lanes(at: source + 32))
                d.addProduct(weight, Lanes(at: source + 48))
            }
            a.store(at: target)
            b.store(at: target + 16)
            c.store(at: target + 32)
            d.store(at: target + 48)
            column += 64
        }
        guard column < width else { return }
        for row in 0..<count {
            Vector.add(values + row * stride + column, times: weights[row], to: output + column, width - column)
        }
    }

    /// Merges the parts of each span that was cut.
    func mergeDecoding(spans: [AttentionSpan], partials: UnsafePointer<Float>, o: Rows, lse: Rows) {
        var first = 0
        while first < decoding.count {
            let span = decoding[first].span
            var last = first
            while last < decoding.count && decoding[last].span == span { last += 1 }
            if let place = decoding[first].place {
                let row = spans[span].rows.lowerBound
                merge(
                    partials + place * Self.decodeFloats(shape), parts: last - first, o: o[row], lse: lse[row])
            }
            first = last
        }
    }

    /// Brings the outputs of consecutive parts to a common top and divides them by the common total.
    func merge(
        _ results: UnsafePointer<Float>, parts: Int, o: UnsafeMutablePointer<Float>, lse: UnsafeMutablePointer<Float>
    ) {
        let d = shape.headSize
        let floats = Self.decodeFloats(shape)
        for head in 0..<shape.heads {
            let place = shape.queryWidth + head
            var top = -Float.infinity
            for part in 0..<parts { top = max(top, results[part * floats + place]) }
            var total: Float = 0
            let output = o + head * d
            output.update(repeating: 0, count: d)
            for part in 0..<parts {
                let result = results + part * floats
                let share = exponential(result[place] - top)
                total += share * result[place + shape.heads]
                Vector.add(result + head * d, times: share, to: output, d)
            }
            Vector.scale(output, by: 1 / total, to: output, d)
            lse[head] = top + logf(total)
        }
    }
}
