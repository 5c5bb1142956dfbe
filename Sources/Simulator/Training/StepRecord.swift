/// One training step.
public struct StepRecord: Sendable, Equatable {
    /// Version of the weights that the gradient was taken at; the step makes `version + 1`.
    public var version: Int
    public var start: SimTime
    public var end = SimTime.zero
    public var samples: Int
    public var microBatches = 0
    /// Tokens of the largest of them, each counted as often as it goes through the model.
    public var largestMicroBatch = 0
    public var objective = Feedback.Kind.sft
    /// Tokens that were learned from: of each answer, its prompt included.
    public var tokens = 0
    /// Prompt tokens among them that did not run again, because several answers share their prompt's passes. All others
    /// went through the backward pass.
    public var sharedTokens = 0
    /// Those whose forward pass was skipped.
    public var reusedTokens = 0
    /// Tokens that carry loss.
    public var lossTokens = 0
    /// Recorded tokens that could not be used: too stale.
    public var staleTokens = 0
    /// Mean loss over the loss tokens, or over the pairs, in nats; absent where no numbers are computed.
    public var loss: Double?
    /// Global norm of the gradient before clipping; absent where no numbers are computed.
    public var gradientNorm: Double?
    public var time = PhaseTimes()
    /// Time in which the trainer could have run but for a reload.
    public var stall = SimDuration.zero
    /// Largest and mean age of the used records, in versions (by the oldest part of each).
    public var oldestAge = 0
    public var meanAge = 0.0
    public var audit: GradientAudit?
    /// When serving could read the new weights; absent if the run ended before.
    public var published: SimTime?
    /// End of the first iteration that made a token with them; absent if none did.
    public var firstServed: SimTime?
    /// What the step learned from, in order.
    public var learned: [LearnedSample] = []

    public init(version: Int, start: SimTime, samples: Int) {
        self.version = version
        self.start = start
        self.samples = samples
    }

    /// Compute, waiting for reloads, and publishing: what training costs.
    public var busy: SimDuration { time.total + stall }
}

/// A sample as a step learned from it.
public struct LearnedSample: Sendable, Equatable {
    /// Index in the trace.
    public var request: Int
    /// When its feedback came.
    public var ready: SimTime
    /// Of all its answers, each with the prompt before it.
    public var tokens: Int
    /// Tokens whose forward pass was skipped.
    public var reusedTokens = 0

    public init(request: Int, ready: SimTime, tokens: Int) {
        self.request = request
        self.ready = ready
        self.tokens = tokens
    }
}

/// Time of the trainer by phase.
public struct PhaseTimes: Sendable, Equatable {
    public var forward = SimDuration.zero
    /// The reference model's forward pass and scores, which no reuse of records spares.
    public var reference = SimDuration.zero
    /// Head and loss, forward and backward.
    public var loss = SimDuration.zero
    /// Computing again, before the backward pass, what was not kept of the forward pass.
    public var recompute = SimDuration.zero
    public var backward = SimDuration.zero
    public var optimizer = SimDuration.zero
    /// Waiting for the last weights to reach the server, because the optimizer needs the buffer that they leave from;
    /// nothing where server and trainer share a device, because they swap two buffers.
    public var publish = SimDuration.zero

    public init() {}

    public var total: SimDuration { forward + reference + loss + recompute + backward + optimizer + publish }

    public mutating func add(_ duration: SimDuration, to phase: TrainerPhase) {
        switch phase {
        case .forward: forward += duration
        case .reference: reference += duration
        case .loss: loss += duration
        case .recompute: recompute += duration
        case .backward: backward += duration
        case .optimizer: optimizer += duration
        }
    }
}
