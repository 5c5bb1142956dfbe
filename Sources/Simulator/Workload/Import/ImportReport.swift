/// What an import read, wrote and left out.
public struct ImportReport: Sendable, Equatable {
    /// Why something of the source is not in the trace.
    public enum DropReason: String, Sendable, CaseIterable {
        case emptyPrompt = "rows without prompt tokens"
        case emptyOutput = "rows without output tokens, as failed requests have"
        case tooLong = "requests beyond --max-context"
        case noPair = "conversations without a question and an answer"
        case unknownRole = "conversations with a role that is neither the user's, the model's nor the system's"
        case answerFirst = "messages of the model without a question before"
        case unanswered = "questions without an answer"
        case emptyText = "turns with an empty text"
        case behindEmptyText = "turns behind one with an empty text, as their history would be another"
        case laterTurn = "turns after the first"
        case beyondLongTurn = "turns behind one beyond --max-context"
        case beyondLimit = "turns of conversations begun before --limit was reached"
    }

    public var format: ImportFormat
    /// Rows of a table, or conversations, that were taken: each became requests or was dropped. None behind the one that
    /// reached `limit` is among them.
    public var rows = 0
    public var requests = 0
    public var promptTokens = 0
    public var outputTokens = 0
    public private(set) var dropped: [DropReason: Int] = [:]
    /// Whether arrivals are those of the source.
    public var hasArrivals = true
    /// Whether `limit` ended the import; what comes behind in the source was not looked at.
    public var isCut = false
    /// Made-up instants of arrival at which no conversation was left to open and none was ready for its next turn.
    public var idleInstants = 0

    public init(format: ImportFormat) { self.format = format }

    mutating func count(promptTokens prompt: Int, outputTokens output: Int) {
        requests += 1
        promptTokens += prompt
        outputTokens += output
    }

    mutating func drop(_ reason: DropReason, _ count: Int = 1) {
        if count > 0 { dropped[reason, default: 0] += count }
    }
}
