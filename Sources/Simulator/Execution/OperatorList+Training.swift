extension OperatorList {
    /// All operators of one unit of `microBatch`.
    public func forEachOperator(of unit: TrainerUnit, in microBatch: MicroBatch, _ body: (Operator) -> Void) {
        switch unit {
        case .reference(let layer, let rows):
            let output =
                layer == model.layers - 1
                ? microBatch.lossQueries(ofAll: rows) : (rows: rows.count, pairs: microBatch.pairs(ofAll: rows))
            forEachForwardOperator(layer: layer, rows: rows.count, output) { op in
                // The reference is the model without adapters.
                if op.role != .adapterA, op.role != .adapterB { body(op) }
            }
        case .forward(let layer, let rows):
            let output =
                layer == model.layers - 1
                ? microBatch.lossQueries(ofFresh: rows) : (rows: rows.count, pairs: microBatch.pairs(ofFresh: rows))
            forEachForwardOperator(layer: layer, rows: rows.count, output, body)
            if rows.lowerBound == 0 { forEachKVWidening(in: microBatch, body) }
        case .score(let rows, _): forEachChunk(of: rows) { forEachScoreOperator(rows: $0, count: $1, body) }
        case .loss(let rows):
            forEachChunk(of: rows) { rows, count in
                forEachScoreOperator(rows: rows, count: count, body)
                forEachLossGradientOperator(rows: rows, count: count, body)
            }
            guard footprint.narrowsActivations, rows.lowerBound == 0 else { return }
            let recorded = microBatch.lossRows - microBatch.freshLossRows
            if recorded > 0 { body(recordedFinal(rows: recorded)) }
        case .recompute(let layer, let rows): forEachRecomputeOperator(layer: layer, rows: rows, in: microBatch, body)
        case .backward(let layer, let rows): forEachBackwardOperator(layer: layer, rows: rows, in: microBatch, body)
        case .gradientNorm: body(pass(.gradientNorm, values: tuning.trainedParameters(of: model), moved: 1))
        case .optimizer(let parameters):
            // Reads gradient, parameter and two moments; writes the last three and clears the gradient.
            body(pass(.optimizer, values: parameters.count, moved: 8))
        }
    }

    private func forEachForwardOperator(
        layer: Int, rows: Int, _ output: (rows: Int, pairs: Int), _ body: (Operator) -> Void
    ) {
        if layer == 0 { body(pass(.embedding, values: rows * model.hidden, moved: 2)) }
        forEachLayerOperator(rows: rows, outputRows: output.rows, count: 1, body)
        if output.rows > 0 { body(attention(queries: output.rows, pairs: output.pairs, count: 1)) }
    }

    /// Chunks of loss rows: their rows, and how many there are of that many.
    private func forEachChunk(of rows: Range<Int>, _ body: (_ rows: Int, _ count: Int) -> Void) {
        let (chunks, rest) = rows.count.quotientAndRemainder(dividingBy: lossChunk)
        if chunks > 0 { body(lossChunk, chunks) }
        if rest > 0 { body(rest, 1) }
    }

    /// Final norm, head and cross-entropy of a chunk of loss rows.
    private func forEachScoreOperator(rows: Int, count: Int, _ body: (Operator) -> Void) {
        let (h, v) = (model.hidden, model.vocabulary)
        body(pass(.gather, values: rows * h, moved: 2, count: count))
        body(pass(.norm, values: rows * h, moved: 2, count: count))
        body(product(.head, m: rows, n: v, k: h, count: count))
        body(pass(.loss, values: rows * v, moved: 2, count: count))
    }

    /// Their backward pass, which follows at once.
    private func forEachLossGradientOperator(rows: Int, count: Int, _ body: (Operator) -> Void) {
        let (h, v) = (model.hidden, model.vocabulary)
        body(product(.head, .inputGradient, m: rows, n: v, k: h, count: count))
        body(pass(.normBackward, values: rows * h, moved: 4, count: count))
        guard case .full = tuning else { return }
        body(product(.head, .weightGradient, m: rows, n: v, k: h, count: count))
        body(pass(.gainGradient, values: rows * h, moved: 2, count: count))
    }

    /// What was not kept of a layer's forward pass, up to gate and up: the trainer's own rows with their K and V, then
    /// recorded ones, whose K and V are there.
    private func forEachRecomputeOperator(
        layer: Int, rows: Range<Int>, in microBatch: MicroBatch, _ body: (Operator) -> Void
    ) {
        let isLast = layer == model.layers - 1
        let (fresh, recorded) = microBatch.shares(ofAll: rows)
        forEachWidening(layer: layer, recorded, body)
        if rows.lowerBound == 0 { forEachKVWidening(layer: layer, in: microBatch, body) }
        if plans.own != .full, fresh.rows > 0 {
            let queries = fresh.queries(isLast: isLast)
            if !plans.own.savesAttention {
                forEachProjectionOperator(rows: fresh.rows, outputRows: queries.rows, body)
            }
            forEachQueryRecompute(queries, plans.own, body)
        }
        let queries = recorded.queries(isLast: isLast)
        guard plans.recorded[layer] != .full, queries.rows > 0 else { return }
        if !plans.recorded[layer].savesAttention {
            body(pass(.norm, values: queries.rows * model.hidden, moved: 2))
            forEachQueryOperator(rows: queries.rows, body)
        }
        forEachQueryRecompute(queries, plans.recorded[layer], body)
    }

    /// What follows q for rows of which `plan` has not kept everything.
    private func forEachQueryRecompute(
        _ queries: (rows: Int, pairs: Int), _ plan: SavePlan, _ body: (Operator) -> Void
    ) {
        guard queries.rows > 0 else { return }
        guard !plan.savesAttention else {
            forEachGateOperator(rows: queries.rows, body)
            return
        }
        body(attention(queries: queries.rows, pairs: queries.pairs, count: 1))
        forEachResidualOperator(rows: queries.rows, body)
    }

    private func forEachBackwardOperator(
        layer: Int, rows: Range<Int>, in microBatch: MicroBatch, _ body: (Operator) -> Void
    ) {
        let isFull = tuning == .full
        // The gradient of the last layer's output is zero but for the rows with loss.
        let isLast = layer == model.layers - 1
        let output =
            isLast
            ? microBatch.lossQueries(ofAll: rows) : (rows: rows.count, pairs: microBatch.pairs(ofAll: rows))
        let h = model.hidden
        // Below the first layer only the embedding would want a gradient; without it the unit ends early.
        let needsInput = isFull || layer > 0
        let reachesAttention = needsInput || !linears[0].adapted.isEmpty
        // What is cheap to make again is made again, unless it was kept of all of the rows.
        let remakes = plans.checkpointing != .none || microBatch.shares(ofAll: rows).recorded.rows > 0
        if footprint.narrowsActivations {
            forEachWidening(layer: layer, microBatch.shares(ofAll: rows).recorded, body)
        }
        if rows.upperBound == microBatch.rows {
            if footprint.narrowsKV, !plans.needsRecompute(layer: layer, in: microBatch) {
                forEachKVWidening(layer: layer, in: microBatch, body)
            }
            body(pass(.clear, values: 2 * microBatch.rows * model.kvWidth, moved: 1))
        }
        if isLast { body(pass(.gather, values: output.rows * h, moved: 2, count: 2)) }
        if output.rows > 0 {
            body(pass(.swigluBackward, values: output.rows * model.intermediate, moved: 5))
            if remakes, isFull || !linears[3].adapted.isEmpty {
                body(pass(.swiglu, values: output.rows * model.intermediate, moved: 3))
            }
            forEachGradientProduct(linears[3], rows: output.rows, needsInput: true, body)
            forEachGradientProduct(linears[2], rows: output.rows, needsInput: true, body)
            forEachNormGradient(
                rows: output.rows, remakesOutput: remakes && (isFull || !linears[2].adapted.isEmpty), body)
            forEachGradientProduct(
                linears[1], rows: output.rows, needsInput: reachesAttention, adapterNeedsInput: true, body)
        }
        guard reachesAttention else { return }
        if output.rows > 0 {
            body(pass(.attentionProjection, values: output.rows * model.queryWidth, moved: 2))
            body(
                Operator(
                    role: .attention, kind: .attentionBackward(queries: output.rows, pairs: output.pairs),
                    flops: 10 * Double(model.queryWidth) * Double(output.pairs),
                    bytes: Double(
                        (4 * output.rows * model.queryWidth + 4 * rows.count * model.kvWidth) * widths.activations),
                    count: 1))
        }
        body(pass(.ropeBackward, values: rows.count * model.qkvWidth, moved: 3))
        forEachGradientProduct(linears[0], rows: rows.count, needsInput: needsInput, body)
        if isFull, model.qkvBias { body(pass(.biasGradient, values: rows.count * model.qkvWidth, moved: 1)) }
        if needsInput {
            forEachNormGradient(
                rows: rows.count, remakesOutput: remakes && (isFull || !linears[0].adapted.isEmpty), body)
        } else if remakes {
            body(pass(.norm, values: rows.count * h, moved: 2))
        }
        if layer == 0, isFull { body(pass(.embeddingBackward, values: rows.count * h, moved: 3)) }
    }

    /// Gradients of a linear layer's input, of its weights in full tuning, and of its adapters, for which x A^T is made
    /// again.
    private func forEachGradientProduct(
        _ linear: Linear, rows: Int, needsInput: Bool, adapterNeedsInput: Bool? = nil, _ body: (Operator) -> Void
    ) {
        let (n, k) = (linear.outputs, linear.inputs)
        if needsInput { body(product(linear.role, .inputGradient, m: rows, n: n, k: k)) }
        if case .full = tuning { body(product(linear.role, .weightGradient, m: rows, n: n, k: k)) }
        guard !linear.adapted.isEmpty else { return }
        let ranks = rank * linear.adapted.count
        body(product(.adapterA, m: rows, n: ranks, k: k))
        for outputs in linear.adapted {
            body(product(.adapterB, .weightGradient, m: rows, n: outputs, k: rank))
            body(product(.adapterB, .inputGradient, m: rows, n: outputs, k: rank))
        }
        body(product(.adapterA, .weightGradient, m: rows, n: ranks, k: k))
        if adapterNeedsInput ?? needsInput { body(product(.adapterA, .inputGradient, m: rows, n: ranks, k: k)) }
    }

    private func forEachNormGradient(rows: Int, remakesOutput: Bool, _ body: (Operator) -> Void) {
        let values = rows * model.hidden
        if remakesOutput { body(pass(.norm, values: values, moved: 2)) }
        body(pass(.normBackward, values: values, moved: 4))
        if case .full = tuning { body(pass(.gainGradient, values: values, moved: 2)) }
    }
}
