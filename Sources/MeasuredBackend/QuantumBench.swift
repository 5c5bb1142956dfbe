internal import Engine
internal import Simulator

/// Runs whole quanta, whose times are then held against the sums of their operators.
struct QuantumBench {
    private let engine: EngineContext
    private let training: TrainingConfiguration
    private let serving: ServingConfiguration
    private let effort: CalibrationEffort
    /// Executions of each iteration. Units of training are executed half as often, but twice where there are several.
    private let rounds: Int
    private let backend: MeasuredBackend
    private let pricer: OperatorPricer
    private let tokens: SampleTokens

    /// - Parameter profile: prices of operators by themselves.
    init(
        _ engine: EngineContext, profile: HardwareProfile, training: TrainingConfiguration,
        serving: ServingConfiguration, effort: CalibrationEffort, rounds: Int
    ) {
        self.rounds = rounds
        self.engine = engine
        self.training = training
        self.serving = serving
        self.effort = effort
        var configuration = ArmConfiguration(serving: serving, training: training)
        configuration.training.enabled = true
        configuration.training.auditEvery = 0
        // What is computed again costs what it cost the first time.
        configuration.training.checkpointing = .selective
        tokens = SampleTokens(longest: engine.config.maxContext)
        var options = MeasuredOptions(configuration)
        options.steadyProbe = profile.probe
        backend = MeasuredBackend(
            engine: engine, profile: profile, tokens: tokens, options: options)
        pricer = OperatorPricer(profile, OperatorList(backend.footprint))
    }

    func run() throws -> QuantumTimes {
        var times = QuantumTimes()
        // Round after round, so that a prefilling iteration finds the caches as another one left them.
        let iterations = try iterations()
        for iteration in iterations {
            times.pieces.append(
                QuantumTimes.Piece(
                    phase: WorkPhase(iteration), rows: iteration.slices.reduce(0) { $0 + $1.tokens.count },
                    priced: pricer.price(of: iteration).seconds))
        }
        for _ in 0..<rounds {
            for (index, iteration) in iterations.enumerated() {
                func execute() throws -> Double { try backend.execute(.serve(iteration)).duration.seconds }
                if WorkPhase(iteration) == .decode {
                    // Right after other work, and then when the K and V of the same sequences, and what fits of the weights,
                    // are in the caches.
                    _ = try backend.execute(.serve(otherWork))
                    times.pieces[index].firstSeconds.append(try execute())
                    for _ in 2..<HardwareProfile.Correction.settledDecodes { _ = try execute() }
                }
                times.pieces[index].seconds.append(try execute())
            }
        }
        try closeRequests()
        for batch in microBatches {
            for size in unitSizes where size <= batch.rows || size == unitSizes.first {
                let units = units(of: batch, size: size)
                let start = times.pieces.count
                for unit in units {
                    times.pieces.append(
                        QuantumTimes.Piece(
                            phase: WorkPhase(unit.phase), priced: pricer.price(of: unit, in: batch).seconds))
                }
                for _ in 0..<max(min(2, rounds), rounds / 2) {
                    try backend.open(batch, unitRows: min(size, batch.rows))
                    let outcome = try backend.execute(.train(TrainerQuantum(microBatch: batch, units: units)))
                    try backend.close(batch)
                    for (index, duration) in outcome.unitDurations.enumerated() {
                        times.pieces[start + index].seconds.append(duration.seconds)
                    }
                }
            }
        }
        return times
    }

    // MARK: Serving

    /// What a server does between stretches of decoding: the beginning of a prompt.
    private var otherWork: ServingIteration {
        let tokens = max(2, min(serving.tokenBudget / 4, engine.config.maxContext / 2))
        return ServingIteration(
            slices: [
                ServingSlice(request: opened.requests - 1, tokens: 0..<tokens, isPrefill: true, emitsToken: false)
            ],
            version: 0)
    }

    /// Iterations that only decode, that only prefill, and that do both, with and without context and recording.
    private func iterations() throws -> [ServingIteration] {
        let longest = min(engine.config.maxContext / 2, effort == .quick ? 2 * serving.tokenBudget : 768)
        let batches = effort == .quick ? [1, 4] : [1, 2, 3, 5, 8, 9, 12, 16, 24, 32]
        let contexts = effort == .quick ? [longest] : [longest / 16, longest / 3, longest]
        let most = min(serving.maxBatch, batches[batches.count - 1])
        try openRequests(most + 1, tokens: longest + serving.tokenBudget)
        var iterations: [ServingIteration] = []
        func add(_ slices: [Simulator.ServingSlice]) {
            iterations.append(ServingIteration(slices: slices, version: 0))
        }
        func decoding(_ count: Int, _ context: Int) -> [Simulator.ServingSlice] {
            (0..<count).map { request in
                let position = max(0, context - 1 - request % 7)
                return ServingSlice(
                    request: request, tokens: position..<position + 1, isPrefill: false, emitsToken: true)
            }
        }
        for count in batches where count <= most {
            for context in contexts { add(decoding(count, context)) }
        }
        let budget = serving.tokenBudget
        // Several prompts at once, as a loaded server has them.
        for prompts in effort == .quick ? [] : [2, 4, 8] where prompts <= most && budget >= 4 * prompts {
            let share = min(longest, budget / prompts)
            add(
                (0..<prompts).map { request in
                    let start = request.isMultiple(of: 2) ? 0 : min(longest / 3, longest - share)
                    return ServingSlice(
                        request: request, tokens: start..<start + share, isPrefill: true, emitsToken: true)
                })
        }
        let chunks =
            effort == .quick
            ? [budget / 2, budget] : [budget / 8, budget / 4, budget * 3 / 8, budget / 2, budget * 3 / 4, budget]
        for chunk in Set(chunks).sorted() where chunk > 1 && chunk <= longest {
            for start in effort == .quick ? [0] : [0, longest - chunk] {
                for sequences in effort == .quick ? [0] : [0, 4, 12, 24] where sequences < most && chunk > sequences + 1
                {
                    let prompt = ServingSlice(
                        request: most, tokens: start..<start + chunk - sequences, isPrefill: true,
                        emitsToken: start > 0)
                    add(decoding(sequences, longest / 3) + [prompt])
                }
            }
        }
        return iterations
    }

    private func openRequests(_ count: Int, tokens: Int) throws {
        let perRequest = (tokens + serving.kvBlockTokens - 1) / serving.kvBlockTokens
        for request in 0..<count {
            try backend.apply([
                .extendRequest(request, blocks: Array(request * perRequest..<(request + 1) * perRequest))
            ])
        }
        opened.requests = count
        opened.blocks = count * perRequest
    }

    private func closeRequests() throws {
        try backend.apply((0..<opened.requests).map { .closeRequest($0) } + [.freeBlocks(Array(0..<opened.blocks))])
    }

    private final class Opened {
        var requests = 0
        var blocks = 0
    }
    private let opened = Opened()

    // MARK: Training

    private var unitSizes: [Int] { effort == .quick ? [256] : [64, 128, 256, 512] }

    /// Micro-batches of one long and of several shorter sequences, with the loss on their ends; one of them as large as
    /// runs fill theirs, whose activations no cache holds.
    private var microBatches: [MicroBatch] {
        let longest = min(engine.config.maxContext / 2, effort == .quick ? 256 : 1024)
        let share = min(longest, training.microBatchTokens / 5)
        let shapes =
            effort == .quick
            ? [[longest]]
            : [[share * 3 / 2, share, share / 2, share, share], [longest / 2, longest / 3], [longest / 8]]
        return shapes.map { lengths in
            let sequences = lengths.filter { $0 > 1 }.map { length in
                // Samples are told apart from what is served by being beyond it.
                let request = serving.maxBatch + 1 + length
                tokens.lengths[request] = length
                return TrainingSequencePlan(
                    request: request, promptTokens: length - length / 8, responseTokens: length / 8 + 1,
                    lossTokens: max(0, length - length / 8 - 1)..<length, recorded: [])
            }
            return MicroBatch(
                id: 0, version: 0, sequences: sequences,
                stepLossTokens: sequences.reduce(0) { $0 + $1.lossTokens.count })
        }
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

/// Token 0, over and over: as many as a context holds, or as a sample has.
private final class SampleTokens: TokenIDs {
    private let longest: Int
    /// Of those requests that are samples: tokens that go in.
    var lengths: [Int: Int] = [:]

    init(longest: Int) { self.longest = longest }

    func sequence(of request: Int) -> [Int32] { [Int32](repeating: 0, count: (lengths[request] ?? longest) + 1) }
    func answer(_ number: Int, to request: Int, tokens: Int) -> [Int32] { [Int32](repeating: 0, count: tokens) }
}
