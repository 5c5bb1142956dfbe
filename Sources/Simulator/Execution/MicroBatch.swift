/// Samples that go through one forward and one backward pass together, packed without padding.
public struct MicroBatch: Sendable {
    /// Counts the micro-batches of an arm.
    public var id: Int
    /// Version of the weights that the gradient is taken at.
    public var version: Int
    public var sequences: [TrainingSequencePlan]
    /// Tokens that carry loss in the whole step; the step's loss is the mean over them.
    public var stepLossTokens: Int

    public init(id: Int, version: Int, sequences: [TrainingSequencePlan], stepLossTokens: Int) {
        self.id = id
        self.version = version
        self.sequences = sequences
        self.stepLossTokens = stepLossTokens
    }

    /// Rows of the backward pass: all tokens of all sequences.
    public var rows: Int { sequences.reduce(0) { $0 + $1.tokens } }
    /// Rows of the forward pass: those without a usable record.
    public var freshRows: Int { sequences.reduce(0) { $0 + $1.freshTokens } }
    public var lossRows: Int { sequences.reduce(0) { $0 + $1.lossTokens.count } }
    /// Loss tokens without a usable record.
    public var freshLossRows: Int { sequences.reduce(0) { $0 + $1.freshLossTokens } }
    /// The chunks that are read, each once, and how many sequences read it.
    public var chunks: [(id: ChunkID, uses: Int)] {
        var places: [ChunkID: Int] = [:]
        var chunks: [(id: ChunkID, uses: Int)] = []
        for span in sequences.lazy.flatMap(\.recorded) {
            if let place = places[span.chunk] {
                chunks[place].uses += 1
            } else {
                places[span.chunk] = chunks.count
                chunks.append((span.chunk, 1))
            }
        }
        return chunks
    }
}

/// One sample as the trainer runs it: the prompt and all of the response but its last token go in, and the token after
/// each is the target.
public struct TrainingSequencePlan: Sendable, Equatable {
    /// Index of the request in the trace.
    public var request: Int
    public var promptTokens: Int
    /// Tokens of the response to learn: the served one, or the user's edit.
    public var responseTokens: Int
    /// Whether the response is the user's edit.
    public var edited: Bool
    /// Positions whose next token carries loss.
    public var lossTokens: Range<Int>
    /// Positions whose forward pass is skipped, ascending and disjoint.
    public var recorded: [RecordedSpan]

    public init(
        request: Int, promptTokens: Int, responseTokens: Int, edited: Bool, lossTokens: Range<Int>,
        recorded: [RecordedSpan]
    ) {
        self.request = request
        self.promptTokens = promptTokens
        self.responseTokens = responseTokens
        self.edited = edited
        self.lossTokens = lossTokens
        self.recorded = recorded
    }

    /// Tokens that go in.
    public var tokens: Int { promptTokens + responseTokens - 1 }
    public var reusedTokens: Int { recorded.reduce(0) { $0 + $1.tokens.count } }
    public var freshTokens: Int { tokens - reusedTokens }
    /// Tokens that carry loss and run forward.
    public var freshLossTokens: Int {
        recorded.reduce(lossTokens.count) { $0 - $1.tokens.clamped(to: lossTokens).count }
    }
}

/// Positions of a sample that a chunk of its record covers: all of the chunk's, or some if the chunk is shared.
public struct RecordedSpan: Sendable, Equatable {
    public var chunk: ChunkID
    public var tokens: Range<Int>
    /// Versions over the chunk's own weights and all K and V that it attended to.
    public var versions: ClosedRange<Int>

    public init(chunk: ChunkID, tokens: Range<Int>, versions: ClosedRange<Int>) {
        self.chunk = chunk
        self.tokens = tokens
        self.versions = versions
    }
}
