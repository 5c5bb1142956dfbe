extension Scheduler {
    /// A sequence in the order in which it will be served, as far as that can be foreseen.
    struct Foreseen {
        let request: Int
        /// Positions that are prefilled before it decodes; zero for one that decodes.
        let prefillTokens: Int
        /// Its first position that is still to be computed.
        let start: Int
        let lastToken: SimTime?
    }

    /// The running sequences and those in line after them, without taking anything for them; `nil` when the line is
    /// longer than a batch, so that nobody can say when its end is served.
    func foreseen() -> [Foreseen]? {
        let line = waitingInOrder(atMost: configuration.maxBatch)
        return line.map { (running + $0).map(foreseen) }
    }

    private func foreseen(_ slot: Int) -> Foreseen {
        let sequence = sequences[slot]
        return Foreseen(
            request: sequence.request, prefillTokens: max(0, sequence.prefillEnd - sequence.computed),
            start: sequence.computed, lastToken: sequence.lastToken)
    }
}
