extension TrainingPass {
    /// Final norm, head and cross-entropy of the loss rows `rows`, and at once their backward pass into the gradient of
    /// the residual stream. Returns the weighted sum of the losses, in nats.
    public func loss(rows: Range<Int>) -> Double {
        precondition(rows.upperBound <= packing.lossRows.count, "there are \(packing.lossRows.count) loss rows")
        var total = 0.0
        for start in stride(from: rows.lowerBound, to: rows.upperBound, by: workspace.lossChunk) {
            total += lossChunk(start..<min(start + workspace.lossChunk, rows.upperBound))
        }
        return total
    }

    private func lossChunk(_ rows: Range<Int>) -> Double {
        let h = config.hidden
        let count = rows.count
        let weights = parameters.weights
        let memory = workspace.lossMemory.reserve(workspace.lossChunk * TrainingWorkspace.lossFloatsPerRow(config))
        var planes = Planes(memory, rows: count)
        let x = planes.take(h)
        let normed = planes.take(h)
        let dNormed = planes.take(h)
        let inverses = planes.take(1)
        let logits = planes.take(config.vocabulary)
        for (index, row) in packing.lossRows[rows].enumerated() {
            (x.base + index * h).update(from: finalInput(row), count: h)
        }
        RMSNorm.forward(
            x: x.asRows, gain: weights.finalNorm, epsilon: Float(config.rmsEpsilon), y: normed.asRows, count: count,
            width: h, pool: workspace.pool)
        MatrixProduct.forward(normed, weights.head, logits, pool: workspace.pool)
        let total = crossEntropy(logits, rows)
        MatrixProduct.inputGradient(logits, weights.head, dNormed, pool: workspace.pool)
        let target = workspace.gradientTable.fill(count) { stream + packing.lossRows[rows.lowerBound + $0] * h }
        RMSNorm.backward(
            x: x.asRows, gain: weights.finalNorm, epsilon: Float(config.rmsEpsilon), dy: dNormed.asRows, dx: target,
            inverses: inverses.base, count: count, width: h, pool: workspace.pool)
        if let layout = gradients.weights {
            let head = Matrix(gradients.buffer.base + layout.head, rows: config.vocabulary, columns: h)
            MatrixProduct.weightGradient(logits, normed, head, pool: workspace.pool)
            RMSNorm.gainGradient(
                x: x.asRows, dy: dNormed.asRows, inverses: inverses.base,
                dGain: gradients.buffer.base + layout.finalNorm, count: count, width: h, pool: workspace.pool)
        }
        return total
    }

    /// Logits become their gradient; the losses are summed in row order.
    private func crossEntropy(_ logits: Matrix, _ rows: Range<Int>) -> Double {
        withUnsafeTemporaryAllocation(of: Double.self, capacity: rows.count) { losses in
            packing.lossTargets.withUnsafeBufferPointer { targets in
                packing.lossWeights.withUnsafeBufferPointer { weights in
                    guard let targets = targets.baseAddress, let weights = weights.baseAddress,
                        let base = losses.baseAddress
                    else { return 0 }
                    CrossEntropy.forwardBackward(
                        logits: logits, targets: targets + rows.lowerBound, weights: weights + rows.lowerBound,
                        losses: base, pool: workspace.pool)
                    return losses.reduce(0, +)
                }
            }
        }
    }

    /// The final norm's input at a packed row: attached, or the pass's own.
    private func finalInput(_ row: Int) -> UnsafePointer<Float> {
        for run in recordedFinal where run.rows.contains(row) {
            return UnsafePointer(run.block.x.base + (run.row + row - run.rows.lowerBound) * config.hidden)
        }
        guard let fresh = freshRow(row), layers[config.layers - 1].forwardEnd > fresh, let final else {
            preconditionFailure("the final norm's input of packed row \(row) is neither computed nor attached")
        }
        return UnsafePointer(final.x.base + packing.freshLossBefore[fresh] * config.hidden)
    }

    /// The fresh row at a packed row, by bisection; nil where it is recorded.
    private func freshRow(_ row: Int) -> Int? {
        var low = 0
        var high = packing.freshRows.count
        while low < high {
            let middle = (low + high) / 2
            if packing.freshRows[middle] < row { low = middle + 1 } else { high = middle }
        }
        return low < packing.freshRows.count && packing.freshRows[low] == row ? low : nil
    }
}
