/// Samples that go through one forward and one backward pass together, packed without padding.
public struct MicroBatch: Sendable {
    /// Counts the micro-batches of an arm.
    public var id: Int
    /// Version of the weights that the gradient is taken at.
    public var version: Int
    public var sequences: [TrainingSequencePlan]
    public var objective: Feedback.Kind
    /// Tokens that carry loss in the whole step. Its loss is the mean over them, in a group each weighted by its answer.
    public var stepLossTokens: Int
    /// Samples of the whole step; the loss of pairs is the mean over these.
    public var stepSamples: Int
    /// References that its samples hold to chunks that it reads; where nothing is said, one for each sample that reads it.
    public var references: [ChunkID: Int] = [:]

    public init(
        id: Int, version: Int, sequences: [TrainingSequencePlan], objective: Feedback.Kind = .sft,
        stepLossTokens: Int, stepSamples: Int = 1
    ) {
        self.id = id
        self.version = version
        self.sequences = sequences
        self.objective = objective
        self.stepLossTokens = stepLossTokens
        self.stepSamples = stepSamples
    }

    /// Whether a reference model runs over all of its tokens first. Nothing that serving recorded is that model's.
    public var needsReference: Bool { objective == .dpo }

    /// Rows of the backward pass: all tokens of all sequences.
    public var rows: Int { sequences.reduce(0) { $0 + $1.tokens } }
    /// Rows of the forward pass: those without a usable record.
    public var freshRows: Int { sequences.reduce(0) { $0 + $1.freshTokens } }
    public var lossRows: Int { sequences.reduce(0) { $0 + $1.lossTokens.count } }
    /// Loss tokens without a usable record.
    public var freshLossRows: Int { sequences.reduce(0) { $0 + $1.freshLossTokens } }
    /// The chunks that are read, each once, and how many references its samples hold to it. The sequences of a sample, which
    /// are those of one request, read its record together.
    public var chunks: [(id: ChunkID, uses: Int)] {
        var places: [ChunkID: (index: Int, request: Int)] = [:]
        var chunks: [(id: ChunkID, uses: Int)] = []
        for sequence in sequences {
            for span in sequence.recorded {
                if let place = places[span.chunk] {
                    if place.request != sequence.request { chunks[place.index].uses += 1 }
                    places[span.chunk]?.request = sequence.request
                } else {
                    places[span.chunk] = (chunks.count, sequence.request)
                    chunks.append((span.chunk, 1))
                }
            }
        }
        for index in chunks.indices { chunks[index].uses = references[chunks[index].id] ?? chunks[index].uses }
        return chunks
    }

    /// The same with everything run forward.
    public var withoutRecords: MicroBatch {
        var microBatch = self
        for index in microBatch.sequences.indices { microBatch.sequences[index].recorded = [] }
        return microBatch
    }
}

/// One answer to a prompt as the trainer runs it, or what several answers have in common: the prompt and all of the
/// answer but its last token go in, and the token after each is the target.
public struct TrainingSequencePlan: Sendable, Equatable {
    /// Which positions of prompt and answer the sequence is.
    public enum Part: Sendable, Hashable {
        /// All of them.
        case whole
        /// All of the prompt but its last token, whose target is each answer's first.
        case prompt
        /// The rest behind a shared prompt, the sequence of this number in the micro-batch.
        case branch(of: Int)
    }

    /// Index of the request in the trace.
    public var request: Int
    public var promptTokens: Int
    public var part: Part
    /// Tokens of the answer.
    public var responseTokens: Int
    /// Which answer: 0 for the one served, from 1 the others that its feedback names.
    public var answer: Int
    /// What the answer's log-probability is weighted by; of a pair, 1 for the chosen answer and -1 for the rejected one.
    public var weight: Double
    /// Positions whose next token carries loss.
    public var lossTokens: Range<Int>
    /// Positions whose forward pass is skipped, ascending and disjoint.
    public var recorded: [RecordedSpan]

    public init(
        request: Int, promptTokens: Int, part: Part = .whole, responseTokens: Int = 1, answer: Int = 0,
        weight: Double = 1, lossTokens: Range<Int>, recorded: [RecordedSpan]
    ) {
        self.request = request
        self.promptTokens = promptTokens
        self.part = part
        self.responseTokens = responseTokens
        self.answer = answer
        self.weight = weight
        self.lossTokens = lossTokens
        self.recorded = recorded
    }

    /// Positions that go in, counted from the prompt's first.
    public var positions: Range<Int> {
        switch part {
        case .whole: 0..<promptTokens + responseTokens - 1
        case .prompt: 0..<promptTokens - 1
        case .branch: promptTokens - 1..<promptTokens + responseTokens - 1
        }
    }
    /// Tokens that go in.
    public var tokens: Int { positions.count }
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
