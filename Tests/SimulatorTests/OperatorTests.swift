import Simulator
import Testing

@Suite struct OperatorTests {
    static let shapes: [ModelShape] = [
        .tiny,
        ModelShape(
            name: "wide heads", layers: 2, hidden: 24, heads: 6, kvHeads: 3, headSize: 10, intermediate: 50,
            vocabulary: 77, maxContext: 512, tiedHead: false, qkvBias: true),
    ]
    static let tunings: [Tuning] = [
        .full, .lora(rank: 4, alpha: 8, targets: Projection.allCases),
        .lora(rank: 3, alpha: 8, targets: [.query, .value]), .lora(rank: 2, alpha: 8, targets: [.up, .down]),
    ]

    /// Parameters in the matrix products of all layers, without the head: what 2 N counts.
    private static func linear(_ m: ModelShape) -> Int {
        let q = m.heads * m.headSize
        let k = m.kvHeads * m.headSize
        return m.layers * (m.hidden * (q + 2 * k) + q * m.hidden + 3 * m.hidden * m.intermediate)
    }

    /// Parameters of A and of B of all adapters.
    private static func adapters(_ m: ModelShape, _ tuning: Tuning) -> (a: Int, b: Int) {
        guard case .lora(let rank, _, let targets) = tuning else { return (0, 0) }
        let q = m.heads * m.headSize
        let k = m.kvHeads * m.headSize
        let shapes: [Projection: (Int, Int)] = [
            .query: (m.hidden, q), .key: (m.hidden, k), .value: (m.hidden, k), .output: (q, m.hidden),
            .gate: (m.hidden, m.intermediate), .up: (m.hidden, m.intermediate), .down: (m.intermediate, m.hidden),
        ]
        let chosen = targets.compactMap { shapes[$0] }
        return (
            m.layers * rank * chosen.reduce(0) { $0 + $1.0 }, m.layers * rank * chosen.reduce(0) { $0 + $1.1 }
        )
    }

    private static func flops(_ operators: [Operator]) -> Double {
        operators.reduce(0) { $0 + $1.flops * Double($1.count) }
    }

    /// Parameters of one layer that make K and V, and all others; and the same of its adapters.
    private static func lastLayer(_ m: ModelShape, _ tuning: Tuning) -> (keysAndValues: Int, rest: Int) {
        let kv = 2 * m.hidden * m.kvHeads * m.headSize
        guard case .lora(let rank, _, let targets) = tuning else { return (kv, linear(m) / m.layers - kv) }
        let adapted = targets.count { $0 == .key || $0 == .value } * rank * (m.hidden + m.kvHeads * m.headSize)
        let (a, b) = adapters(m, tuning)
        return (kv + adapted, (linear(m) + a + b) / m.layers - kv - adapted)
    }

    /// 2 N per token and 4 a d per (query, key) pair and layer, and 2 h V per emitted token; adapters add 2 (A + B). In
    /// the last layer all but K and V are of the tokens whose output somebody reads.
    @Test(arguments: shapes, tunings) func aServingIterationCostsTheTextbookFlops(model: ModelShape, tuning: Tuning) {
        var stream = RandomStream(seed: 1, name: "serve")
        for _ in 0..<20 {
            var slices: [ServingSlice] = []
            var pairs = 0
            var wanted = (rows: 0, pairs: 0)
            for request in 0..<1 + stream.below(6) {
                let start = stream.below(50)
                let isPrefill = stream.below(2) == 0
                let end = start + (isPrefill ? 1 + stream.below(20) : 1)
                for position in start..<end { pairs += position + 1 }
                let emits = !isPrefill || stream.below(2) == 0
                let isRecorded = isPrefill && stream.below(2) == 0
                let finalRows = isRecorded ? stream.below(end - start + 1) : 0
                for position in start..<end where position >= end - finalRows || emits && position == end - 1 {
                    wanted = (wanted.rows + 1, wanted.pairs + position + 1)
                }
                slices.append(
                    ServingSlice(
                        request: request, tokens: start..<end, isPrefill: isPrefill, emitsToken: emits,
                        record: isRecorded ? ChunkID(slot: 0, generation: 0) : nil, finalRows: finalRows))
            }
            let rows = slices.reduce(0) { $0 + $1.tokens.count }
            let emitted = slices.count { $0.emitsToken }
            let (a, b) = Self.adapters(model, tuning)
            let last = Self.lastLayer(model, tuning)
            let inner = (Self.linear(model) + a + b) / model.layers * (model.layers - 1)
            let expected =
                2 * (inner + last.keysAndValues) * rows + 2 * last.rest * wanted.rows
                + 4 * model.heads * model.headSize * (pairs * (model.layers - 1) + wanted.pairs)
                + 2 * model.hidden * model.vocabulary * emitted
            let list = OperatorList(model: model, tuning: tuning)
            let plan = StepPlan.serve(ServingIteration(slices: slices, version: 0))
            #expect(Self.flops(list.operators(of: plan)) == Double(expected))
        }
    }

    /// Forward of fresh rows: 2 N and 4 a d per pair. Backward of all rows: 4 N in full tuning, 2 N with frozen weights;
    /// 10 a d per pair, the scores recomputed. The head: forward, input gradient, and weight gradient in full tuning.
    /// With adapters, backward makes x A^T again and takes the gradients of x, A and B: 6 A + 4 B per row.
    @Test(arguments: shapes, tunings) func aTrainingPassCostsTheTextbookFlops(model: ModelShape, tuning: Tuning) {
        var stream = RandomStream(seed: 2, name: "train")
        for _ in 0..<20 {
            var batch = MicroBatch.random(&stream)
            // With loss everywhere, the last layer is like the others.
            for index in batch.sequences.indices {
                batch.sequences[index].lossTokens = 0..<batch.sequences[index].tokens
            }
            var pairs = (fresh: 0, all: 0)
            for sequence in batch.sequences {
                for position in 0..<sequence.tokens {
                    pairs.all += position + 1
                    let isRecorded = sequence.recorded.contains { $0.tokens.contains(position) }
                    pairs.fresh += isRecorded ? 0 : position + 1
                }
            }
            let size = 1 + stream.below(40)
            func ranges(_ count: Int) -> [Range<Int>] {
                stride(from: 0, to: count, by: size).map { $0..<min(count, $0 + size) }
            }
            let layers = 0..<model.layers
            let units: [TrainerUnit] =
                layers.flatMap { layer in ranges(batch.freshRows).map { .forward(layer: layer, rows: $0) } }
                + ranges(batch.lossRows).map { .loss(rows: $0) }
                + layers.flatMap { layer in ranges(batch.rows).map { .backward(layer: layer, rows: $0) } }
            let n = Self.linear(model)
            let (a, b) = Self.adapters(model, tuning)
            let q = model.heads * model.headSize
            let forward = 2 * (n + a + b) * batch.freshRows + 4 * q * pairs.fresh * model.layers
            var backward =
                ((tuning == .full ? 4 : 2) * n + 6 * a + 4 * b) * batch.rows + 10 * q * pairs.all * model.layers
            if case .lora(let rank, _, let targets) = tuning {
                // Nothing below the first layer is trained: its q, k and v pass no gradient on, and without adapters
                // on them it is not even taken as far as attention.
                let adapted = targets.count { [.query, .key, .value].contains($0) }
                backward -= 2 * model.hidden * (model.qkvWidth + rank * adapted) * batch.rows
                if adapted == 0 { backward -= 2 * q * model.hidden * batch.rows + 10 * q * pairs.all }
            }
            let head = (tuning == .full ? 6 : 4) * model.hidden * model.vocabulary * batch.lossRows
            let list = OperatorList(model: model, tuning: tuning)
            let plan = StepPlan.train(TrainerQuantum(microBatch: batch, units: units))
            #expect(Self.flops(list.operators(of: plan)) == Double(forward + backward + head))
        }
    }

    /// The last layer's products after attention, and its attention, are of the rows with loss alone.
    @Test func theLastLayerWorksForRowsWithLossOnly() {
        var stream = RandomStream(seed: 4, name: "last")
        let model = ModelShape.tiny
        let list = OperatorList(model: model, tuning: .full)
        for _ in 0..<50 {
            let batch = MicroBatch.random(&stream)
            var fresh = (rows: 0, pairs: 0)
            var all = (rows: 0, pairs: 0)
            for sequence in batch.sequences {
                for position in sequence.lossTokens {
                    all = (all.rows + 1, all.pairs + position + 1)
                    guard !sequence.recorded.contains(where: { $0.tokens.contains(position) }) else { continue }
                    fresh = (fresh.rows + 1, fresh.pairs + position + 1)
                }
            }
            let projection = model.hidden * model.qkvWidth
            let query = model.hidden * model.queryWidth
            let rest = model.queryWidth * model.hidden + 3 * model.hidden * model.intermediate
            let forward = list.operators(of: .forward(layer: model.layers - 1, rows: 0..<batch.freshRows), in: batch)
            #expect(
                Self.flops(forward)
                    == Double(
                        2 * ((projection - query) * batch.freshRows + (query + rest) * fresh.rows) + 4
                            * model.queryWidth * fresh.pairs))
            let backward = list.operators(of: .backward(layer: model.layers - 1, rows: 0..<batch.rows), in: batch)
            #expect(
                Self.flops(backward)
                    == Double(4 * (projection * batch.rows + rest * all.rows) + 10 * model.queryWidth * all.pairs))
        }
    }

    /// With full checkpointing a layer's forward pass is repeated but for its last product. Of records that hold inputs
    /// that is all but K and V, which are there; of those without gate and up it is the product that makes these.
    @Test(arguments: tunings) func recomputationIsTheForwardPassButForItsOutput(tuning: Tuning) {
        let model = ModelShape.tiny
        let kinds: [(plans: SavePlans, covers: (MicroBatch) -> Bool)] = [
            (SavePlans(checkpointing: .full), { $0.freshRows > 0 }),
            (SavePlans(recorded: LayerPlans(.boundary)), { $0.freshRows < $0.rows }),
            (SavePlans(recorded: LayerPlans(.lean)), { $0.freshRows < $0.rows }),
        ]
        var stream = RandomStream(seed: 6, name: "again")
        for _ in 0..<30 {
            let batch = MicroBatch.random(&stream)
            let forward = OperatorList(model: model, tuning: tuning)
            for (number, kind) in kinds.enumerated() {
                let list = OperatorList(model: model, tuning: tuning, plans: kind.plans)
                for layer in 0..<model.layers {
                    #expect(kind.plans.needsRecompute(layer: layer, in: batch) == kind.covers(batch))
                    let again = Self.flops(
                        list.operators(of: .recompute(layer: layer, rows: 0..<batch.rows), in: batch))
                    guard number == 0 else {
                        let share = batch.shares(ofAll: 0..<batch.rows).recorded
                        let queries = share.queries(isLast: layer == model.layers - 1)
                        let expected = Self.recordedFlops(model, tuning, queries, isLean: number == 2)
                        #expect(again == expected)
                        continue
                    }
                    let whole = forward.operators(of: .forward(layer: layer, rows: 0..<batch.freshRows), in: batch)
                    let queries = batch.shares(ofAll: 0..<batch.rows).fresh.queries(isLast: layer == model.layers - 1)
                    let down = 2 * Self.product([.down], model, tuning) * queries.rows
                    #expect(again == Self.flops(whole) - Double(down))
                }
            }
        }
    }

    /// Parameters of some projections of a layer, adapters included.
    private static func product(_ projections: [Projection], _ m: ModelShape, _ tuning: Tuning) -> Int {
        projections.reduce(0) { sum, projection in
            let (inputs, outputs) = m.shape(of: projection)
            guard case .lora(let rank, _, let targets) = tuning, targets.contains(projection) else {
                return sum + inputs * outputs
            }
            return sum + inputs * outputs + rank * (inputs + outputs)
        }
    }

    /// Products of recorded queries that are made again, and their attention.
    private static func recordedFlops(
        _ m: ModelShape, _ tuning: Tuning, _ queries: (rows: Int, pairs: Int), isLean: Bool
    ) -> Double {
        let gate = 2 * product([.gate, .up], m, tuning) * queries.rows
        if isLean { return Double(gate) }
        return Double(
            gate + 2 * product([.query, .output], m, tuning) * queries.rows + 4 * m.queryWidth * queries.pairs)
    }

    @Test(arguments: tunings) func closingUnitsMoveTheTrainedParametersOnce(tuning: Tuning) {
        let list = OperatorList(model: .tiny, tuning: tuning)
        let trained = tuning.trainedParameters(of: .tiny)
        let batch = MicroBatch(id: 0, version: 0, sequences: [], stepLossTokens: 1)
        func bytes(_ units: [TrainerUnit]) -> Double {
            units.flatMap { list.operators(of: $0, in: batch) }.reduce(0) { $0 + $1.bytes * Double($1.count) }
        }
        #expect(bytes([.gradientNorm]) == Double(4 * trained))
        let half = trained / 3
        #expect(
            bytes([.optimizer(parameters: 0..<half), .optimizer(parameters: half..<trained)]) == Double(32 * trained))
    }

    // MARK: Pairs

    @Test(arguments: 0..<40) func pairsOfAnyRowsAreThoseOfTheirPositions(seed: Int) {
        var stream = RandomStream(seed: UInt64(seed), name: "pairs")
        let batch = MicroBatch.random(&stream)
        var all: [Int] = []
        var fresh: [Int] = []
        for sequence in batch.sequences {
            let recorded = Set(sequence.recorded.flatMap { Array($0.tokens) })
            all += (0..<sequence.tokens).map { $0 + 1 }
            fresh += (0..<sequence.tokens).filter { !recorded.contains($0) }.map { $0 + 1 }
            #expect(sequence.freshRanges.flatMap(Array.init) == (0..<sequence.tokens).filter { !recorded.contains($0) })
            #expect(sequence.freshTokens + sequence.reusedTokens == sequence.tokens)
        }
        #expect(batch.rows == all.count && batch.freshRows == fresh.count)
        for _ in 0..<50 {
            func range(_ count: Int) -> Range<Int> {
                let first = stream.below(count + 1)
                return first..<first + stream.below(count - first + 1)
            }
            let some = range(all.count)
            #expect(batch.pairs(ofAll: some) == all[some].reduce(0, +))
            let few = range(fresh.count)
            #expect(batch.pairs(ofFresh: few) == fresh[few].reduce(0, +))
        }
    }

    // MARK: Shape keys

    private static func serve(_ slices: [ServingSlice], version: Int = 0) -> String {
        StepPlan.serve(ServingIteration(slices: slices, version: version)).shape(lastLayer: 3).key
    }

    private static let slices = [
        ServingSlice(request: 0, tokens: 40..<41, isPrefill: false, emitsToken: true),
        ServingSlice(request: 1, tokens: 3..<4, isPrefill: false, emitsToken: true),
        ServingSlice(
            request: 2, tokens: 5..<20, isPrefill: true, emitsToken: true, record: ChunkID(slot: 1, generation: 2),
            finalRows: 1),
    ]

    @Test func servingKeysIgnoreWhoIsServed() {
        var other = Self.slices
        for index in other.indices { other[index].request += 7 }
        other[2].record = ChunkID(slot: 9, generation: 0)
        #expect(Self.serve(other, version: 4) == Self.serve(Self.slices))
        other.swapAt(0, 1)
        #expect(Self.serve(other) == Self.serve(Self.slices), "decodes of the same contexts are the same work")
    }

    static let changesOfServing: [@Sendable (inout [ServingSlice]) -> Void] = [
        { $0[0].tokens = 41..<42 },
        { $0[1].tokens = 40..<41 },
        { $0[2].tokens = 5..<21 },
        { $0[2].tokens = 6..<21 },
        { $0[2].emitsToken = false },
        { $0[2].record = nil },
        { $0[2].finalRows = 15 },
        { $0.removeLast() },
        { $0.removeFirst() },
        { $0.append($0[2]) },
        { $0[0].isPrefill = true },
    ]

    @Test(arguments: changesOfServing.indices) func servingKeysTellOtherWorkApart(index: Int) {
        var other = Self.slices
        Self.changesOfServing[index](&other)
        #expect(Self.serve(other) != Self.serve(Self.slices))
    }

    private struct Training {
        var batch = MicroBatch(
            id: 1, version: 2,
            sequences: [
                TrainingSequencePlan(
                    request: 4, promptTokens: 30, responseTokens: 11, lossTokens: 29..<40,
                    recorded: [
                        RecordedSpan(chunk: ChunkID(slot: 0, generation: 0), tokens: 0..<10, versions: 0...1),
                        RecordedSpan(chunk: ChunkID(slot: 1, generation: 0), tokens: 15..<30, versions: 1...1),
                    ])
            ], stepLossTokens: 11)
        var units: [TrainerUnit] = [
            .forward(layer: 1, rows: 0..<15), .loss(rows: 0..<11), .backward(layer: 1, rows: 20..<40),
        ]

        var key: String {
            StepPlan.train(TrainerQuantum(microBatch: batch, units: units)).shape(lastLayer: 3).key
        }
    }

    @Test func trainingKeysIgnoreWhoseSamplesTheyAre() {
        var other = Training()
        other.batch.id = 9
        other.batch.version = 7
        other.batch.sequences[0].request = 0
        other.batch.sequences[0].answer = 1
        other.batch.sequences[0].recorded[0].chunk = ChunkID(slot: 8, generation: 1)
        other.batch.sequences[0].recorded[0].versions = 1...6
        other.units[0] = .forward(layer: 2, rows: 0..<15)
        other.units[2] = .backward(layer: 2, rows: 20..<40)
        #expect(other.key == Training().key, "the layers between the first and the last do the same work")
        var closing = Training()
        closing.units = [.gradientNorm, .optimizer(parameters: 0..<10)]
        var later = closing
        later.batch = MicroBatch(id: 0, version: 0, sequences: [], stepLossTokens: 1)
        later.units = [.gradientNorm, .optimizer(parameters: 10..<20)]
        #expect(closing.key == later.key)
    }

    private static let changesOfTraining: [@Sendable (inout Training) -> Void] = [
        { $0.units[0] = .forward(layer: 0, rows: 0..<15) },
        { $0.units[0] = .forward(layer: 3, rows: 0..<15) },
        { $0.units[0] = .forward(layer: 1, rows: 1..<15) },
        { $0.units[0] = .forward(layer: 1, rows: 0..<14) },
        { $0.units[1] = .loss(rows: 0..<10) },
        { $0.units[2] = .backward(layer: 0, rows: 20..<40) },
        { $0.units[2] = .backward(layer: 3, rows: 20..<40) },
        { $0.units[2] = .backward(layer: 1, rows: 19..<40) },
        { $0.units[2] = .forward(layer: 1, rows: 20..<40) },
        { $0.units[2] = .recompute(layer: 1, rows: 20..<40) },
        { $0.units[2] = .recompute(layer: 2, rows: 20..<40) },
        { $0.units[2] = .recompute(layer: 1, rows: 20..<39) },
        { $0.units.removeFirst() },
        { $0.batch.sequences[0].promptTokens = 31 },
        { $0.batch.sequences[0].part = .branch(of: 0) },
        {
            $0.batch.sequences[0].part = .branch(of: 0)
            $0.batch.sequences[0].promptTokens = 29
            $0.batch.sequences[0].responseTokens = 12
        },
        { $0.units[0] = .reference(layer: 1, rows: 0..<15) },
        { $0.units[0] = .reference(layer: 0, rows: 0..<15) },
        { $0.units[1] = .score(rows: 0..<11, ofReference: false) },
        { $0.units[1] = .score(rows: 0..<11, ofReference: true) },
        { $0.batch.sequences[0].lossTokens = 0..<40 },
        { $0.batch.sequences[0].recorded.removeLast() },
        { $0.batch.sequences[0].recorded[1].tokens = 14..<29 },
        { $0.batch.sequences.append($0.batch.sequences[0]) },
        { $0.units = [.gradientNorm] },
        { $0.units = [.optimizer(parameters: 0..<10)] },
        { $0.units = [.optimizer(parameters: 0..<11)] },
    ]

    @Test func trainingKeysTellOtherWorkApart() {
        let keys = Self.changesOfTraining.map { change in
            var other = Training()
            change(&other)
            return other.key
        }
        #expect(Set(keys + [Training().key]).count == keys.count + 1)
    }
}
