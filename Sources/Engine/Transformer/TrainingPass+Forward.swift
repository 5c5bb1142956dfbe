extension TrainingPass {
    /// Runs a decoder layer for the fresh rows `rows`, which follow those done before; layer 0 embeds them first.
    public func forward(layer: Int, rows: Range<Int>) {
        precondition(
            rows.lowerBound == layers[layer].forwardEnd && rows.upperBound <= packing.freshRows.count,
            "forward rows must ascend without gaps")
        precondition(rows.count <= workspace.unitRows, "a unit has at most \(workspace.unitRows) rows")
        precondition(
            layer == 0 || layers[layer - 1].forwardEnd >= rows.upperBound, "the layer below has not reached these rows")
        guard !rows.isEmpty else { return }
        let block = ownBlock(layer)
        if layer == 0 { embed(rows, into: block) }
        let output = layer + 1 < config.layers ? ownBlock(layer + 1).x : ownFinal().x
        let part = { (matrix: Matrix) in matrix.rows(from: rows.lowerBound, count: rows.count) }
        let tensors = LayerRows(
            x: part(block.x), q: part(block.q), o: part(block.o), lse: part(block.lse), x2: part(block.x2),
            gateUp: part(block.gateUp), output: part(output))
        withPlacement(layer, rows) { placement in
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

    private func withPlacement(_ layer: Int, _ rows: Range<Int>, _ body: (RowPlacement) -> Void) {
        let own = ownKV(layer).segment(layer: 0, start: 0, count: packing.freshRows.count)
        let keys = Rows(own.keys + rows.lowerBound * own.rowStride, stride: own.rowStride)
        let values = Rows(own.values + rows.lowerBound * own.rowStride, stride: own.rowStride)
        let parts = packing.parts(ofFresh: rows).map { part in
            (
                rows: part.rows.lowerBound - rows.lowerBound..<part.rows.upperBound - rows.lowerBound,
                segments: segments(layer: layer, sequence: part.sequence)
            )
        }
        withSpans(parts) { spans in
            packing.freshPositions.withUnsafeBufferPointer { positions in
                guard let base = positions.baseAddress else { return }
                body(
                    RowPlacement(
                        positions: base + rows.lowerBound, keys: keys, values: values, spans: spans))
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
