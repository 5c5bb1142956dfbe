/// One conversation of a source, or one prompt of its own: texts in turn.
struct Dialogue {
    enum Role { case user, model }

    struct Message {
        let role: Role
        var text: String
    }

    var messages: [Message] = []
    /// The answer's length where the source has no text of it.
    var outputTokens: Int?
    /// Why it must be left out.
    var flaw: ImportReport.DropReason?
    let line: Int
}

/// Reads dialogues from files of JSON objects.
struct DialogueFile: ~Copyable {
    private let path: String
    private let format: ImportFormat
    /// The answer's length where a row does not say it.
    private let defaultOutputTokens: Int?
    private var elements: ElementFile
    private var isEmpty = true

    init(path: String, format: ImportFormat, maxBytes: Int, defaultOutputTokens: Int?) throws(TraceError) {
        self.path = path
        self.format = format
        self.defaultOutputTokens = defaultOutputTokens
        elements = try ElementFile(path: path, maxBytes: maxBytes)
    }

    /// The next dialogue, `nil` after the last.
    mutating func next() throws(TraceError) -> Dialogue? {
        guard let element = try elements.next() else {
            guard !isEmpty else { throw TraceError(path: path, problem: .noRequests) }
            return nil
        }
        isEmpty = false
        var json = JSONReader(element.bytes)
        let result: Result<Dialogue, TraceError.Problem.Found>
        do throws(JSONError) {
            result = try format == .shareGPT ? conversation(&json, element.line) : prompt(&json, element.line)
        } catch {
            throw ElementFile.error(error, in: element, of: path)
        }
        switch result {
        case .success(let dialogue): return dialogue
        case .failure(let found): throw TraceError(path: path, line: element.line, problem: found.problem)
        }
    }

    // MARK: ShareGPT

    private func conversation(
        _ json: inout JSONReader, _ line: Int
    ) throws(JSONError) -> Result<Dialogue, TraceError.Problem.Found> {
        var dialogue = Dialogue(line: line)
        var isFound = false
        guard json.enterObject() else { throw json.error("a JSON object") }
        while let key = try json.nextKey() {
            guard key.equals("conversations") else {
                try json.skipValue()
                continue
            }
            guard !isFound else { throw JSONError(offset: key.offset, expected: "no repeated field") }
            isFound = true
            json.skipSpace()
            guard json.enterArray() else {
                return .failure(.init(problem: .field("conversations", found: json.found, expected: "an array of messages")))
            }
            while try json.nextElement() {
                if let problem = try readMessage(&json, into: &dialogue) { return .failure(.init(problem: problem)) }
            }
        }
        guard isFound else {
            return .failure(.init(problem: .missing("conversations", expected: "an array of messages")))
        }
        return .success(dialogue)
    }

    private func readMessage(
        _ json: inout JSONReader, into dialogue: inout Dialogue
    ) throws(JSONError) -> TraceError.Problem? {
        let name = "conversations[\(dialogue.messages.count)]"
        json.skipSpace()
        guard json.enterObject() else { return .field(name, found: json.found, expected: "an object with `from` and `value`") }
        var role: String?
        var text: String?
        while let key = try json.nextKey() {
            let isRole = key.equals("from")
            guard isRole || key.equals("value") else {
                try json.skipValue()
                continue
            }
            guard (isRole ? role : text) == nil else {
                throw JSONError(offset: key.offset, expected: "no repeated field")
            }
            json.skipSpace()
            guard let string = try json.string() else {
                return .field("\(name).\(isRole ? "from" : "value")", found: json.found, expected: "a string")
            }
            if isRole { role = try string.text() } else { text = try string.text() }
        }
        guard let role else { return .missing("\(name).from", expected: "a string") }
        guard let text else { return .missing("\(name).value", expected: "a string") }
        switch role {
        // A system message is read by the model as a part of what the user says next.
        case "human", "user", "system": dialogue.messages.append(.init(role: .user, text: text))
        case "gpt", "assistant", "chatgpt", "bing", "bard": dialogue.messages.append(.init(role: .model, text: text))
        default: dialogue.flaw = .unknownRole
        }
        return nil
    }

    // MARK: vLLM

    private func prompt(
        _ json: inout JSONReader, _ line: Int
    ) throws(JSONError) -> Result<Dialogue, TraceError.Problem.Found> {
        var dialogue = Dialogue(line: line)
        dialogue.outputTokens = defaultOutputTokens
        var hasCount = false
        guard json.enterObject() else { throw json.error("a JSON object") }
        while let key = try json.nextKey() {
            if key.equals("prompt") {
                guard dialogue.messages.isEmpty else { throw JSONError(offset: key.offset, expected: "no repeated field") }
                json.skipSpace()
                guard let string = try json.string() else {
                    return .failure(.init(problem: .field("prompt", found: json.found, expected: "a string")))
                }
                dialogue.messages = [.init(role: .user, text: try string.text())]
            } else if key.equals("output_tokens") {
                guard !hasCount else { throw JSONError(offset: key.offset, expected: "no repeated field") }
                hasCount = true
                json.skipSpace()
                let value = try json.skipValue()
                guard let count = TableValue.count(value) else {
                    return .failure(
                        .init(
                            problem: .field(
                                "output_tokens", found: value.shown,
                                expected: "a whole number from 0 to \(TraceLimits.maxCount)")))
                }
                dialogue.outputTokens = count
            } else {
                try json.skipValue()
            }
        }
        guard !dialogue.messages.isEmpty else { return .failure(.init(problem: .missing("prompt", expected: "a string"))) }
        guard dialogue.outputTokens != nil else {
            return .failure(
                .init(problem: .missing("output_tokens", expected: "a whole number, or one for all with --output-tokens")))
        }
        return .success(dialogue)
    }
}

extension TraceError.Problem {
    /// A problem as an error, to be told where it stands later.
    struct Found: Error { let problem: TraceError.Problem }
}
