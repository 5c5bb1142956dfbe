internal import Engine
internal import Simulator

extension MeasuredBackend {
    /// Attaches the records that a unit reads. Those that are rounded are made floats first: activations for the unit's
    /// rows, K and V for a layer's units in turn.
    func attachRecords(for unit: TrainerUnit) throws {
        guard let open = pass else { return }
        switch unit {
        case .forward(let layer, _): try attachKV(layer, open)
        case .recompute(let layer, let rows), .backward(let layer, let rows):
            try attachKV(layer, open)
            if footprint.narrowsActivations {
                try attachWidenedActivations(layer, rows, open)
            } else {
                try attachActivations(layer, open)
            }
        case .loss, .score: try attachFinal(open)
        case .reference: break
        case .gradientNorm, .optimizer: break
        }
    }

    private func attachKV(_ layer: Int, _ open: OpenPass) throws {
        if footprint.narrowsKV, let other = open.widened.layer, other != layer {
            open.widened.releaseKV()
            open.pass.detach(layer: other)
            open.attachedKV.remove(other)
        }
        guard open.attachedKV.insert(layer).inserted else { return }
        if footprint.narrowsKV { open.widened.layer = layer }
        for (index, sequence) in open.microBatch.sequences.enumerated() {
            for span in sequence.recorded {
                for part in try arena.keysAndValues(of: span, layer: layer) {
                    open.pass.attachKV(layer: layer, sequence: index, segment(of: part, open))
                }
            }
        }
    }

    private func segment(of part: RecordArena.KVPart, _ open: OpenPass) -> KVSegment {
        switch part {
        case .plain(let segment): return segment
        case .narrow(let part):
            let block = open.widened.keysAndValues(engine.config, rows: part.positions.count)
            part.block.load(rows: part.rows, to: block, pool: engine.pool)
            return block.segment(layer: 0, start: part.positions.lowerBound, count: part.positions.count)
        }
    }

    private func attachActivations(_ layer: Int, _ open: OpenPass) throws {
        guard open.attachedActivations.insert(layer).inserted else { return }
        for (index, sequence) in open.microBatch.sequences.enumerated() {
            for span in sequence.recorded {
                for part in try arena.activations(of: span, layer: layer) {
                    guard let block = part.block.plain else { continue }
                    open.pass.attachActivations(
                        layer: layer, sequence: index, positions: part.positions, block, row: part.row)
                }
            }
        }
    }

    /// Activations of the recorded ones among packed rows `rows`.
    private func attachWidenedActivations(_ layer: Int, _ rows: Range<Int>, _ open: OpenPass) throws {
        open.widened.releaseActivations()
        open.pass.detachActivations(layer: layer)
        for (index, sequence, positions) in open.microBatch.positions(ofRows: rows) {
            for span in sequence.recorded {
                var span = span
                span.tokens = span.tokens.clamped(to: positions)
                guard !span.tokens.isEmpty else { continue }
                for part in try arena.activations(of: span, layer: layer) {
                    guard let narrow = part.block.narrow else { continue }
                    let block = open.widened.activations(
                        engine.config, rows: part.positions.count,
                        queryRows: layer == model.layers - 1 ? sequence.lossRows(of: part.positions) : nil,
                        plan: Engine.SavePlan(footprint.plans.recorded[layer]))
                    narrow.load(rows: part.rows, to: block, pool: engine.pool)
                    open.pass.attachActivations(layer: layer, sequence: index, positions: part.positions, block)
                }
            }
        }
    }

    private func attachFinal(_ open: OpenPass) throws {
        guard open.attachedActivations.insert(model.layers).inserted else { return }
        for (index, sequence) in open.microBatch.sequences.enumerated() {
            for span in sequence.recorded {
                for part in arena.final(of: span) {
                    let loss = part.positions.clamped(to: sequence.lossTokens)
                    guard !loss.isEmpty else { continue }
                    let row = part.row + loss.lowerBound - part.positions.lowerBound
                    switch part.block {
                    case .plain(let block):
                        open.pass.attachFinal(sequence: index, positions: loss, block, row: row)
                    case .narrow(let narrow):
                        let block = open.widened.final(engine.config, rows: loss.count)
                        narrow.load(rows: row..<row + loss.count, to: block, pool: engine.pool)
                        open.pass.attachFinal(sequence: index, positions: loss, block)
                    }
                }
            }
        }
    }
}

extension MicroBatch {
    /// The positions of each sequence, by its number, that a range of the packed rows covers.
    func positions(
        ofRows rows: Range<Int>
    ) -> [(index: Int, sequence: TrainingSequencePlan, positions: Range<Int>)] {
        var base = 0
        return sequences.enumerated().compactMap { index, sequence in
            defer { base += sequence.tokens }
            let own = rows.clamped(to: base..<base + sequence.tokens)
            let first = sequence.positions.lowerBound - base
            return own.isEmpty ? nil : (index, sequence, own.lowerBound + first..<own.upperBound + first)
        }
    }
}

extension TrainingSequencePlan {
    /// Last rows of `positions` from the first on that carries loss.
    fileprivate func lossRows(of positions: Range<Int>) -> Int {
        let loss = positions.clamped(to: lossTokens)
        return loss.isEmpty ? 0 : positions.upperBound - loss.lowerBound
    }
}
