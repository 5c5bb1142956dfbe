import Engine

/// Attention over several spans: forward, decoding where a span has one query, and backward.
struct AttentionCase: OperatorCase {
    /// One sequence.
    struct Span: Sendable {
        /// Positions held.
        let keys: Int
        /// Positions of the queries; nil for one at every key.
        var queries: [Int]?
        /// Positions of each piece of memory; nil for one piece.
        var block: Int?

        var positions: [Int] { queries ?? Array(0..<keys) }

        var description: String {
            "\(positions.count) of \(keys)\(block.map { " in blocks of \($0)" } ?? "")"
        }
    }

    let heads: Int
    let kvHeads: Int
    let headSize: Int
    let spans: [Span]
    /// Queries of a span in each backward call, from the end.
    var unit = Int.max
    /// Factor of the queries: 0 makes all probabilities equal, a large one makes them zero and one.
    var sharpness = 1.0
    /// Of V and of the output's gradient.
    var fill = Fill.normal

    var shape: AttentionShape { AttentionShape(heads: heads, kvHeads: kvHeads, headSize: headSize) }

    /// A lone query's keys are cut into parts for the threads there are.
    var isSameOnAnyWidth: Bool { spans.allSatisfy { $0.positions.count > 1 } }

    var title: String {
        "attention \(heads)/\(kvHeads) x \(headSize), \(spans.map(\.description).joined(separator: " + "))"
            + "\(unit == .max ? "" : ", units of \(unit)")\(sharpness == 1 ? "" : ", q x \(sharpness)"), \(fill)"
    }

    static let table: [any OperatorCase] = {
        var cases: [AttentionCase] = []
        // Groups of 1, 3 and 8 heads; blocks of 1, 3 and 16 positions; prompts, parts of them, decoding, and all at once.
        for (heads, kvHeads) in [(2, 2), (6, 2), (8, 1)] {
            for headSize in [2, 16, 64, 80, 128] {
                let block = [2: 1, 16: 3, 64: 16, 80: 3, 128: 1][headSize]
                cases.append(
                    AttentionCase(
                        heads: heads, kvHeads: kvHeads, headSize: headSize,
                        spans: [
                            Span(keys: 37, block: block), Span(keys: 150, queries: [149], block: 16), Span(keys: 1),
                            Span(keys: 70, queries: [0, 3, 4, 40, 69], block: 3), Span(keys: 5, queries: [2]),
                        ]))
            }
        }
        // Lengths that miss, meet and exceed tiles of 128 and 256 keys and of 192 rows.
        for keys in [1, 2, 15, 17, 127, 128, 129, 192, 193, 255, 256, 257, 300, 513] {
            cases.append(
                AttentionCase(heads: 3, kvHeads: 1, headSize: 6, spans: [Span(keys: keys, block: 16)], unit: 100))
        }
        // Decoding, cut into parts or not, with keys beyond the query, in blocks that miss the tiles of 64.
        for keys in [1, 63, 64, 65, 128, 255, 256, 257, 700, 1000] {
            for block in [1, 3, 16, nil] {
                cases.append(
                    AttentionCase(
                        heads: 4, kvHeads: 2, headSize: 16,
                        spans: [Span(keys: keys + 2, queries: [keys - 1], block: block)]))
            }
        }
        for count in [2, 3, 5, 8] {
            let spans = (0..<count).map { Span(keys: 200 + 150 * $0, queries: [199 + 150 * $0], block: 16) }
            cases.append(AttentionCase(heads: 6, kvHeads: 2, headSize: 64, spans: spans))
        }
        // Full context, all of it and its end.
        cases.append(AttentionCase(heads: 1, kvHeads: 1, headSize: 2, spans: [Span(keys: 4096, block: 16)], unit: 512))
        cases.append(
            AttentionCase(
                heads: 3, kvHeads: 1, headSize: 64,
                spans: [
                    Span(keys: 8192, queries: [8191], block: 16),
                    Span(keys: 8192, queries: [0, 4000, 8190, 8191], block: 16),
                ]))
        // Backward in units, over gaps.
        for unit in [1, 2, 7] {
            cases.append(
                AttentionCase(
                    heads: 6, kvHeads: 2, headSize: 16,
                    spans: [Span(keys: 140, queries: [0, 5, 6, 99, 100, 139], block: 3), Span(keys: 20)], unit: unit))
        }
        let mixed = [Span(keys: 90, block: 16), Span(keys: 400, queries: [399])]
        for sharpness in [0.0, 1e-3, 30, 1000] {
            cases.append(AttentionCase(heads: 4, kvHeads: 2, headSize: 16, spans: mixed, sharpness: sharpness))
        }
        for fill in Fill.edges {
            cases.append(AttentionCase(heads: 4, kvHeads: 2, headSize: 16, spans: mixed, fill: fill))
        }
        return cases
    }()

    /// What the oracle reads for each span; the kernel's operands are these, one after the other.
    func inputs() -> [(input: Oracle.AttentionInput, dOutput: [Double])] {
        spans.enumerated().map { index, span in
            let keyCount = span.keys * shape.keyWidth
            let queryCount = span.positions.count * shape.queryWidth
            let input = Oracle.AttentionInput(
                q: sample(queryCount, "q\(index)").map { Double(Float($0 * sharpness)) },
                k: sample(keyCount, "k\(index)"), v: fill.values(keyCount, "v\(index)"),
                positions: span.positions, shape: shape)
            return (input, fill.values(queryCount, "dOutput\(index)"))
        }
    }

    func references() -> [Reference] {
        let spans = inputs().map { AttentionReferences($0.input, dOutput: $0.dOutput) }
        // Queries of one span are consecutive rows of q and dq; K and V are each span's own.
        return [spans.map(\.o), spans.map(\.lse), spans.map(\.dq)].map { Reference(joining: $0) }
            + spans.flatMap { [$0.dk, $0.dv] }
    }
}

extension AttentionCase {
    /// Every second span's gradients are taken as those of a trunk and of what follows it.
    private static func gradientSpan(
        _ span: AttentionSpan, _ gradient: (k: Matrix, v: Matrix), group: Int
    ) -> Attention.GradientSpan {
        let start = group.isMultiple(of: 2) ? 0 : gradient.k.rows / 2
        func target(_ rows: Range<Int>) -> Attention.GradientSpan.Target {
            Attention.GradientSpan.Target(
                keys: gradient.k.rows(from: rows.lowerBound, count: rows.count),
                values: gradient.v.rows(from: rows.lowerBound, count: rows.count))
        }
        return Attention.GradientSpan(
            span, own: target(start..<gradient.k.rows), start: start, trunk: start > 0 ? target(0..<start) : nil,
            group: group)
    }

    func compute(_ arena: inout Arena, _ pool: ThreadPool) -> [[Float]] {
        let inputs = inputs()
        let q = arena.matrix(inputs.flatMap(\.input.q), columns: shape.queryWidth, gap: 3)
        let dOutput = arena.matrix(inputs.flatMap(\.dOutput), columns: shape.queryWidth)
        let rows = q.rows
        let o = arena.blank(rows, shape.queryWidth, gap: 1)
        let lse = arena.blank(rows, heads)
        let projections = arena.blank(rows, heads)
        let dq = (0..<Attention.queryGradientParts).map { _ in arena.blank(rows, shape.queryWidth) }
        let places = arena.integers(spans.flatMap(\.positions))
        var gradients: [(k: Matrix, v: Matrix)] = []
        var segments: [[KVSegment]] = []
        for (span, input) in zip(spans, inputs) {
            segments.append(self.segments(span, input.input, &arena))
            let (k, v) = (arena.blank(span.keys, shape.keyWidth, 0, gap: 2), arena.blank(span.keys, shape.keyWidth, 0))
            gradients.append((k, v))
        }
        guard let positions = places.baseAddress else { return [] }
        let attention = Attention(shape: shape, pool: pool)
        Self.withViews(segments[...]) { views in
            let whole = attentionSpans(views)
            attention.forward(q: q.asRows, o: o.asRows, lse: lse.asRows, positions: positions, spans: whole)
            attention.outputProjections(
                dOutput: dOutput.asRows, o: o.asRows, projections: projections.asRows, count: rows)
            let targets = Attention.Gradients(
                dOutput: dOutput.asRows, projections: projections.asRows,
                dq: [dq[0].asRows, dq[1].asRows])
            // All spans together, unit by unit from their ends.
            for unit in units(whole) {
                attention.backward(
                    q: q.asRows, lse: lse.asRows, positions: positions,
                    spans: unit.map { Self.gradientSpan($0.span, gradients[$0.index], group: $0.index) },
                    gradients: targets)
            }
        }
        let dqSum = zip(arena.values(dq[0]), arena.values(dq[1])).map(+)
        return [arena.values(o), arena.values(lse), dqSum]
            + gradients.flatMap { [arena.values($0.k), arena.values($0.v)] }
    }

    /// K and V of a span in pieces of memory of their own, rows with gaps.
    private func segments(_ span: Span, _ input: Oracle.AttentionInput, _ arena: inout Arena) -> [KVSegment] {
        let block = span.block ?? span.keys
        var segments: [KVSegment] = []
        for start in stride(from: 0, to: span.keys, by: block) {
            let count = min(block, span.keys - start)
            let range = start * shape.keyWidth..<(start + count) * shape.keyWidth
            let k = arena.matrix(Array(input.k[range]), columns: shape.keyWidth, gap: 5)
            let v = arena.matrix(Array(input.v[range]), columns: shape.keyWidth, gap: 5)
            segments.append(
                KVSegment(keys: k.base, values: v.base, rowStride: k.stride, start: start, count: count))
        }
        return segments
    }

    private static func withViews(_ segments: ArraySlice<[KVSegment]>, _ body: ([KVView]) -> Void) {
        guard let last = segments.last else { return body([]) }
        last.withUnsafeBufferPointer { pointer in
            withViews(segments.dropLast()) { body($0 + [KVView(pointer)]) }
        }
    }

    private func attentionSpans(_ views: [KVView]) -> [AttentionSpan] {
        var row = 0
        return zip(spans, views).map { span, view in
            defer { row += span.positions.count }
            return AttentionSpan(rows: row..<row + span.positions.count, kv: view)
        }
    }

    private func units(_ whole: [AttentionSpan]) -> [[(span: AttentionSpan, index: Int)]] {
        let longest = whole.map(\.rows.count).max() ?? 0
        return stride(from: 0, to: longest, by: min(unit, longest)).map { done in
            whole.indices.compactMap { index in
                let rows = whole[index].rows
                guard rows.count > done else { return nil }
                let end = rows.upperBound - done
                let part = max(rows.lowerBound, end - min(unit, rows.count))..<end
                return (AttentionSpan(rows: part, kv: whole[index].kv), index)
            }
        }
    }
}

extension Reference {
    /// The same result of several spans, one after the other, under the loosest of their bounds.
    fileprivate init(joining parts: [Reference]) {
        self.init(
            parts.first?.name ?? "", parts.flatMap(\.values), magnitudes: parts.flatMap(\.magnitudes),
            Rounding(growth: parts.map(\.rounding.growth).max() ?? 0))
    }
}
