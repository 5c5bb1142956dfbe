extension TrainingPass {
    /// Runs the forward pass of all layers over the fresh rows, in units of at most `unit` rows.
    ///
    /// - Parameter prepare: called before each layer.
    package func forwardWhole(unit: Int? = nil, prepare: (Int) -> Void = { _ in }) {
        let unit = unit ?? unitRows
        let fresh = packing.freshRows.count
        for layer in 0..<config.layers {
            prepare(layer)
            for start in stride(from: 0, to: fresh, by: unit) {
                forward(layer: layer, rows: start..<min(start + unit, fresh))
            }
        }
    }

    /// Runs the loss, and of all layers what has to be computed again and the backward pass; returns the weighted sum of the losses, in nats.
    ///
    /// - Parameter reload: called before each layer is computed again or run backward.
    package func backwardWhole(unit: Int? = nil, reload: (Int) -> Void = { _ in }) -> Double {
        let unit = unit ?? unitRows
        let loss = loss(rows: 0..<packing.lossRows.count)
        for layer in (0..<config.layers).reversed() {
            reload(layer)
            if needsRecompute(layer: layer) {
                for start in stride(from: 0, to: packing.rowCount, by: unit) {
                    recompute(layer: layer, rows: start..<min(start + unit, packing.rowCount))
                }
            }
            for end in stride(from: packing.rowCount, to: 0, by: -unit) {
                backward(layer: layer, rows: max(0, end - unit)..<end)
            }
            finishedBackward(layer: layer)
        }
        return loss
    }
}
