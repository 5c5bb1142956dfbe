extension TrainingPass {
    /// Whether a layer's backward pass reads anything that was not kept.
    public func needsRecompute(layer: Int) -> Bool {
        plan.own != .full && packing.fresh.count > 0 || plan.recorded(layer) != .full && packing.recorded.count > 0
    }

    /// Computes again what was not kept of the packed rows `rows` at a layer; they follow those done before.
    ///
    /// The memory is that of all layers: the one above must be done backward.
    public func recompute(layer: Int, rows: Range<Int>) {
        precondition(
            rows.lowerBound == layers[layer].recomputeEnd && rows.upperBound <= packing.rowCount,
            "recomputed rows must ascend without gaps")
        precondition(rows.count <= unitRows, "a unit has at most \(unitRows) rows")
        precondition(layers[layer].forwardEnd == packing.fresh.count, "the forward pass is not finished")
        precondition(
            layer == config.layers - 1 || layers[layer + 1].backwardStart == 0, "the layer above is not finished")
        // Later rows attend to the K and V of fresh ones.
        recomputeOwn(layer, packing.fresh.range(in: rows))
        recomputeRecorded(layer, rows)
        layers[layer].recomputeEnd = rows.upperBound
    }

    private func recomputeOwn(_ layer: Int, _ rows: Range<Int>) {
        guard !rows.isEmpty, plan.own != .full else { return }
        let tensors = ownTensors(layer, rows)
        let (weights, adapters) = (parameters.weights.layer(layer), parameters.adapters?.layer(layer))
        guard plan.own.savesAttention else {
            withPlacement(layer, rows) {
                workspace.layer.recompute(tensors, $0, weights: weights, adapters: adapters)
            }
            return
        }
        guard tensors.gateUp.rows > 0 else { return }
        workspace.layer.gate(tensors.x2.asRows, into: tensors.gateUp, weights: weights, adapters: adapters)
    }

    /// Recorded rows have their K and V.
    private func recomputeRecorded(_ layer: Int, _ rows: Range<Int>) {
        let plan = plan.recorded(layer)
        guard plan != .full else { return }
        let selection = layer + 1 == config.layers ? packing.recordedLoss : packing.recorded
        let wanted = selection.range(in: rows)
        guard !wanted.isEmpty else { return }
        locateRecorded(layer, selection.rows[wanted])
        let planes = recomputePlaces(layer).recorded.rows(wanted)
        let (weights, adapters) = (parameters.weights.layer(layer), parameters.adapters?.layer(layer))
        guard !plan.savesAttention else {
            workspace.layer.gate(workspace.tables.x2.rows, into: planes.gateUp, weights: weights, adapters: adapters)
            return
        }
        let spans = spans(layer: layer, selection, wanted)
        selection.positions.withUnsafeBufferPointer { positions in
            guard let positions = positions.baseAddress else { return }
            // The input lies in the records; the tensors' own is not looked at.
            workspace.layer.recomputeQueries(
                x: workspace.tables.x.rows, LayerRows(x: planes.x2, planes), positions: positions + wanted.lowerBound,
                spans: spans, weights: weights, adapters: adapters)
        }
    }

    /// Finds inputs, and residuals where they are kept, of recorded packed `rows`.
    private func locateRecorded(_ layer: Int, _ rows: ArraySlice<Int>) {
        let tables = workspace.tables
        tables.begin(rows.count)
        var cursor = 0
        for row in rows {
            let run = recordedRun(layer, row, &cursor)
            let place = run.row + row - run.rows.lowerBound
            tables.x.append(run.block.x.base + place * run.block.x.stride)
            guard run.block.plan.savesAttention else { continue }
            let x2 = run.block.planes.x2
            tables.x2.append(x2.base + run.queryRow(place) * x2.stride)
        }
    }

    /// The attached run that holds a packed row. `cursor` is the first that may, and is moved on.
    func recordedRun(_ layer: Int, _ row: Int, _ cursor: inout Int) -> RecordedRun {
        let runs = layers[layer].recorded
        while cursor < runs.count, runs[cursor].rows.upperBound <= row { cursor += 1 }
        precondition(
            cursor < runs.count && runs[cursor].rows.contains(row),
            "activations of packed row \(row) are neither computed nor attached")
        return runs[cursor]
    }
}

extension TrainingPass.RecordedRun {
    /// Row of the block's planes after the input.
    func queryRow(_ row: Int) -> Int {
        let place = row - (block.rows - block.queryRows)
        precondition(place >= 0, "the record does not hold the output of its row \(row)")
        return place
    }
}
