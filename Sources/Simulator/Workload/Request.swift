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
        output: [Int32]? = nil, conversation: String? = nil, turn: Int = 0, previousTurn: Int? = nil,
        thinkTime: SimDuration = .zero, priority: Int = 0,
        feedback: FeedbackEntry = .unstated
    ) {
        self.id = id
        self.arrival = arrival
        self.promptTokens = promptTokens
        self.outputTokens = outputTokens
        self.prompt = prompt
        self.output = output
        self.conversation = conversation
        self.turn = turn
        self.previousTurn = previousTurn
        self.thinkTime = thinkTime
        self.priority = priority
        self.feedback = feedback
    }
}

/// What a trace says about a request's feedback.
public enum FeedbackEntry: Sendable, Equatable {
    /// The trace is silent: the scenario's seeded feedback model decides.
    case unstated
    /// The trace says there is none (`"feedback": null`).
    case none
    case given(Feedback)
}

/// A user's feedback on one answer.
public struct Feedback: Sendable, Equatable {
    public enum Kind: String, Sendable, CaseIterable {
        /// Learn the response, or the edited one in `tokens`.
        case sft
    }

    /// From the end of the answer to the feedback's arrival.
    public var delay: SimDuration
    public var kind: Kind
    /// The edited response to learn instead of the one served.
    public var tokens: [Int32]?

    public init(delay: SimDuration, kind: Kind, tokens: [Int32]? = nil) {
        self.delay = delay
        self.kind = kind
        self.tokens = tokens
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
