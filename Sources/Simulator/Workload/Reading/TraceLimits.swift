/// What a trace may ask of the model it will be served by, and how much of a file is taken in at once.
public struct TraceLimits: Sendable, Equatable {
    /// The model's context: the most tokens of a prompt and its answer together.
    public var maxContext: Int?
    /// The model's vocabulary: token ids lie in `0..<vocabulary`.
    public var vocabulary: Int?
    /// The longest line held in memory.
    public var maxLineBytes: Int
    /// The kinds of feedback that may stand in the trace: those that its reader can learn from.
    public var feedbackKinds: Set<Feedback.Kind>

    public init(
        maxContext: Int? = nil, vocabulary: Int? = nil, maxLineBytes: Int = 1 << 24,
        feedbackKinds: Set<Feedback.Kind> = Set(Feedback.Kind.allCases)
    ) {
        self.feedbackKinds = feedbackKinds
        self.maxContext = maxContext
        self.vocabulary = vocabulary
        self.maxLineBytes = maxLineBytes
    }

    /// The most tokens of one prompt or answer.
    static let maxCount = Int(Int32.max)

    /// The latest time and the longest duration: 126 years. Beyond it, virtual time could overflow when an answer, a
    /// thinking time and a feedback's delay add up, and arithmetic on `SimTime` traps.
    static let maxSeconds = 4_000_000_000

    static let maxNanoseconds = Int64(maxSeconds) * 1_000_000_000

    /// The highest token id, with or without a model.
    var maxTokenID: Int { min(vocabulary.map { $0 - 1 } ?? .max, Int(Int32.max)) }
}
