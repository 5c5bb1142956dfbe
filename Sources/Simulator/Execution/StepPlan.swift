/// One quantum of work on the compute stream. It is not preempted.
public enum StepPlan: Sendable {
    case serve(ServingIteration)
    case train(TrainerQuantum)
}

/// One iteration of the server: prefill chunks and decode tokens in one batch.
public struct ServingIteration: Sendable {
    public var slices: [ServingSlice]
    /// Version of the weights that serve it.
    public var version: Int
    /// Iterations that only decoded and were executed right before this one, with nothing else in between. What they read
    /// is in the caches.
    public var decodesBefore: Int

    public init(slices: [ServingSlice], version: Int, decodesBefore: Int = 0) {
        self.slices = slices
        self.version = version
        self.decodesBefore = decodesBefore
    }

    /// Tokens that the iteration prefills, decodes and records.
    public var counts: (prefill: Int, decode: Int, recorded: Int) {
        var counts = (prefill: 0, decode: 0, recorded: 0)
        for slice in slices {
            if slice.isPrefill { counts.prefill += slice.tokens.count } else { counts.decode += slice.tokens.count }
            if slice.record != nil { counts.recorded += slice.tokens.count }
        }
        return counts
    }

    public var prefillTokens: Int { slices.reduce(0) { $0 + ($1.isPrefill ? $1.tokens.count : 0) } }
    public var decodeTokens: Int { slices.reduce(0) { $0 + ($1.isPrefill ? 0 : $1.tokens.count) } }
    public var recordedTokens: Int { slices.reduce(0) { $0 + ($1.record == nil ? 0 : $1.tokens.count) } }
}

/// The part of an iteration that belongs to one request.
public struct ServingSlice: Sendable, Equatable {
    /// Index of the request in the trace.
    public var request: Int
    /// Positions that are run; all earlier ones have their K and V in the cache.
    public var tokens: Range<Int>
    public var isPrefill: Bool
    /// Whether the last position yields an output token.
    public var emitsToken: Bool
    /// Where the activations of the slice are recorded, if they are.
    public var record: ChunkID?
    /// Rows of the final norm's input that the record keeps: the last ones of the slice.
    public var finalRows: Int

    public init(
        request: Int, tokens: Range<Int>, isPrefill: Bool, emitsToken: Bool, record: ChunkID? = nil, finalRows: Int = 0
    ) {
        self.request = request
        self.tokens = tokens
        self.isPrefill = isPrefill
        self.emitsToken = emitsToken
        self.record = record
        self.finalRows = finalRows
    }

    /// Last positions whose output of the last layer somebody reads: the one that yields a token, and those that the
    /// record keeps it of.
    public var wantedRows: Int { max(emitsToken ? 1 : 0, record == nil ? 0 : finalRows) }
}

/// Consecutive units of one micro-batch's training.
public struct TrainerQuantum: Sendable {
    public var microBatch: MicroBatch
    public var units: [TrainerUnit]

    public init(microBatch: MicroBatch, units: [TrainerUnit]) {
        self.microBatch = microBatch
        self.units = units
    }
}

/// The smallest piece of training that is run without a break.
public enum TrainerUnit: Sendable, Hashable {
    /// A decoder layer of the reference model over a range of all rows, in ascending order.
    case reference(layer: Int, rows: Range<Int>)
    /// Head and log-probabilities of a range of the loss rows, of the reference model or of the trained one.
    case score(rows: Range<Int>, ofReference: Bool)
    /// A decoder layer over a range of the fresh rows, in ascending order.
    case forward(layer: Int, rows: Range<Int>)
    /// Head, loss and the head's backward pass over a range of the loss rows.
    case loss(rows: Range<Int>)
    /// What was not kept of a decoder layer's forward pass, computed again over a range of all rows, in ascending order.
    case recompute(layer: Int, rows: Range<Int>)
    /// A decoder layer's backward pass over a range of all rows, in descending order.
    case backward(layer: Int, rows: Range<Int>)
    /// The global norm of the whole gradient, for clipping.
    case gradientNorm
    /// AdamW over a range of the trained parameters, into the buffer that serving does not read; clears the gradient.
    case optimizer(parameters: Range<Int>)

    public var phase: TrainerPhase {
        switch self {
        case .reference, .score(_, ofReference: true): .reference
        case .forward: .forward
        case .loss, .score: .loss
        case .recompute: .recompute
        case .backward: .backward
        case .gradientNorm, .optimizer: .optimizer
        }
    }

    /// Rows that go through; zero where parameters do.
    public var rows: Int {
        switch self {
        case .reference(_, let rows), .forward(_, let rows), .recompute(_, let rows), .backward(_, let rows),
            .score(let rows, _), .loss(let rows):
            rows.count
        case .gradientNorm, .optimizer: 0
        }
    }
}

public enum TrainerPhase: Sendable, CaseIterable {
    case forward, loss, backward, optimizer, recompute, reference

    /// Its place in `allCases`.
    public var index: Int {
        switch self {
        case .forward: 0
        case .loss: 1
        case .backward: 2
        case .optimizer: 3
        case .recompute: 4
        case .reference: 5
        }
    }

    public var name: String {
        switch self {
        case .forward: "forward"
        case .loss: "loss"
        case .backward: "backward"
        case .optimizer: "optimizer"
        case .recompute: "recompute"
        case .reference: "reference"
        }
    }
}
