internal import Engine
internal import Simulator

/// Units of training that calibration executes in place: all of some micro-batches, in several sizes.
struct TrainingQuanta {
    private let backend: MeasuredBackend
    private let pricer: OperatorPricer
    private let tokens: SampleTokens
    private let effort: CalibrationEffort
    private let microBatches: [MicroBatch]

    /// - Parameters:
    ///   - tokens: those that the backend trains on; told of each sample.
    ///   - microBatchTokens: rows of micro-batches as runs fill them.
    ///   - firstRequest: the first that is free for samples.
    init(
        _ backend: MeasuredBackend, _ pricer: OperatorPricer, tokens: SampleTokens, microBatchTokens: Int,
        firstRequest: Int, effort: CalibrationEffort
    ) {
        self.backend = backend
        self.pricer = pricer
        self.tokens = tokens
        self.effort = effort
        microBatches = Self.microBatches(tokens, microBatchTokens, firstRequest, effort)
    }

    /// - Parameter rounds: executions of each unit.
    func run(rounds: Int) throws -> [QuantumTimes.Piece] {
        let sizes = effort == .quick ? [256] : [16, 32, 64, 128, 256, 512]
        let stretches = microBatches.flatMap { batch in
            sizes.filter { $0 <= batch.rows || $0 == sizes[0] }.map { Stretch(batch, units(of: batch, size: $0), $0) }
        }
        var pieces: [QuantumTimes.Piece] = []
        for stretch in stretches {
            for index in stretch.noted {
                let unit = stretch.units[index]
                pieces.append(
                    QuantumTimes.Piece(
                        WorkPhase(unit.phase), rows: unit.rows,
                        priced: pricer.price(of: unit, in: stretch.batch).seconds))
            }
        }
        // Round after round, so that a moment in which the machine is slow meets all sizes.
        for _ in 0..<rounds {
            var place = 0
            for stretch in stretches {
                try backend.open(stretch.batch, unitRows: stretch.unitRows)
                let quantum = TrainerQuantum(microBatch: stretch.batch, units: stretch.units)
                let outcome = try backend.execute(.train(quantum))
                try backend.close(stretch.batch)
                for index in stretch.noted {
                    pieces[place].seconds.append(outcome.unitDurations[index].seconds)
                    place += 1
                }
            }
        }
        return pieces
    }

    /// A micro-batch in units of at most so many rows.
    private struct Stretch {
        let batch: MicroBatch
        let units: [TrainerUnit]
        let unitRows: Int
        /// Places of those units that are held against prices: not of what is left of a micro-batch after its last whole one.
        let noted: [Int]

        init(_ batch: MicroBatch, _ units: [TrainerUnit], _ size: Int) {
            let whole = min(size, batch.rows)
            self.batch = batch
            self.units = units
            unitRows = whole
            noted = units.indices.filter { [.loss, .optimizer].contains(units[$0].phase) || units[$0].rows == whole }
        }
    }

    /// Micro-batches of one long and of several shorter sequences, with the loss on their ends; one of them as large as
    /// runs fill theirs, whose activations no cache holds.
    private static func microBatches(
        _ tokens: SampleTokens, _ microBatchTokens: Int, _ firstRequest: Int, _ effort: CalibrationEffort
    ) -> [MicroBatch] {
        let longest = min(tokens.longest / 2, effort == .quick ? 256 : 1024)
        let share = min(longest, microBatchTokens / 5)
        let shapes =
            effort == .quick
            ? [[longest]]
            : [[share * 3 / 2, share, share / 2, share, share], [longest / 2, longest / 3], [longest / 8]]
        return shapes.map { lengths in
            let sequences = lengths.filter { $0 > 1 }.map { length in
                let request = firstRequest + length
                tokens.lengths[request] = length
                return TrainingSequencePlan(
                    request: request, promptTokens: length - length / 8, responseTokens: length / 8 + 1,
                    lossTokens: max(0, length - length / 8 - 1)..<length, recorded: [])
            }
            return MicroBatch(
                id: 0, version: 0, sequences: sequences,
                stepLossTokens: sequences.reduce(0) { $0 + $1.lossTokens.count })
        }.filter { $0.rows > 0 }
    }

    /// All units of a micro-batch of at most `size` rows each.
    private func units(of batch: MicroBatch, size: Int) -> [TrainerUnit] {
        func ranges(_ count: Int) -> [Range<Int>] {
            stride(from: 0, to: count, by: size).map { $0..<min(count, $0 + size) }
        }
        let layers = 0..<backend.model.layers
        let parameters = backend.gradients.table.count
        return layers.flatMap { layer in ranges(batch.freshRows).map { .forward(layer: layer, rows: $0) } }
            + ranges(batch.lossRows).map { .loss(rows: $0) }
            + layers.reversed().flatMap { layer in
                ranges(batch.rows).reversed().map { .backward(layer: layer, rows: $0) }
            }
            + [.gradientNorm, .optimizer(parameters: 0..<parameters)]
            + (parameters > 16 ? [.optimizer(parameters: 0..<parameters / 4)] : [])
    }
}
