/// One request of a trace.
///
/// Prompts count the whole prompt, the history of the conversation included, as the logs of vLLM and Azure do.
public struct Request: Sendable, Equatable {
    /// Unique in its trace.
    public var id: String
    /// When the client sends it, from the start of the trace.
    public var arrival: SimTime
    public var promptTokens: Int
    public var outputTokens: Int
    /// Token ids of the prompt, if the trace has them (`count == promptTokens`).
    public var prompt: [Int32]?
    /// Token ids of the answer, if the trace has them (`count == outputTokens`).
    public var output: [Int32]?
    /// What the prompt shares with other requests' prompts, of a request whose ids the trace does not give.
    public var prefix: PromptPrefix?
    /// The conversation this request is a turn of.
    public var conversation: String?
    /// 0 for the first turn.
    public var turn: Int
    /// Index in `Trace.requests` of the previous turn of the same conversation.
    public var previousTurn: Int?
    /// The time between the end of the previous turn and this turn's sending, at least.
    public var thinkTime: SimDuration
    /// Where it stands in line under admission by priority: lower comes first.
    public var priority: Int
    /// What the user says of the answer: given by the trace, absent (`unstated`), or explicitly none.
    public var feedback: FeedbackEntry

    public init(
        id: String, arrival: SimTime, promptTokens: Int, outputTokens: Int, prompt: [Int32]? = nil,
        output: [Int32]? = nil, prefix: PromptPrefix? = nil, conversation: String? = nil, turn: Int = 0,
        previousTurn: Int? = nil, thinkTime: SimDuration = .zero, priority: Int = 0,
        feedback: FeedbackEntry = .unstated
    ) {
        self.id = id
        self.arrival = arrival
        self.promptTokens = promptTokens
        self.outputTokens = outputTokens
        self.prompt = prompt
        self.output = output
        self.prefix = prefix
        self.conversation = conversation
        self.turn = turn
        self.previousTurn = previousTurn
        self.thinkTime = thinkTime
        self.priority = priority
        self.feedback = feedback
    }
}

extension Request {
    /// Tokens of context that it takes: its prompt with the longest of its answer and those that feedback brings.
    public var contextTokens: Int {
        var answer = outputTokens
        if case .given(let feedback) = feedback {
            answer = max(answer, feedback.otherAnswers.map(\.count).max() ?? 0)
        }
        return promptTokens + answer
    }
}

/// A validated trace: arrivals in order, ids unique, every turn after its predecessor.
public struct Trace: Sendable {
    /// The path or name it was read from, for messages and provenance.
    public var source: String
    /// SHA-256 of the bytes it was read from, in lower-case hexadecimal; empty for a trace made in memory.
    public var sha256: String
    public var requests: [Request]

    public init(source: String, sha256: String = "", requests: [Request]) {
        self.source = source
        self.sha256 = sha256
        self.requests = requests
    }
}
