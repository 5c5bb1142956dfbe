extension Simulation {
    /// How long the trainer may hold the shared stream although there is something to serve; `nil` when it may not.
    func trainerTurn() -> SimDuration? {
        guard !hasTrainerDevice, configuration.training.enabled, trainer.hasWork, !scheduler.isEmpty else { return nil }
        switch configuration.training.sharing {
        case .idle: return nil
        case .slo:
            let slack = servingSlack()
            return slack > .zero ? slack : nil
        case .share: return trainerCredit > 0 ? configuration.training.quantumMax : nil
        }
    }

    /// The longest time after which the next iteration can start with every objective still predicted to be kept.
    ///
    /// Decoding sequences want their next token within the time between tokens. Prompts want their first within the time
    /// to it, and wait for those before them: each needs as many iterations as its tokens and theirs fill. Of the
    /// waiting requests as many are looked at as a batch has places; those behind have later deadlines.
    private func servingSlack() -> SimDuration {
        let serving = configuration.serving
        let slices = iterationAhead()
        guard !scheduler.running.isEmpty else { return .zero }
        let iteration = backend.estimate(.serve(ServingIteration(slices: slices, version: servedVersion)))
        var slack = SimDuration(nanoseconds: .max)
        if serving.tbtObjective > .zero {
            for slice in slices where !slice.isPrefill {
                guard let last = lastToken[slice.request] else { continue }
                slack = min(slack, last + serving.tbtObjective - now - iteration)
            }
        }
        guard serving.ttftObjective > .zero else { return slack }
        var ahead = 0
        func take(_ request: Int, tokens: Int) {
            guard let arrival = log.requests[request].effectiveArrival else { return }
            ahead += tokens
            let iterations = (ahead + serving.tokenBudget - 1) / serving.tokenBudget
            slack = min(slack, arrival + serving.ttftObjective - now - iteration * iterations)
        }
        for sequence in scheduler.running where sequence.isPrefilling {
            take(sequence.request, tokens: sequence.promptTokens - sequence.computed)
        }
        for request in scheduler.waiting(first: serving.maxBatch) {
            take(request, tokens: trace.requests[request].promptTokens)
        }
        return slack
    }

    /// The next iteration as it can be foreseen: what runs, and as much of the prompts in line as the budget has room
    /// for. A request that arrives meanwhile can still make it longer.
    private func iterationAhead() -> [ServingSlice] {
        var slices = scheduler.nextIteration()
        var room = configuration.serving.tokenBudget - slices.reduce(0) { $0 + $1.tokens.count }
        for request in scheduler.waiting(first: configuration.serving.maxBatch - scheduler.running.count) {
            guard room > 0 else { break }
            let tokens = min(room, trace.requests[request].promptTokens)
            slices.append(
                ServingSlice(
                    request: request, tokens: 0..<tokens, isPrefill: true,
                    emitsToken: tokens == trace.requests[request].promptTokens))
            room -= tokens
        }
        return slices
    }

    /// Books an iteration of the server in the trainer's favour, while the trainer has work.
    mutating func creditTrainer(for iteration: SimDuration) {
        guard configuration.training.sharing == .share else { return }
        guard trainer.hasWork else {
            trainerCredit = 0
            return
        }
        // A trainer that could not run for a while must not take the stream for long afterwards.
        let most = 4 * Double(configuration.training.quantumMax.nanoseconds)
        trainerCredit = min(most, trainerCredit + configuration.training.share * Double(iteration.nanoseconds))
    }

    /// Books a quantum that the server had to wait for.
    mutating func chargeTrainer(for quantum: SimDuration) {
        guard configuration.training.sharing == .share, !scheduler.isEmpty else { return }
        trainerCredit -= (1 - configuration.training.share) * Double(quantum.nanoseconds)
    }
}
