/// What one line of a trace says: the fields that could be read, and what is wrong with the others.
struct TraceRecord {
    /// A prompt or an answer: how many tokens, and which if the line gives them.
    struct Tokens {
        var count: Int?
        var ids: [Int32]?
    }

    var id: String?
    var arrival: SimTime?
    var prompt = Tokens()
    var output = Tokens()
    var prefix: PromptPrefix?
    var conversation: String?
    var turn = 0
    var thinkTime = SimDuration.zero
    var priority = 0
    var feedback = FeedbackEntry.unstated
    var problems: [TraceError.Problem] = []

    mutating func report(_ field: TraceField, found: String, expected: String) {
        problems.append(.field(field.name, found: found, expected: expected))
    }

    mutating func miss(_ field: TraceField, _ expected: String) {
        problems.append(.missing(field.name, expected: expected))
    }

    /// Whether the line is JSON to its end.
    var isWhole: Bool {
        !problems.contains {
            switch $0 {
            case .malformed, .truncated, .notText: true
            default: false
            }
        }
    }

    /// Whether something is wrong with what the line says of this field, so that its value means nothing.
    func isFaulty(_ field: TraceField) -> Bool {
        problems.contains {
            switch $0 {
            case .field(let name, _, _), .beyondContext(let name, _, _), .repeated(let name): name == field.name
            default: false
            }
        }
    }

    /// The field that a prompt's length is a matter of.
    var promptField: TraceField { prompt.ids == nil ? .promptTokens : .prompt }

    /// The request, linked to its previous turn; `nil` if a required field is not there.
    func request(previousTurn: Int?) -> Request? {
        guard let id, let arrival, let promptTokens = prompt.count, let outputTokens = output.count else { return nil }
        return Request(
            id: id, arrival: arrival, promptTokens: promptTokens, outputTokens: outputTokens, prompt: prompt.ids,
            output: output.ids, prefix: prefix, conversation: conversation, turn: turn, previousTurn: previousTurn,
            thinkTime: thinkTime, priority: priority, feedback: feedback)
    }
}
