extension TrainingPass {
    /// Runs a decoder layer for the fresh rows `rows`, which follow those done before; layer 0 embeds them first.
    ///
    /// In the last layer only the loss rows' output is of use; the other rows leave their K and V.
    public func forward(layer: Int, rows: Range<Int>) {
        precondition(
            rows.lowerBound == layers[layer].forwardEnd && rows.upperBound <= packing.freshRows.count,
            "forward rows must ascend without gaps")
        precondition(rows.count <= unitRows, "a unit has at most \(unitRows) rows")
        precondition(
            layer == 0 || layers[layer - 1].forwardEnd >= rows.upperBound, "the layer below has not reached these rows")
        guard !rows.isEmpty else { return }
        let block = ownBlock(layer)
        if layer == 0 { embed(rows, into: block) }
        let isLast = layer + 1 == config.layers
        let output = isLast ? ownFinal().x : ownBlock(layer + 1).x
        let wanted = isLast ? packing.losses(inFresh: rows) : rows
        let part = { (matrix: Matrix, rows: Range<Int>) in matrix.rows(from: rows.lowerBound, count: rows.count) }
        let tensors = LayerRows(
            x: part(block.x, rows), q: part(block.q, rows), o: part(block.o, wanted), lse: part(block.lse, wanted),
            x2: part(block.x2, wanted), gateUp: part(block.gateUp, wanted), output: part(output, wanted))
        withPlacement(layer, rows, lossOnly: isLast) { placement in
            workspace.layer.forward(
                tensors, placement, weights: parameters.weights.layer(layer),
                adapters: parameters.adapters?.layer(layer))
        }
        layers[layer].forwardEnd = rows.upperBound
    }

    private func embed(_ rows: Range<Int>, into block: ActivationBlock) {
        packing.freshTokens.withUnsafeBufferPointer { tokens in
            Embedding.forward(
                table: parameters.weights.embedding, tokens: UnsafeBufferPointer(rebasing: tokens[rows]),
                y: block.x.base + rows.lowerBound * config.hidden)
        }
    }

    private func withPlacement(
        _ layer: Int, _ rows: Range<Int>, lossOnly: Bool, _ body: (RowPlacement) -> Void
    ) {
        let wanted = lossOnly ? packing.losses(inFresh: rows) : rows
        let own = ownKV(layer).segment(layer: 0, start: 0, count: packing.freshRows.count)
        let keys = Rows(own.keys + rows.lowerBound * own.rowStride, stride: own.rowStride)
        let values = Rows(own.values + rows.lowerBound * own.rowStride, stride: own.rowStride)
        let parts = packing.parts(ofFresh: rows).compactMap { part in
            let own = lossOnly ? packing.losses(inFresh: part.rows) : part.rows
            return own.isEmpty
                ? nil : (own.shifted(by: -wanted.lowerBound), segments(layer: layer, sequence: part.sequence))
        }
        let isPartial = wanted.count < rows.count
        withSpans(parts) { spans in
            packing.freshPositions.withUnsafeBufferPointer { positions in
                packing.freshLossPositions.withUnsafeBufferPointer { lossPositions in
                    guard let positions = positions.baseAddress.map({ $0 + rows.lowerBound }) else { return }
                    let ofWanted = lossPositions.baseAddress.map { $0 + wanted.lowerBound }
                    body(
                        RowPlacement(
                            positions: positions, keys: keys, values: values,
                            wanted: isPartial ? packing.freshLossRows[wanted].map { $0 - rows.lowerBound } : nil,
                            queryPositions: isPartial ? ofWanted ?? positions : positions, spans: spans))
                }
            }
        }
    }

    /// Spans whose views of K and V stay valid during `body`.
    func withSpans(
        _ parts: [(rows: Range<Int>, segments: [KVSegment])], _ body: ([AttentionSpan]) -> Void
    ) {
        let all = parts.flatMap(\.segments)
        all.withUnsafeBufferPointer { all in
            var next = 0
            let spans = parts.map { part in
                defer { next += part.segments.count }
                let view = UnsafeBufferPointer(rebasing: all[next..<next + part.segments.count])
                return AttentionSpan(rows: part.rows, kv: KVView(view))
            }
            body(spans)
        }
    }
}

extension Range<Int> {
    /// Both ends moved by `distance`.
    func shifted(by distance: Int) -> Range<Int> { lowerBound + distance..<upperBound + distance }
}
