/// How much memory a backend's work takes.
public protocol MemoryDemand {
    var model: ModelShape { get }
    var footprint: Footprint { get }

    /// Scratch of a serving iteration of at most `tokens` tokens.
    func servingWorkspace(tokens: Int) -> Bytes
    /// Gradients of activations and scratch for a micro-batch, when no unit has more than `unitRows` rows.
    func trainWorkspace(for microBatch: MicroBatch, unitRows: Int) -> Bytes
}

/// What executes plans: a real transformer that is timed, or a cost model.
///
/// Decisions see only this protocol, so no policy can tell which backend it drives.
public protocol ExecutionBackend: MemoryDemand {
    /// How long `plan` is expected to take. The same plan gives the same answer for the whole run.
    func estimate(_ plan: StepPlan) -> SimDuration
    /// Does the work of `plan`.
    mutating func execute(_ plan: StepPlan) throws -> StepOutcome
    /// Both: what `plan` was expected to take, and what came of it.
    mutating func executePredicted(_ plan: StepPlan) throws -> (predicted: SimDuration, outcome: StepOutcome)

    /// Whether what it does depends on plans alone: the same ones always take the same time, and it has no bytes to move.
    var isPure: Bool { get }
    /// What an iteration takes that decodes one token of each of `sequences` sequences, whose contexts sum to `pairs` with
    /// the new tokens, when `decodesBefore` iterations in a row have only decoded; nil where the iteration itself must be executed.
    /// From a pure backend only.
    mutating func decode(sequences: Int, pairs: Int, decodesBefore: Int) throws -> SimDuration?

    /// Follows the decisions about bytes. Takes no virtual time: copies are charged to the link.
    mutating func apply(_ movements: [DataMovement]) throws
    /// The optimizer has written the weights of `version`: from now on the trainer reads them. None of its quanta is
    /// under way. Takes no time, because two buffers are swapped.
    mutating func advance(version: Int) throws
    /// The weights of `version`, the trainer's, are where serving reads them. No iteration is under way on weights that
    /// this overwrites.
    mutating func publish(version: Int) throws
    /// A micro-batch is about to run, in units of at most `unitRows` rows; its reservations hold until `close`.
    mutating func open(_ microBatch: MicroBatch, unitRows: Int) throws
    mutating func close(_ microBatch: MicroBatch) throws
    /// Compares the complete gradient of the step with its two references, outside the clock; `nil` from a backend
    /// that has no gradients.
    mutating func audit(_ microBatches: [MicroBatch]) throws -> GradientAudit?
    /// The loss of the trainer's weights on held-out texts, outside the clock; `nil` from a backend that has no weights, or
    /// no such texts.
    func evaluate() throws -> HeldOutLoss?
    /// No record made before `version` exists any more.
    mutating func forgetVersions(before version: Int)
    /// The most bytes that were really held so far; none where there are no real bytes.
    var arenaPeaks: [ArenaPeak] { get }
}

extension ExecutionBackend {
    public mutating func executePredicted(_ plan: StepPlan) throws -> (predicted: SimDuration, outcome: StepOutcome) {
        let predicted = estimate(plan)
        return (predicted, try execute(plan))
    }
    public var isPure: Bool { false }
    public mutating func decode(sequences: Int, pairs: Int, decodesBefore: Int) throws -> SimDuration? { nil }
    public func evaluate() throws -> HeldOutLoss? { nil }
    public var arenaPeaks: [ArenaPeak] { [] }
}

/// What came of a plan.
public struct StepOutcome: Sendable {
    public var duration: SimDuration
    /// Of a trainer quantum: the time of each unit. They sum to `duration`.
    public var unitDurations: [SimDuration] = []
    /// Of a trainer quantum: the loss, summed over its loss rows and divided by the step's loss tokens, in nats; absent
    /// from a backend that computes no numbers.
    public var loss: Double?
    /// Of a trainer quantum with `gradientNorm`, from a backend that computes numbers.
    public var gradientNorm: Double?

    /// How long a fixed piece of work took beside the plan: the machine's speed at the time. Absent where there is no
    /// machine.
    public var probe: SimDuration?

    public init(duration: SimDuration) { self.duration = duration }
}

/// How far a step's gradient lies from two references. Both are taken outside the clock.
///
/// An error is `max over tensors of |d| / max(|g|, 1e-6 |g_all|)` with Euclidean norms.
public struct GradientAudit: Sendable, Equatable {
    /// Against recomputing every record at the weights that made it, rounded as its pieces are: fp32 rounding of the work
    /// alone.
    public var roundingError: Double
    /// Against the same with nothing rounded: what the precision of pieces does.
    public var precisionError: Double
    /// Cosine between the step's gradient and that one.
    public var precisionCosine: Double
    /// Against recomputing everything at the step's own weights: what staleness does.
    public var stalenessError: Double
    /// Cosine between the step's gradient and the one recomputed at its own weights.
    public var stalenessCosine: Double
    /// What staleness does to each sample's own gradient, where that was asked for: of samples with records.
    public var samples: [SampleAudit]

    /// - Parameter precisionError: where nothing is rounded, by default, the rounding error.
    public init(
        roundingError: Double, precisionError: Double? = nil, precisionCosine: Double = 1, stalenessError: Double,
        stalenessCosine: Double, samples: [SampleAudit] = []
    ) {
        self.roundingError = roundingError
        self.precisionError = precisionError ?? roundingError
        self.precisionCosine = precisionCosine
        self.stalenessError = stalenessError
        self.stalenessCosine = stalenessCosine
        self.samples = samples
    }
}

/// How far the gradient of some tensors together lies from a reference.
public struct GradientDistance: Sendable, Equatable {
    /// `|d| / max(|g|, 1e-6 |g_all|)` with Euclidean norms over all of these tensors.
    public var error: Double
    public var cosine: Double

    public init(error: Double, cosine: Double) {
        self.error = error
        self.cosine = cosine
    }
}

/// The gradient of one sample with its records against the one computed wholly at the step's own weights.
public struct SampleAudit: Sendable, Equatable {
    /// Index in the trace.
    public var request: Int
    /// Of the oldest part of its records, in versions.
    public var age: Int
    public var reusedTokens: Int
    /// Tokens that ran.
    public var tokens: Int
    public var whole: GradientDistance
    /// By layer.
    public var layers: [GradientDistance]

    public init(
        request: Int, age: Int, reusedTokens: Int, tokens: Int, whole: GradientDistance, layers: [GradientDistance]
    ) {
        self.request = request
        self.age = age
        self.reusedTokens = reusedTokens
        self.tokens = tokens
        self.whole = whole
        self.layers = layers
    }
}
