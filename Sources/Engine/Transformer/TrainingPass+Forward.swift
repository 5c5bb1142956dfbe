extension TrainingPass {
    /// Runs a decoder layer for the fresh rows `rows`, which follow those done before; layer 0 embeds them first.
    ///
    /// In the last layer only the loss rows' output is of use; the other rows leave their K and V.
    public func forward(layer: Int, rows: Range<Int>) {
        precondition(
            rows.lowerBound == layers[layer].forwardEnd && rows.upperBound <= packing.fresh.count,
            "forward rows must ascend without gaps")
        precondition(rows.count <= unitRows, "a unit has at most \(unitRows) rows")
        precondition(
            layer == 0 || layers[layer - 1].forwardEnd >= rows.upperBound, "the layer below has not reached these rows")
        guard !rows.isEmpty else { return }
        let block = ownBlock(layer)
        if layer == 0 { embed(rows, into: block) }
        let isLast = layer + 1 == config.layers
        let wanted = wantedRows(layer, rows)
        // Where no row carries loss, nothing is put out.
        let output = isLast ? ownFinal()?.x : ownBlock(layer + 1).x
        withPlacement(layer, rows) { placement in
            workspace.layer.forward(
                ownTensors(layer, rows), output: part(output ?? block.x, wanted), placement,
                weights: parameters.weights.layer(layer), adapters: parameters.adapters?.layer(layer))
        }
        layers[layer].forwardEnd = rows.upperBound
        // What only scores has no use for a layer that is done.
        if isScoring, rows.upperBound == packing.fresh.count { releaseBlocks(of: layer) }
    }

    private func part(_ matrix: Matrix, _ rows: Range<Int>) -> Matrix {
        matrix.rows(from: rows.lowerBound, count: rows.count)
    }

    /// Fresh rows of `rows` whose output is wanted: in the last layer those with loss, counted among such rows.
    func wantedRows(_ layer: Int, _ rows: Range<Int>) -> Range<Int> {
        guard layer + 1 == config.layers else { return rows }
        let fresh = packing.fresh.rows
        return packing.freshLoss.range(in: fresh[rows.lowerBound]..<fresh[rows.upperBound - 1] + 1)
    }

    /// The tensors of fresh `rows` at a layer, kept ones in the layer's block, others in the memory that all layers share.
    func ownTensors(_ layer: Int, _ rows: Range<Int>) -> LayerRows {
        let block = ownBlock(layer)
        let wanted = wantedRows(layer, rows)
        var tensors = LayerRows(x: part(block.x, rows), recomputePlaces(layer).own.rows(wanted))
        tensors.place(block.planes.rows(wanted), keptBy: plan.own)
        tensors.derived = ownDerived(layer)?.rows(rows, queries: wanted)
        return tensors
    }

    private func embed(_ rows: Range<Int>, into block: ActivationBlock) {
        packing.freshTokens.withUnsafeBufferPointer { tokens in
            Embedding.forward(
                table: parameters.weights.embedding, tokens: UnsafeBufferPointer(rebasing: tokens[rows]),
                y: block.x.base + rows.lowerBound * config.hidden)
        }
    }

    /// Calls `body` with where the fresh `rows` stand.
    func withPlacement(_ layer: Int, _ rows: Range<Int>, _ body: (RowPlacement) -> Void) {
        let wanted = wantedRows(layer, rows)
        let isPartial = wanted.count < rows.count
        let own = ownSegment(layer, rows: rows, start: 0)
        let spans =
            layer + 1 == config.layers
            ? spans(layer: layer, packing.freshLoss, wanted) : spans(layer: layer, packing.fresh, rows)
        packing.fresh.positions.withUnsafeBufferPointer { positions in
            packing.freshLoss.positions.withUnsafeBufferPointer { lossPositions in
                guard let positions = positions.baseAddress.map({ $0 + rows.lowerBound }) else { return }
                let ofWanted = lossPositions.baseAddress.map { $0 + wanted.lowerBound }
                body(
                    RowPlacement(
                        positions: positions, keys: Rows(own.keys, stride: own.rowStride),
                        values: Rows(own.values, stride: own.rowStride),
                        wanted: isPartial ? RowChoice(packing.freshRowsOfLoss[wanted], from: rows.lowerBound) : nil,
                        queryPositions: isPartial ? ofWanted ?? positions : positions, spans: spans))
            }
        }
    }
}
