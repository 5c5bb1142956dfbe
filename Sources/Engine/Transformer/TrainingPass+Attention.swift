extension TrainingPass {
    /// Lists K and V of all sequences at a layer, recorded and fresh, each sequence's in order of position and behind
    /// those of its trunk.
    private func locateKeysAndValues(_ layer: Int) {
        let (segments, state) = (workspace.segments, layers[layer])
        func count(_ sequence: Int) -> Int {
            state.recordedKV[sequence].count + packing.sequences[sequence].freshRuns.count
        }
        var total = 0
        for (number, sequence) in packing.sequences.enumerated() {
            total += count(number) + (sequence.trunk.map(count) ?? 0)
        }
        segments.begin(total)
        workspace.segmentsOfSequences.removeAll(keepingCapacity: true)
        for (number, sequence) in packing.sequences.enumerated() {
            let first = segments.count
            if let trunk = sequence.trunk {
                for segment in segments.view(workspace.segmentsOfSequences[trunk]) { segments.append(segment) }
            }
            var recorded = 0
            for run in sequence.freshRuns {
                while recorded < state.recordedKV[number].count,
                    state.recordedKV[number][recorded].start < run.positions.lowerBound
                {
                    segments.append(state.recordedKV[number][recorded])
                    recorded += 1
                }
                let rows = run.row..<run.row + run.positions.count
                segments.append(ownSegment(layer, rows: rows, start: run.positions.lowerBound))
            }
            while recorded < state.recordedKV[number].count {
                segments.append(state.recordedKV[number][recorded])
                recorded += 1
            }
            workspace.segmentsOfSequences.append(first..<segments.count)
        }
    }

    private func view(_ sequence: Int) -> KVView {
        KVView(workspace.segments.view(workspace.segmentsOfSequences[sequence]))
    }

    /// Spans of the rows `range` of a selection, counted from its first, with the K and V of a layer.
    func spans(layer: Int, _ selection: Packing.Selection, _ range: Range<Int>) -> [AttentionSpan] {
        locateKeysAndValues(layer)
        workspace.spans.removeAll(keepingCapacity: true)
        for (number, sequence) in packing.sequences.enumerated() {
            let part = selection.range(in: sequence.rows).clamped(to: range)
            guard !part.isEmpty else { continue }
            workspace.spans.append(AttentionSpan(rows: part.shifted(by: -range.lowerBound), kv: view(number)))
        }
        return workspace.spans
    }

    /// The same for the backward pass of packed `rows`, or of those of them with loss, with where the gradients of K and V
    /// go, rows of `target` [packed rows, 2 keyWidth].
    func gradientSpans(
        layer: Int, rows: Range<Int>, lossOnly: Bool, target: Matrix
    ) -> [Attention.GradientSpan] {
        locateKeysAndValues(layer)
        workspace.gradientSpans.removeAll(keepingCapacity: true)
        let width = config.keyWidth
        func gradients(_ rows: Range<Int>) -> Attention.GradientSpan.Target {
            let part = target.rows(from: rows.lowerBound, count: rows.count)
            return Attention.GradientSpan.Target(
                keys: part.columns(from: 0, count: width), values: part.columns(from: width, count: width))
        }
        let first = lossOnly ? packing.loss.before[rows.lowerBound] : rows.lowerBound
        for (number, sequence) in packing.sequences.enumerated() {
            let packed = sequence.rows.clamped(to: rows)
            guard !packed.isEmpty else { continue }
            let part = lossOnly ? packing.loss.range(in: packed) : packed
            guard !part.isEmpty else { continue }
            workspace.gradientSpans.append(
                Attention.GradientSpan(
                    AttentionSpan(rows: part.shifted(by: -first), kv: view(number)), own: gradients(sequence.rows),
                    start: sequence.start, trunk: sequence.trunk.map { gradients(packing.sequences[$0].rows) },
                    group: sequence.tree(number)))
        }
        return workspace.gradientSpans
    }
}

extension Range<Int> {
    /// Both ends moved by `distance`.
    func shifted(by distance: Int) -> Range<Int> { lowerBound + distance..<upperBound + distance }
}
