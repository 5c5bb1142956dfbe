/// A field of a trace's line.
enum TraceField: UInt32, Sendable {
    case id, arrival, promptTokens, prompt, outputTokens, output, prefix, conversation, turn, thinkTime, feedback
    case prefixBlockTokens, prefixBlocks
    case feedbackDelay, feedbackKind, feedbackTokens, feedbackChosen, feedbackChosenTokens, feedbackRejected
    case feedbackRejectedTokens, feedbackWeight, feedbackCompletions
    case completionOutput, completionOutputTokens, completionWeight

    /// What messages call it.
    var name: String {
        switch self {
        case .id: "id"
        case .arrival: "arrival"
        case .promptTokens: "prompt_tokens"
        case .prompt: "prompt"
        case .outputTokens: "output_tokens"
        case .output: "output"
        case .prefix: "prefix"
        case .conversation: "conversation"
        case .turn: "turn"
        case .thinkTime: "think_time"
        case .feedback: "feedback"
        case .prefixBlockTokens: "prefix.block_tokens"
        case .prefixBlocks: "prefix.blocks"
        case .feedbackDelay: "feedback.delay"
        case .feedbackKind: "feedback.kind"
        case .feedbackTokens: "feedback.tokens"
        case .feedbackChosen: "feedback.chosen"
        case .feedbackChosenTokens: "feedback.chosen_tokens"
        case .feedbackRejected: "feedback.rejected"
        case .feedbackRejectedTokens: "feedback.rejected_tokens"
        case .feedbackWeight: "feedback.weight"
        case .feedbackCompletions: "feedback.completions"
        case .completionOutput: "feedback.completions.output"
        case .completionOutputTokens: "feedback.completions.output_tokens"
        case .completionWeight: "feedback.completions.weight"
        }
    }

    /// What the format says of a field's value; token counts and ids have their own words.
    static let identifierRule = "a string that is not empty or an integer"
    static let secondsRule = "seconds from 0 to \(TraceLimits.maxSeconds)"
    static let countRule = "a whole number from 1 to \(TraceLimits.maxCount)"
    static let turnRule = "a whole number from 0 to \(TraceLimits.maxCount)"
    static let weightRule = "a number from -1000000 to 1000000"
}

/// The fields seen of an object.
struct TraceFieldSet {
    private var bits: UInt32 = 0

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
            ("prompt", .prompt), ("output", .output), ("prefix", .prefix), ("conversation", .conversation),
            ("turn", .turn), ("think_time", .thinkTime), ("feedback", .feedback),
        ],
        prefix: "")

    static let promptPrefix = TraceFieldTable(
        fields: [("block_tokens", .prefixBlockTokens), ("blocks", .prefixBlocks)], prefix: "prefix.")

    static let feedback = TraceFieldTable(
        fields: [
            ("delay", .feedbackDelay), ("kind", .feedbackKind), ("tokens", .feedbackTokens),
            ("chosen", .feedbackChosen), ("chosen_tokens", .feedbackChosenTokens),
            ("rejected", .feedbackRejected), ("rejected_tokens", .feedbackRejectedTokens),
            ("weight", .feedbackWeight), ("completions", .feedbackCompletions),
        ],
        prefix: "feedback.")

    static let completion = TraceFieldTable(
        fields: [
            ("output", .completionOutput), ("output_tokens", .completionOutputTokens), ("weight", .completionWeight),
        ],
        prefix: "feedback.completions.")

    func field(of key: JSONString) -> TraceField? {
        // A loop over indices: this is asked for every key of a file.
        for index in fields.indices where key.equals(fields[index].key) { return fields[index].field }
        return nil
    }

    /// The known field with the fewest edits from `name`, the first of those at the same distance.
    func nearest(to name: String) -> String {
        let name = name.prefix(64)
        let known = fields.map { "\($0.key)" }
        let best = known.min { editDistance(name, $0) < editDistance(name, $1) }
        return prefix + (best ?? "")
    }
}
