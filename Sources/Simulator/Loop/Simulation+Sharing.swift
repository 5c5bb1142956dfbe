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
    /// to it, and wait for those before them: each needs as many iterations as its tokens and theirs fill. A line that is
    /// longer than a batch leaves no slack.
    private func servingSlack() -> SimDuration {
        let serving = configuration.serving
        guard scheduler.runningCount > 0, let line = scheduler.foreseen() else { return .zero }
        let iteration = backend.estimate(.serve(iterationAhead(line)))
        var slack = SimDuration(nanoseconds: .max)
        var ahead = 0
        for sequence in line {
            if sequence.prefillTokens == 0, let last = sequence.lastToken {
                guard serving.tbtObjective > .zero else { continue }
                slack = min(slack, last + serving.tbtObjective - now - iteration)
            } else if let arrival = log.requests[sequence.request].effectiveArrival {
                ahead += sequence.prefillTokens
                guard serving.ttftObjective > .zero, sequence.lastToken == nil else { continue }
                let iterations = (ahead + serving.tokenBudget - 1) / serving.tokenBudget
                slack = min(slack, arrival + serving.ttftObjective - now - iteration * iterations)
            }
        }
        return slack
    }

    /// The next iteration as it can be foreseen: every decoding sequence, and as much of the prompts as the budget has
    /// room for, right after the trainer has worked. A request that arrives meanwhile can still make it longer.
    private func iterationAhead(_ line: [Scheduler.Foreseen]) -> ServingIteration {
        var room = configuration.serving.tokenBudget
        var slices: [ServingSlice] = []
        for sequence in line where sequence.prefillTokens == 0 && room > 0 {
            room -= 1
            slices.append(
                ServingSlice(
                    request: sequence.request, tokens: sequence.start..<sequence.start + 1, isPrefill: false,
                    emitsToken: true))
        }
        for sequence in line where sequence.prefillTokens > 0 && room > 0 {
            let tokens = min(room, sequence.prefillTokens)
            room -= tokens
            slices.append(
                ServingSlice(
                    request: sequence.request, tokens: sequence.start..<sequence.start + tokens, isPrefill: true,
                    emitsToken: tokens == sequence.prefillTokens))
        }
        return ServingIteration(slices: slices, version: servedVersion, decodesBefore: 0)
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
