/// Reads the lines of a trace one by one, and holds each against the rules that concern it alone.
struct TraceLineReader {
    private let limits: TraceLimits
    private let tokenRule: String
    private var json = JSONReader(UnsafeRawBufferPointer(start: nil, count: 0))
    private var record = TraceRecord()
    /// The ids of the array being read, here so that its memory is reused.
    private var ids: [Int32] = []

    init(limits: TraceLimits) {
        self.limits = limits
        tokenRule = "a token id from 0 to \(limits.maxTokenID)"
    }

    /// What the line says, or `nil` if it is blank.
    mutating func read(_ line: TraceLine) -> TraceRecord? {
        var bytes = line.bytes
        if line.number == 1, bytes.starts(with: [0xef, 0xbb, 0xbf]) {
            bytes = UnsafeRawBufferPointer(rebasing: bytes.dropFirst(3))
        }
        json = JSONReader(bytes)
        guard json.skipSpace() != nil else { return nil }
        record = TraceRecord()
        do {
            try readRequest()
            checkContext()
        } catch {
            let problem = Self.problem(error, in: bytes, isTerminated: line.isTerminated)
            // What a line breaks off within says nothing about the field.
            if problem == .truncated { record.problems = [] }
            record.problems.append(problem)
        }
        return record
    }

    /// What is wrong with a line that is no JSON.
    private static func problem(
        _ error: JSONError, in bytes: UnsafeRawBufferPointer, isTerminated: Bool
    ) -> TraceError.Problem {
        if bytes.contains(0) { return .notText }
        if String(validating: bytes, as: UTF8.self) == nil {
            // A line may break off within a character, of which up to three bytes are left.
            let isCut = (1...3).contains { String(validating: bytes.dropLast($0), as: UTF8.self) != nil }
            return isCut && !isTerminated ? .truncated : .notText
        }
        if !isTerminated { return .truncated }
        let rest = JSONReader(UnsafeRawBufferPointer(rebasing: bytes[error.offset...]))
        let word = rest.bareWord()
        let first = String(decoding: rest.bytes.prefix(4), as: UTF8.self).prefix(1)
        let found = first.isEmpty ? "the end of the line" : word.isEmpty ? "`\(first.neutralised())`" : word.shown
        return .malformed(column: error.offset + 1, found: found, expected: error.expected)
    }

    // MARK: Objects

    private mutating func readRequest() throws(JSONError) {
        guard json.enterObject() else { throw json.error("a JSON object") }
        let seen = try readMembers(of: .request)
        try json.finish()
        if !seen.contains(.id) { miss(.id, TraceField.identifierRule) }
        if !seen.contains(.arrival) { miss(.arrival, TraceField.secondsRule) }
        if !seen.contains(.promptTokens), !seen.contains(.prompt) {
            miss(.promptTokens, TraceField.countRule + ", or token ids in `prompt`")
        }
        if !seen.contains(.outputTokens), !seen.contains(.output) {
            miss(.outputTokens, TraceField.countRule + ", or token ids in `output`")
        }
        settle(\.prompt, count: .promptTokens, ids: .prompt)
        settle(\.output, count: .outputTokens, ids: .output)
    }

    /// Reads the members of the object just entered; which of its fields were there.
    private mutating func readMembers(of table: TraceFieldTable) throws(JSONError) -> TraceFieldSet {
        var seen = TraceFieldSet()
        while let key = try json.nextKey() {
            guard let field = table.field(of: key) else {
                let name = try key.text()
                let shown = (table.prefix + name).neutralised()
                record.problems.append(.unknown(shown, nearest: table.nearest(to: name)))
                try json.skipValue()
                continue
            }
            guard seen.insert(field) else {
                record.problems.append(.repeated(field.name))
                try json.skipValue()
                continue
            }
            try read(field)
        }
        return seen
    }

    private mutating func read(_ field: TraceField) throws(JSONError) {
        switch field {
        case .id: record.id = try identifier(field)
        case .arrival: record.arrival = try nanoseconds(field).map { SimTime(nanoseconds: $0) }
        case .promptTokens: record.prompt.count = try integer(field, from: 1, TraceField.countRule)
        case .prompt: record.prompt.ids = try tokenIDs(field)
        case .outputTokens: record.output.count = try integer(field, from: 1, TraceField.countRule)
        case .output: record.output.ids = try tokenIDs(field)
        case .conversation: record.conversation = try identifier(field)
        case .turn: record.turn = try integer(field, from: 0, TraceField.turnRule) ?? 0
        case .thinkTime: record.thinkTime = SimDuration(nanoseconds: try nanoseconds(field) ?? 0)
        case .priority:
            record.priority = try integer(field, from: -TraceLimits.maxCount, TraceField.priorityRule) ?? 0
        case .feedback: try readFeedback()
        case .feedbackDelay, .feedbackKind, .feedbackTokens: try readFeedback(field)
        }
    }

    private mutating func readFeedback() throws(JSONError) {
        if json.null() {
            record.feedback = .none
        } else if json.enterObject() {
            record.feedback = .given(Feedback(delay: .zero, kind: .sft))
            let seen = try readMembers(of: .feedback)
            if !seen.contains(.feedbackDelay) { miss(.feedbackDelay, TraceField.secondsRule) }
        } else {
            try refuse(.feedback, "an object or `null`")
        }
    }

    private mutating func readFeedback(_ field: TraceField) throws(JSONError) {
        guard case .given(var feedback) = record.feedback else { return }
        switch field {
        case .feedbackDelay: feedback.delay = SimDuration(nanoseconds: try nanoseconds(field) ?? 0)
        case .feedbackKind: feedback.kind = try kind(field) ?? .sft
        case .feedbackTokens: feedback.tokens = try tokenIDs(field)
        default: break
        }
        record.feedback = .given(feedback)
    }

    // MARK: Values

    private mutating func identifier(_ field: TraceField) throws(JSONError) -> String? {
        if let number = json.integer() { return String(number) }
        let start = json.position
        if let text = try json.string()?.text(), !text.isEmpty { return text }
        json.position = start
        try refuse(field, TraceField.identifierRule)
        return nil
    }

    private mutating func integer(_ field: TraceField, from least: Int, _ rule: String) throws(JSONError) -> Int? {
        let start = json.position
        if let value = json.integer(), value >= least, value <= TraceLimits.maxCount { return value }
        json.position = start
        try refuse(field, rule)
        return nil
    }

    private mutating func nanoseconds(_ field: TraceField) throws(JSONError) -> Int64? {
        let start = json.position
        if let value = json.nanoseconds(), value >= 0, value <= TraceLimits.maxNanoseconds { return value }
        json.position = start
        try refuse(field, TraceField.secondsRule)
        return nil
    }

    private mutating func kind(_ field: TraceField) throws(JSONError) -> Feedback.Kind? {
        let start = json.position
        if let text = try json.string()?.text(), let kind = Feedback.Kind(rawValue: text) { return kind }
        json.position = start
        try refuse(field, Feedback.Kind.allCases.map { "`\"\($0.rawValue)\"`" }.joined(separator: " or "))
        return nil
    }

    private mutating func tokenIDs(_ field: TraceField) throws(JSONError) -> [Int32]? {
        let start = json.position
        guard json.enterArray() else {
            try refuse(field, "an array of token ids")
            return nil
        }
        ids.removeAll(keepingCapacity: true)
        while try json.nextElement() {
            let element = json.position
            if let id = json.integer(), id >= 0, id <= limits.maxTokenID {
                ids.append(Int32(truncatingIfNeeded: id))
            } else {
                json.position = element
                let found = try passOver()
                let name = "\(field.name)[\(ids.count)]"
                record.problems.append(.field(name, found: found, expected: tokenRule))
                // The first wrong id stands for all: the rest of the array need only be JSON.
                while try json.nextElement() { try json.skipValue() }
                return nil
            }
        }
        if ids.isEmpty {
            json.position = start
            try refuse(field, "at least one token id")
            return nil
        }
        return Array(ids)
    }

    // MARK: Problems

    /// Reports what stands here instead of what the format expects, and passes over it.
    private mutating func refuse(_ field: TraceField, _ expected: String) throws(JSONError) {
        record.report(field, found: try passOver(), expected: expected)
    }

    /// Passes over a value, or a word that is none such as `NaN`; how a message shows it.
    private mutating func passOver() throws(JSONError) -> String {
        json.skipSpace()
        let word = json.bareWord()
        guard !word.isEmpty else { return try json.skipValue().shown }
        json.position += word.count
        return word.shown
    }

    private mutating func miss(_ field: TraceField, _ expected: String) {
        record.problems.append(.missing(field.name, expected: expected))
    }

    /// Holds the two ways to give tokens against each other; ids alone make the count.
    private mutating func settle(
        _ tokens: WritableKeyPath<TraceRecord, TraceRecord.Tokens>, count countField: TraceField,
        ids idsField: TraceField
    ) {
        guard let ids = record[keyPath: tokens].ids else { return }
        if let count = record[keyPath: tokens].count, count != ids.count {
            record.report(
                countField, found: "`\(count)`",
                expected: "`\(ids.count)`, the number of ids in `\(idsField.name)`")
        }
        record[keyPath: tokens].count = ids.count
    }

    /// Checks that the model can hold the prompt with its answer, and with the answer a user wrote instead.
    private mutating func checkContext() {
        guard let maxContext = limits.maxContext, let prompt = record.prompt.count else { return }
        if let output = record.output.count, prompt + output > maxContext {
            record.report(
                record.promptField, found: "`\(prompt)` and `\(output)` tokens of output",
                expected: "at most \(maxContext) in all, the model's context")
        }
        if case .given(let feedback) = record.feedback, let edited = feedback.tokens, prompt + edited.count > maxContext
        {
            record.report(
                .feedbackTokens, found: "`\(edited.count)` ids after a prompt of `\(prompt)`",
                expected: "at most \(maxContext) in all, the model's context")
        }
    }
}
