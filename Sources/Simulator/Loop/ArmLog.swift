/// Everything one arm of a run leaves behind, before any figure is drawn from it.
public struct ArmLog: Sendable {
    public enum Status: String, Sendable {
        case complete, interrupted
    }

    public var status = Status.complete
    public var requests: [RequestRecord] = []
    /// Every gap between two tokens of one request, in the order of the later token.
    public var tokenGaps = TokenGapLog()
    public var quanta = BoundedLog<QuantumSums>()
    /// The units of the trainer's quanta, in the order of execution.
    public var units = BoundedLog<UnitSums>()
    public var steps: [StepRecord] = []
    /// Losses on held-out texts, in the order of versions.
    public var evaluations: [EvaluationRecord] = []
    public var transfers = BoundedLog<TransferSums>()
    public var recording = RecordingTotals()
    public var memory = MemoryRecord()
    /// Distinct shapes of executed plans, in the order of their first execution; `QuantumRecord.shape` points here.
    public var shapes: [PlanShapeRecord] = []
    /// Most shapes that are kept of prices, which can be asked for again; of measured work every shape is.
    public var shapeLimit = 10_000
    /// Whether the shapes are here; else `QuantumRecord.shape` says nothing.
    public var keepsShapes = true
    /// Most KV blocks that could exist at a time.
    public var kvCapacity = 0
    /// The end of the last quantum.
    public var end = SimTime.zero

    public init() {}
}

/// How one request was served. Times are absent until they happen.
public struct RequestRecord: Sendable, Equatable {
    public enum Outcome: String, Sendable, CaseIterable {
        case finished
        /// Never admitted, because it can not fit.
        case refused
        /// Still waiting or running when the run was interrupted.
        case unfinished
    }

    /// Index in the trace.
    public var index: Int
    public var outcome = Outcome.unfinished
    /// `max(arrival, end of the previous turn + think time)`; latencies count from it.
    public var effectiveArrival: SimTime?
    /// Start of the first iteration that works on it.
    public var scheduled: SimTime?
    public var firstToken: SimTime?
    public var finish: SimTime?
    /// Prompt tokens that the prefix cache had when it was admitted first.
    public var cachedTokens = 0
    /// How often it gave its KV blocks up to others.
    public var preemptions = 0
    /// Tokens that were in the cache and were lost by that: they are prefilled again, but for what the prefix cache has.
    public var recomputedTokens = 0
    /// Bytes of its KV blocks that were copied to the host and back.
    public var swappedBytes = Bytes.zero
    /// Tokens whose record was made, and not given up for want of room.
    public var recordedTokens = 0
    /// Tokens found in the prefix cache whose record, made for another request, it came to share.
    public var linkedTokens = 0
    /// Tokens without a record, or whose record nobody was trained on.
    public var lost = LostTokens()

    public init(index: Int) { self.index = index }
}

/// One inter-token latency.
public struct TokenGap: Sendable {
    public var request: Int32
    public var gap: SimDuration

    public init(request: Int32, gap: SimDuration) {
        self.request = request
        self.gap = gap
    }
}

/// One quantum on the compute stream.
public struct QuantumRecord: Sendable, Equatable {
    public enum Kind: Int, Sendable, CaseIterable {
        case serve, train

        public var name: String {
            switch self {
            case .serve: "serve"
            case .train: "train"
            }
        }
    }

    public var kind: Kind
    public var start: SimTime
    public var duration: SimDuration
    /// What `estimate` said before.
    public var predicted: SimDuration
    /// Prompt tokens prefilled, and tokens that are prefilled again after a preemption.
    public var prefillTokens: Int
    /// Sequences decoded by one token each.
    public var decodeTokens: Int
    /// Tokens whose activations were recorded.
    public var recordedTokens: Int
    /// Index in `ArmLog.shapes`.
    public var shape: Int
    /// Version of the weights used.
    public var version: Int
    /// Requests waiting for admission at its start.
    public var waiting: Int
    /// KV blocks that requests and records hold while it runs.
    public var kvBlocks: Int
    /// KV blocks that only the prefix cache holds.
    public var cachedBlocks: Int
    /// How long an iteration was held back until records had made room for its own.
    public var held = SimDuration.zero
    /// How long a fixed piece of work took beside it: the machine's speed at the time. Absent where there is no machine.
    public var probe: SimDuration?

    public init(
        kind: Kind, start: SimTime, duration: SimDuration, predicted: SimDuration, prefillTokens: Int = 0,
        decodeTokens: Int = 0, recordedTokens: Int = 0, shape: Int, version: Int, waiting: Int, kvBlocks: Int = 0,
        cachedBlocks: Int = 0
    ) {
        self.kind = kind
        self.start = start
        self.duration = duration
        self.predicted = predicted
        self.prefillTokens = prefillTokens
        self.decodeTokens = decodeTokens
        self.recordedTokens = recordedTokens
        self.shape = shape
        self.version = version
        self.waiting = waiting
        self.kvBlocks = kvBlocks
        self.cachedBlocks = cachedBlocks
    }
}

/// One unit of a trainer quantum.
public struct UnitRecord: Sendable {
    /// Index in `ArmLog.quanta`.
    public var quantum: Int
    public var phase: TrainerPhase
    public var duration: SimDuration

    public init(quantum: Int, phase: TrainerPhase, duration: SimDuration) {
        self.quantum = quantum
        self.phase = phase
        self.duration = duration
    }
}

/// One copy over the host link.
public struct TransferRecord: Sendable, Equatable {
    public var direction: TransferDirection
    /// When it was asked for; it then waits for the copy engine.
    public var queued: SimTime
    public var start: SimTime
    public var end: SimTime
    public var bytes: Bytes
    /// The request that its first piece was recorded for; -1 if that is gone, or if it moves the trainer's activations.
    public var request: Int32
    /// The lowest layer that it moves; `wholeRequest` for all K and V of a request that is swapped.
    public var layer: Int32
    /// Pieces that it moves; none if it moves a request's K and V, or the trainer's own activations in a layer.
    public var pieces: Int32

    public static let wholeRequest = -1

    public init(
        direction: TransferDirection, queued: SimTime, start: SimTime, end: SimTime, bytes: Bytes, request: Int32,
        layer: Int32, pieces: Int32 = 1
    ) {
        self.direction = direction
        self.queued = queued
        self.start = start
        self.end = end
        self.bytes = bytes
        self.request = request
        self.layer = layer
        self.pieces = pieces
    }
}

/// A distinct shape of plan and what executing it cost.
public struct PlanShapeRecord: Sendable {
    /// Runs have many shapes, and spelling one out costs more than pricing it: it is done when somebody reads it.
    private enum Name: Sendable {
        case shape(PlanShape)
        case text(String)
    }

    private var name: Name
    public var kind: QuantumRecord.Kind
    public var count = 0
    public var total = SimDuration.zero
    public var shortest = SimDuration(nanoseconds: .max)
    public var longest = SimDuration.zero

    public init(key: String, kind: QuantumRecord.Kind) {
        name = .text(key)
        self.kind = kind
    }

    init(_ shape: PlanShape, kind: QuantumRecord.Kind) {
        name = .shape(shape)
        self.kind = kind
    }

    /// Canonical text of the shape: two plans with the same text do the same work.
    public var key: String {
        get {
            switch name {
            case .shape(let shape): shape.key
            case .text(let text): text
            }
        }
        set { name = .text(newValue) }
    }

    public mutating func add(_ duration: SimDuration) {
        count += 1
        total += duration
        shortest = min(shortest, duration)
        longest = max(longest, duration)
    }
}
