/// A field of a trace's line.
enum TraceField: UInt16, Sendable {
    case id, arrival, promptTokens, prompt, outputTokens, output, conversation, turn, thinkTime, priority, feedback
    case feedbackDelay, feedbackKind, feedbackTokens

    /// What messages call it.
    var name: String {
        switch self {
        case .id: "id"
        case .arrival: "arrival"
        case .promptTokens: "prompt_tokens"
        case .prompt: "prompt"
        case .outputTokens: "output_tokens"
        case .output: "output"
        case .conversation: "conversation"
        case .turn: "turn"
        case .thinkTime: "think_time"
        case .priority: "priority"
        case .feedback: "feedback"
        case .feedbackDelay: "feedback.delay"
        case .feedbackKind: "feedback.kind"
        case .feedbackTokens: "feedback.tokens"
        }
    }

    /// What the format says of a field's value; token counts and ids have their own words.
    static let identifierRule = "a string that is not empty or an integer"
    static let secondsRule = "seconds from 0 to \(TraceLimits.maxSeconds)"
    static let countRule = "a whole number from 1 to \(TraceLimits.maxCount)"
    static let priorityRule = "a whole number from -\(TraceLimits.maxCount) to \(TraceLimits.maxCount)"
    static let turnRule = "a whole number from 0 to \(TraceLimits.maxCount)"
}

/// The fields seen of an object.
struct TraceFieldSet {
    private var bits: UInt16 = 0

    func contains(_ field: TraceField) -> Bool { bits & 1 << field.rawValue != 0 }

    /// Adds a field; false if it was there already.
    mutating func insert(_ field: TraceField) -> Bool {
        defer { bits |= 1 << field.rawValue }
        return !contains(field)
    }
}

/// The fields one object may have.
struct TraceFieldTable: Sendable {
    /// The keys as they stand in the object.
    let fields: [(key: StaticString, field: TraceField)]
    /// What goes before a key to name it in messages.
    let prefix: String

    static let request = TraceFieldTable(
        fields: [
            ("id", .id), ("arrival", .arrival), ("prompt_tokens", .promptTokens), ("output_tokens", .outputTokens),
            ("prompt", .prompt), ("output", .output), ("conversation", .conversation), ("turn", .turn),
            ("think_time", .thinkTime), ("priority", .priority), ("feedback", .feedback),
        ],
        prefix: "")

    static let feedback = TraceFieldTable(
        fields: [("delay", .feedbackDelay), ("kind", .feedbackKind), ("tokens", .feedbackTokens)],
        prefix: "feedback.")

    func field(of key: JSONString) -> TraceField? { fields.first { key.equals($0.key) }?.field }

    /// The known field with the fewest edits from `name`, the first of those at the same distance.
    func nearest(to name: String) -> String {
        let name = name.prefix(64)
        let known = fields.map { "\($0.key)" }
        let best = known.min { editDistance(name, $0) < editDistance(name, $1) }
        return prefix + (best ?? "")
    }
}
