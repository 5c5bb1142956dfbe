extension OperatorList {
    /// Whether records are rounded, and how much of it, differs from layer to layer.
    var roundingDiffers: Bool { footprint.narrowsActivations && Set(plans.recorded.given).count > 1 }

    /// A pass between values of their own width and the same as records have them.
    private func conversion(_ values: Bytes, _ stored: Bytes, width: Int, count: Int = 1) -> Operator {
        // As a pass that moves as many bytes without rounding.
        pass(.recordCopy, values: (values + stored).count / (2 * width), moved: 2, count: count)
    }

    /// What a record takes of `rows` tokens in one layer, more than the input of `queryRows` of them: a copy, or a
    /// rounding.
    func recordedActivations(_ plan: SavePlan, rows: Int, queryRows: Int, count: Int = 1) -> Operator {
        guard footprint.narrowsActivations else {
            let values = rows * model.hidden + queryRows * (plan.queryValues(of: model) + plan.logSums(of: model))
            return pass(.recordCopy, values: values, moved: 2, count: count)
        }
        return conversion(
            footprint.activations(plan, rows: rows, queryRows: queryRows),
            footprint.recordedActivations(plan, rows: rows, queryRows: queryRows), width: widths.activations,
            count: count)
    }

    /// The final norm's input of `rows` tokens: a copy, or a rounding, or the way back.
    func recordedFinal(rows: Int) -> Operator {
        conversion(
            footprint.finalPerToken * rows, footprint.recordedFinalPerToken * rows, width: widths.activations)
    }

    /// K and V of `rows` tokens rounded, or made what attention reads, in `count` layers.
    func roundedKV(rows: Int, count: Int = 1) -> Operator {
        conversion(
            footprint.kvPerTokenPerLayer * rows, footprint.kvCopyPerTokenPerLayer * rows, width: widths.kv, count: count
        )
    }

    /// The activations of a unit's recorded rows, made what backward reads.
    func forEachWidening(layer: Int, _ recorded: MicroBatch.Share, _ body: (Operator) -> Void) {
        guard footprint.narrowsActivations, recorded.rows > 0 else { return }
        body(
            recordedActivations(
                plans.recorded[layer], rows: recorded.rows,
                queryRows: recorded.queries(isLast: layer == model.layers - 1).rows))
    }

    /// K and V of all recorded rows, made what attention reads, with the first unit of a layer that needs them.
    ///
    /// - Parameter layer: in the backward pass. After a forward pass those of the last layer are still there.
    func forEachKVWidening(layer: Int? = nil, in microBatch: MicroBatch, _ body: (Operator) -> Void) {
        guard footprint.narrowsKV else { return }
        let rows = microBatch.rows - microBatch.freshRows
        let isThere = layer == model.layers - 1 && microBatch.freshRows > 0
        if rows > 0, !isThere { body(roundedKV(rows: rows)) }
    }
}
