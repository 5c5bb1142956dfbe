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

    /// Rows of K and V of up to `decodeKeys` consecutive positions, wherever their segments lie.
    private struct DecodeTile {
        let keys: UnsafeMutablePointer<UnsafePointer<Float>>
        let values: UnsafeMutablePointer<UnsafePointer<Float>>
        var count = 0

        init(_ memory: UnsafeMutablePointer<UnsafePointer<Float>>) {
            keys = memory
            values = memory + Attention.decodeKeys
        }

        static let pointers = 2 * Attention.decodeKeys

        /// Takes the positions from `start` on, up to `end`. `segment` is the first that may hold them, and is moved on.
        @inline(__always)
        mutating func fill(_ kv: KVView, segment index: inout Int, start: Int, end: Int) {
            count = min(Attention.decodeKeys, end - start)
            var row = 0
            while row < count {
                let segment = kv.segments[index]
                let place = start + row - segment.start
                guard place < segment.count else {
                    index += 1
                    continue
                }
                let taken = min(count - row, segment.count - place)
                for step in 0..<taken {
                    let offset = (place + step) * segment.rowStride
                    keys[row + step] = UnsafePointer(segment.keys + offset)
                    values[row + step] = UnsafePointer(segment.values + offset)
                }
                row += taken
            }
        }
    }

    /// Online softmax over tiles of a part's keys, for all heads.
    func decode(
        _ part: DecodePart, q: UnsafePointer<Float>, kv: KVView, scores: UnsafeMutablePointer<Float>,
        result: UnsafeMutablePointer<Float>
    ) {
        let sums = DecodeSums(result, shape)
        result.update(repeating: 0, count: shape.queryWidth)
        sums.tops.update(repeating: -.infinity, count: shape.heads)
        sums.totals.update(repeating: 0, count: shape.heads)
        withUnsafeTemporaryAllocation(of: UnsafePointer<Float>.self, capacity: DecodeTile.pointers) { table in
            guard let table = table.baseAddress else { return }
            var tile = DecodeTile(table)
            var segment = 0
            for start in stride(from: part.keys.lowerBound, to: part.keys.upperBound, by: Self.decodeKeys) {
                tile.fill(kv, segment: &segment, start: start, end: part.keys.upperBound)
                decodeTile(tile, q: q, scores: scores, sums: sums)
            }
        }
    }

    /// A part's result: unnormalised outputs [heads, d], then the top and the total of each head's softmax.
    private struct DecodeSums {
        let outputs: UnsafeMutablePointer<Float>
        let tops: UnsafeMutablePointer<Float>
        let totals: UnsafeMutablePointer<Float>

        init(_ result: UnsafeMutablePointer<Float>, _ shape: AttentionShape) {
            outputs = result
            tops = result + shape.queryWidth
            totals = tops + shape.heads
        }
    }

    /// Adds a tile to the sums. Scores come first, position after position with all heads, and V of each position is
    /// asked for beside its K: so memory is read in the order in which it lies, as one stream. V then comes from the
    /// second-level cache, head after head.
    private func decodeTile(
        _ tile: DecodeTile, q: UnsafePointer<Float>, scores: UnsafeMutablePointer<Float>, sums: DecodeSums
    ) {
        let d = shape.headSize
        let group = shape.group
        let scale = shape.scale
        for row in 0..<tile.count {
            let key = tile.keys[row]
            let value = tile.values[row]
            for kvHead in 0..<shape.kvHeads {
                let offset = kvHead * d
                for line in stride(from: offset, to: offset + d, by: 16) { alchemist_prefetch(value + line) }
                for head in kvHead * group..<(kvHead + 1) * group {
                    scores[head * Self.decodeKeys + row] = Vector.dot(q + head * d, key + offset, d) * scale
                }
            }
        }
        for kvHead in 0..<shape.kvHeads {
            let offset = kvHead * d
            for line in 0..<group {
                let head = kvHead * group + line
                let probabilities = scores + head * Self.decodeKeys
                let output = sums.outputs + head * d
                let top = max(sums.tops[head], Vector.largest(probabilities, tile.count))
                let sum = Vector.exponentials(probabilities, minus: top, tile.count)
                if top > sums.tops[head], sums.totals[head] > 0 {
                    let correction = exponential(sums.tops[head] - top)
                    sums.totals[head] *= correction
                    Vector.scale(output, by: correction, to: output, d)
                }
                sums.tops[head] = top
                sums.totals[head] += sum
                Self.accumulate(probabilities, tile, offset, output, d)
            }
        }
    }

    /// output [width] += sum over a tile's rows of weights[row] V[row], from column `offset` of V on, with sums in registers for 64 columns at a time.
    @inline(__always)
    private static func accumulate(
        _ weights: UnsafePointer<Float>, _ tile: DecodeTile, _ offset: Int, _ output: UnsafeMutablePointer<Float>,
        _ width: Int
    ) {
        var column = 0
        while column + 64 <= width {
            let target = output + column
            var a = Lanes(at: target)
            var b = Lanes(at: target + 16)
            var c = Lanes(at: target + 32)
            var d = Lanes(at: target + 48)
            for row in 0..<tile.count {
                let source = tile.values[row] + offset + column
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
        for row in 0..<tile.count {
            Vector.add(tile.values[row] + offset + column, times: weights[row], to: output + column, width - column)
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
