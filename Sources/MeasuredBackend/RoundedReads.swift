internal import Engine
internal import Simulator

/// Copies of the rounded pieces that a step reads, kept until it is audited: training uses the pieces up.
struct RoundedReads {
    struct Key: Hashable {
        /// A chunk may be read on the device by one micro-batch and from the host by another.
        var microBatch: Int
        var request: Int
        var part: RecordedSequence.RoundedPart
    }

    private var pieces: [Key: [ObjectIdentifier: RecordedSequence.RoundedPiece]] = [:]

    mutating func note(_ block: NarrowBlock, from start: Int, _ key: Key) {
        let id = ObjectIdentifier(block)
        guard pieces[key]?[id] == nil else { return }
        pieces[key, default: [:]][id] = RecordedSequence.RoundedPiece(
            positions: start..<start + block.layout.rows, block: block.copy())
    }

    mutating func clear() { pieces.removeAll(keepingCapacity: true) }

    /// Rounds what was recorded of a request once more as those pieces of it were rounded that a micro-batch read.
    func round(_ replays: [RecordedSequence], request: Int, microBatch: Int, layers: Int) {
        let parts =
            (0..<layers).flatMap { [RecordedSequence.RoundedPart.activations(layer: $0), .keysAndValues(layer: $0)] }
            + [.final]
        for part in parts {
            guard let read = pieces[Key(microBatch: microBatch, request: request, part: part)] else { continue }
            for replay in replays { replay.round(part, as: Array(read.values)) }
        }
    }
}

extension MeasuredBackend {
    /// Keeps copies of the rounded pieces that a unit is about to read first.
    func noteRoundedReads(of unit: TrainerUnit) throws {
        guard footprint.narrowsActivations || footprint.narrowsKV, let open = pass else { return }
        switch unit {
        case .forward(let layer, let rows) where rows.lowerBound == 0: try noteKV(layer, open)
        case .backward(let layer, let rows) where rows.upperBound == open.microBatch.rows:
            try noteKV(layer, open)
            for (sequence, span) in open.microBatch.spans {
                for part in try arena.activations(of: span, layer: layer) {
                    guard let block = part.block.narrow else { continue }
                    note(block, from: part.start, .activations(layer: layer), sequence, open)
                }
            }
        case .loss(let rows) where rows.lowerBound == 0:
            for (sequence, span) in open.microBatch.spans {
                for part in arena.final(of: span) {
                    if let block = part.block.narrow { note(block, from: part.start, .final, sequence, open) }
                }
            }
        default: break
        }
    }

    private func noteKV(_ layer: Int, _ open: OpenPass) throws {
        for (sequence, span) in open.microBatch.spans {
            for case .narrow(let part) in try arena.keysAndValues(of: span, layer: layer) {
                note(part.block, from: part.start, .keysAndValues(layer: layer), sequence, open)
            }
        }
    }

    private func note(
        _ block: NarrowBlock, from start: Int, _ part: RecordedSequence.RoundedPart, _ sequence: TrainingSequencePlan,
        _ open: OpenPass
    ) {
        roundedReads.note(
            block, from: start,
            RoundedReads.Key(microBatch: open.microBatch.id, request: sequence.request, part: part))
    }
}

extension MicroBatch {
    /// Every recorded span with its sequence.
    fileprivate var spans: [(sequence: TrainingSequencePlan, span: RecordedSpan)] {
        sequences.flatMap { sequence in sequence.recorded.map { (sequence, $0) } }
    }
}
