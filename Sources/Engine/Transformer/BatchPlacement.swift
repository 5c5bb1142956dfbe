/// Where the rows of a serving batch lie: in their sequences, in the batch, and in K and V. Made anew for each batch, in
/// tables that are reused.
struct BatchPlacement {
    /// The rows of one slice.
    struct Slice {
        /// Among all rows of the batch.
        let rows: Range<Int>
        /// Among the rows whose last-layer output is wanted: the slice's last ones.
        let wanted: Range<Int>
    }

    private(set) var slices: [Slice] = []
    /// Rows whose last-layer output is wanted, ascending.
    private(set) var wanted: [Int] = []
    private let positions = Table<Int32>()
    private let wantedPositions = Table<Int32>()
    private let segments = Table<KVSegment>()
    private let keys = RowTable()
    private let values = RowTable()
    private var spans: [AttentionSpan] = []
    private var wantedSpans: [AttentionSpan] = []

    /// Tokens of the batch.
    var rows: Int { positions.count }

    /// Checks the batch and finds its rows.
    mutating func place(_ batch: [ServingSlice], _ config: ModelConfig) {
        let count = batch.reduce(0) { $0 + $1.tokens.count }
        let parts = batch.reduce(0) { $0 + $1.kv.count }
        slices.removeAll(keepingCapacity: true)
        wanted.removeAll(keepingCapacity: true)
        spans.removeAll(keepingCapacity: true)
        wantedSpans.removeAll(keepingCapacity: true)
        positions.begin(count)
        wantedPositions.begin(count)
        segments.begin(parts)
        keys.begin(count)
        values.begin(count)
        var part = 0
        for slice in batch {
            let end = slice.start + slice.tokens.count
            let held = slice.kv.reduce(0) { $0 + $1.count }
            precondition(slice.start >= 0 && end <= config.maxContext, "positions beyond the model's context")
            precondition(held >= end, "K and V cover \(held) positions, the slice ends at \(end)")
            let first = (row: positions.count, wanted: wanted.count)
            let chosen = Self.wantedCount(of: slice, config)
            for position in slice.start..<end { positions.append(Int32(truncatingIfNeeded: position)) }
            for row in positions.count - chosen..<positions.count {
                wanted.append(row)
                wantedPositions.append(Int32(truncatingIfNeeded: slice.start + row - first.row))
            }
            let place = Slice(rows: first.row..<positions.count, wanted: first.wanted..<wanted.count)
            slices.append(place)
            // Segments follow layer by layer, always in the same places.
            let kv = KVView(segments.view(part..<part + slice.kv.count))
            part += slice.kv.count
            if !place.rows.isEmpty { spans.append(AttentionSpan(rows: place.rows, kv: kv)) }
            if !place.wanted.isEmpty { wantedSpans.append(AttentionSpan(rows: place.wanted, kv: kv)) }
        }
    }

    /// Last tokens of a slice whose last-layer output somebody reads: the logits, the record, or both.
    private static func wantedCount(of slice: ServingSlice, _ config: ModelConfig) -> Int {
        let count = slice.tokens.count
        guard count > 0 else { return 0 }
        var wanted = slice.wantsLogits ? 1 : 0
        guard let record = slice.record else { return wanted }
        precondition(record.layers.count == config.layers, "a record has a block, or none, for each layer")
        for (layer, block) in record.layers.enumerated() {
            guard let block else { continue }
            precondition(block.rows == count, "a record block must have the slice's rows")
            if layer + 1 == config.layers {
                wanted = max(wanted, block.queryRows)
            } else {
                precondition(block.queryRows == count, "only of the last layer some rows are left out")
            }
        }
        if let final = record.final {
            precondition(final.rows <= count, "a final block has at most the slice's rows")
            wanted = max(wanted, final.rows)
        }
        return wanted
    }

    /// Finds K and V of all positions at a layer, and the rows of the batch's own.
    func locate(_ batch: [ServingSlice], layer: Int) {
        segments.begin(0)
        keys.begin(0)
        values.begin(0)
        for slice in batch {
            let end = slice.start + slice.tokens.count
            var start = 0
            for span in slice.kv {
                let segment = span.block.segment(layer: layer, row: span.row, start: start, count: span.count)
                segments.append(segment)
                start = segment.end
                let first = max(segment.start, slice.start)
                guard first < min(segment.end, end) else { continue }
                for position in first..<min(segment.end, end) {
                    let offset = (position - segment.start) * segment.rowStride
                    keys.append(segment.keys + offset)
                    values.append(segment.values + offset)
                }
            }
        }
    }

    /// What a layer is told of the rows, after `locate`.
    ///
    /// - Parameter wantedOnly: whether it is the last, whose output is computed where it is wanted.
    func rows(wantedOnly: Bool) -> RowPlacement {
        guard let all = positions.view(0..<positions.count).baseAddress,
            let queries = wantedPositions.view(0..<wantedPositions.count).baseAddress
        else { preconditionFailure("a batch has rows") }
        let isPartial = wantedOnly && wanted.count < rows
        return RowPlacement(
            positions: all, keys: keys.rows, values: values.rows, wanted: isPartial ? RowChoice(wanted[...]) : nil,
            queryPositions: isPartial ? queries : all, spans: isPartial ? wantedSpans : spans)
    }
}
