internal import Simulator

/// Serving iterations that calibration executes as wholes.
struct ServingQuanta {
    private let backend: MeasuredBackend
    private let pricer: OperatorPricer
    private let serving: ServingConfiguration
    private let effort: CalibrationEffort
    /// Tokens of the longest context.
    private let longest: Int
    private let batches: [Int]
    /// Sequences of the largest batch.
    private let most: Int

    init(
        _ backend: MeasuredBackend, _ pricer: OperatorPricer, serving: ServingConfiguration, maxContext: Int,
        effort: CalibrationEffort
    ) {
        self.backend = backend
        self.pricer = pricer
        self.serving = serving
        self.effort = effort
        longest = min(maxContext / 2, effort == .quick ? 2 * serving.tokenBudget : 768)
        batches = (effort == .quick ? [1, 4] : [1, 2, 3, 4, 5, 8, 9, 12, 16, 24, 32]).filter { $0 <= serving.maxBatch }
        most = batches.last ?? 1
    }

    /// - Parameter rounds: executions of each iteration.
    func run(rounds: Int) throws -> [QuantumTimes.Piece] {
        let requests = most + 1
        let perRequest = (longest + serving.tokenBudget + serving.kvBlockTokens - 1) / serving.kvBlockTokens
        try backend.apply(
            (0..<requests).map {
                .extendRequest($0, blocks: Array($0 * perRequest..<($0 + 1) * perRequest))
            })
        // Round after round, so that a prefilling iteration finds the caches as another one left them.
        let iterations = iterations
        var pieces: [QuantumTimes.Piece] = []
        for (iteration, context) in iterations {
            pieces.append(
                QuantumTimes.Piece(
                    WorkPhase(iteration), rows: iteration.slices.reduce(0) { $0 + $1.tokens.count },
                    context: context, priced: pricer.price(of: iteration).seconds))
        }
        for _ in 0..<rounds {
            for (index, (iteration, _)) in iterations.enumerated() {
                func execute() throws -> Double { try backend.execute(.serve(iteration)).duration.seconds }
                if WorkPhase(iteration) == .decode {
                    // Right after other work, and then when the K and V of the same sequences, and what fits of the weights,
                    // are in the caches.
                    _ = try backend.execute(.serve(otherWork))
                    pieces[index].firstSeconds.append(try execute())
                    for _ in 2..<HardwareProfile.Correction.settledDecodes { _ = try execute() }
                }
                pieces[index].seconds.append(try execute())
            }
        }
        try backend.apply(
            (0..<requests).map { .closeRequest($0) } + [.freeBlocks(Array(0..<requests * perRequest))])
        return pieces
    }

    /// What a server does between stretches of decoding: the beginning of a prompt.
    private var otherWork: ServingIteration {
        let tokens = max(2, min(serving.tokenBudget / 4, longest))
        return ServingIteration(
            slices: [
                ServingSlice(request: most, tokens: 0..<tokens, isPrefill: true, emitsToken: false)
            ],
            version: 0)
    }

    /// Iterations that only decode, that only prefill, and that do both, with and without context and recording.
    ///
    /// - Returns: of those that only decode with the context of their sequences, of which some are a few tokens shorter.
    private var iterations: [(ServingIteration, context: Int)] {
        let contexts = (effort == .quick ? [longest] : [max(1, longest / 16), max(1, longest / 3), longest]).asAxis
        var iterations: [(ServingIteration, context: Int)] = []
        func add(_ slices: [ServingSlice], context: Int = 0) {
            iterations.append((ServingIteration(slices: slices, version: 0), context))
        }
        func decoding(_ count: Int, _ context: Int) -> [ServingSlice] {
            (0..<count).map { request in
                let position = max(0, context - 1 - request % 7)
                return ServingSlice(
                    request: request, tokens: position..<position + 1, isPrefill: false, emitsToken: true)
            }
        }
        for count in batches {
            for context in contexts { add(decoding(count, context), context: context) }
        }
        let budget = serving.tokenBudget
        // Several prompts at once, as a loaded server has them.
        for prompts in effort == .quick ? [] : [2, 4, 8] where prompts <= most && budget >= 4 * prompts {
            let share = min(longest, budget / prompts)
            add(
                (0..<prompts).map { request in
                    let start = request.isMultiple(of: 2) ? 0 : min(longest / 3, longest - share)
                    // The whole budget, whose scale is that of a chunk as long.
                    let rest = request == prompts - 1 && share < longest ? budget % prompts : 0
                    return ServingSlice(
                        request: request, tokens: start..<start + share + rest, isPrefill: true, emitsToken: true)
                })
        }
        // In sixteenths of the budget: kernels take rows in tiles, so that not each costs more than the one before it.
        let sixteenths = effort == .quick ? [8, 16] : [1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16]
        let chunks = sixteenths.map { budget * $0 / 16 }.asAxis
        for chunk in chunks where chunk > 1 && chunk <= longest {
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
}
