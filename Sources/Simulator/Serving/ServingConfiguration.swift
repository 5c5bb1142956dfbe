/// How the server batches.
public struct ServingConfiguration: Sendable, Equatable {
    /// Tokens of one iteration, prefill chunks and decode tokens together.
    public var tokenBudget = 128
    /// Requests that run at the same time.
    public var maxBatch = 32
    /// Tokens of one KV block: the granule of KV reservations.
    public var kvBlockTokens = 16

    /// Objective for the time to the first token; zero for none.
    public var ttftObjective = SimDuration.zero
    /// Objective for the time between two tokens; zero for none.
    public var tbtObjective = SimDuration.zero

    public init() {}
}
