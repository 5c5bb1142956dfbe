/// How the server batches, and what its KV cache may hold.
public struct ServingConfiguration: Sendable, Equatable {
    /// Tokens of one iteration, prefill chunks and decode tokens together.
    public var tokenBudget = 128
    /// Requests that run at the same time.
    public var maxBatch = 32
    /// Tokens of one KV block.
    public var kvBlockTokens = 16
    /// Device memory that KV blocks may take.
    public var kvMemory = KVMemory.auto
    /// Share of all KV blocks that must be left when a request is admitted beside others, for those to grow into.
    public var kvWatermark = 0.01
    /// Which work an iteration takes up.
    public var policy = BatchPolicy.chunked
    /// Who is admitted next.
    public var admission = AdmissionPolicy.fcfs
    /// How a request gives its blocks up.
    public var preemption = PreemptionPolicy.recompute
    /// Whether full blocks are kept and found again by what they hold.
    public var prefixCache = false
    /// Whether blocks may be found that other versions of the weights computed.
    public var prefixCacheAcrossVersions = false

    /// Objective for the time to the first token; zero for none.
    public var ttftObjective = SimDuration.zero
    /// Objective for the time between two tokens; zero for none.
    public var tbtObjective = SimDuration.zero

    public init() {}
}

/// Device memory that KV blocks may take.
public enum KVMemory: Sendable, Equatable {
    /// What the device has beside all that stays on it.
    case auto
    case bytes(Bytes)
    /// A share of the device's memory, less the weights that serving reads and its workspace: the rule by which vLLM
    /// sizes its cache. The same in every arm, whatever training takes.
    case share(Double)
}
