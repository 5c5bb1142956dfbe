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

    /// Adds each sequence's sum of log-probabilities, those of the loss rows `rows` times their weights, to `sums`
    /// [sequences]. Nothing is put into gradients.
    public func score(rows: Range<Int>, into sums: inout [Double]) {
        precondition(rows.upperBound <= packing.loss.count, "there are \(packing.loss.count) loss rows")
        precondition(sums.count == packing.sequences.count, "a sum for each sequence")
        for start in stride(from: rows.lowerBound, to: rows.upperBound, by: workspace.lossChunk) {
            let chunk = start..<min(start + workspace.lossChunk, rows.upperBound)
            let head = runHead(chunk)
            let losses = withLossRows(chunk) { targets, weights, losses in
                CrossEntropy.forward(
                    logits: head.logits, targets: targets, weights: weights, losses: losses, pool: workspace.pool)
            }
            for (row, loss) in zip(chunk, losses) { sums[packing.lossSequences[row]] -= loss }
        }
    }

    /// Multiplies the loss weights of each sequence's rows, as they were when the pass was opened: what `loss` then takes
    /// are the gradients of a weighted sum of the sequences' log-probabilities.
    public func scaleLoss(by factors: [Float]) {
        precondition(factors.count == packing.sequences.count, "a factor for each sequence")
        for (row, sequence) in packing.lossSequences.enumerated() {
            lossWeights[row] = packing.lossWeights[row] * factors[sequence]
        }
    }

    /// Final norm and head of a chunk of loss rows.
    private struct Head {
        let x: Matrix
        let normed: Matrix
        let dNormed: Matrix
        let inverses: Matrix
        let logits: Matrix
    }

    private func runHead(_ rows: Range<Int>) -> Head {
        let h = config.hidden
        let weights = parameters.weights
        let memory = workspace.lossMemory.reserve(workspace.lossChunk * TrainingWorkspace.lossFloatsPerRow(config))
        var planes = Planes(memory, rows: rows.count)
        let head = Head(
            x: planes.take(h), normed: planes.take(h), dNormed: planes.take(h), inverses: planes.take(1),
            logits: planes.take(config.vocabulary))
        for row in rows {
            let target = head.x.base + (row - rows.lowerBound) * h
            target.update(from: finalInput(packing.loss.rows[row]), count: h)
        }
        RMSNorm.forward(
            x: head.x.asRows, gain: weights.finalNorm, epsilon: Float(config.rmsEpsilon), y: head.normed.asRows,
            count: rows.count, width: h, pool: workspace.pool)
        MatrixProduct.forward(head.normed, weights.head, head.logits, pool: workspace.pool)
        return head
    }

    private func lossChunk(_ rows: Range<Int>) -> Double {
        let h = config.hidden
        let count = rows.count
        let weights = parameters.weights
        let head = runHead(rows)
        // Logits become their gradient; the losses are summed in row order.
        let total = withLossRows(rows) { targets, weights, losses in
            CrossEntropy.forwardBackward(
                logits: head.logits, targets: targets, weights: weights, losses: losses, pool: workspace.pool)
        }.reduce(0, +)
        MatrixProduct.inputGradient(head.logits, weights.head, head.dNormed, pool: workspace.pool)
        let target = workspace.gradientTable.fill(count) { stream + packing.loss.rows[rows.lowerBound + $0] * h }
        RMSNorm.backward(
            x: head.x.asRows, gain: weights.finalNorm, epsilon: Float(config.rmsEpsilon), dy: head.dNormed.asRows,
            dx: target, inverses: head.inverses.base, count: count, width: h, pool: workspace.pool)
        if let layout = gradients.weights {
            let target = Matrix(gradients.buffer.base + layout.head, rows: config.vocabulary, columns: h)
            MatrixProduct.weightGradient(head.logits, head.normed, target, pool: workspace.pool)
            RMSNorm.gainGradient(
                x: head.x.asRows, dy: head.dNormed.asRows, inverses: head.inverses.base,
                dGain: gradients.buffer.base + layout.finalNorm, count: count, width: h, pool: workspace.pool)
        }
        return total
    }

    /// Calls `body` with targets and weights of loss rows and with room for their losses, which it returns.
    private func withLossRows(
        _ rows: Range<Int>,
        _ body: (UnsafePointer<Int32>, UnsafePointer<Float>, UnsafeMutablePointer<Double>) -> Void
    ) -> UnsafeBufferPointer<Double> {
        let losses = workspace.losses
        losses.begin(rows.count)
        for _ in rows { losses.append(0) }
        let room = losses.view(0..<rows.count)
        packing.lossTargets.withUnsafeBufferPointer { targets in
            lossWeights.withUnsafeBufferPointer { weights in
                guard let targets = targets.baseAddress, let weights = weights.baseAddress,
                    let base = room.baseAddress
                else { return }
                body(targets + rows.lowerBound, weights + rows.lowerBound, UnsafeMutablePointer(mutating: base))
            }
        }
        return room
    }

    /// The final norm's input at a packed row: attached, or the pass's own.
    private func finalInput(_ row: Int) -> UnsafePointer<Float> {
        for run in recordedFinal where run.rows.contains(row) {
            return UnsafePointer(run.block.x.base + (run.row + row - run.rows.lowerBound) * config.hidden)
        }
        let fresh = packing.fresh.before[row]
        guard packing.isFresh(row), layers[config.layers - 1].forwardEnd > fresh, let final else {
            preconditionFailure("the final norm's input of packed row \(row) is neither computed nor attached")
        }
        return UnsafePointer(final.x.base + packing.freshLoss.before[row] * config.hidden)
    }
}
