/// Reads the lines of a trace one by one, and holds each against the rules that concern it alone.
struct TraceLineReader {
    private let limits: TraceLimits
    private let tokenRule: String
    var json = JSONReader(UnsafeRawBufferPointer(start: nil, count: 0))
    var record = TraceRecord()
    /// The feedback being read; its fields come in any order.
    var feedback = FeedbackDraft()
    /// The ids of the array being read, here so that its memory is reused.
    private var ids: [Int32] = []

    init(limits: TraceLimits) {
        self.limits = limits
        tokenRule = "a token id from 0 to \(limits.maxTokenID)"
    }

    /// What the line says, or `nil` if it is blank.
    mutating func read(_ line: TraceLine) -> TraceRecord? {
        let bytes = line.text
        json = JSONReader(bytes)
        guard json.skipSpace() != nil else { return nil }
        record = TraceRecord()
        do {
            try readRequest()
            checkContext()
        } catch {
            let problem = TraceError.Problem(error, in: bytes, isTerminated: line.isTerminated)
            // What a line breaks off within says nothing about the field.
            if problem == .truncated { record.problems = [] }
            record.problems.append(problem)
        }
        return record
    }

    // MARK: Objects

    private mutating func readRequest() throws(JSONError) {
        guard json.enterObject() else { throw json.error("a JSON object") }
        let seen = try readMembers(of: .request)
        try json.finish()
        if !seen.contains(.id) { record.miss(.id, TraceField.identifierRule) }
        if !seen.contains(.arrival) { record.miss(.arrival, TraceField.secondsRule) }
        if !seen.contains(.promptTokens), !seen.contains(.prompt) {
            record.miss(.promptTokens, TraceField.countRule + ", or token ids in `prompt`")
        }
        if !seen.contains(.outputTokens), !seen.contains(.output) {
            record.miss(.outputTokens, TraceField.countRule + ", or token ids in `output`")
        }
        record.prompt = settled(record.prompt, count: .promptTokens, ids: .prompt)
        record.output = settled(record.output, count: .outputTokens, ids: .output)
        checkPrefix()
    }

    /// Reads the members of the object just entered; which of its fields were there.
    mutating func readMembers(of table: TraceFieldTable) throws(JSONError) -> TraceFieldSet {
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
        case .prefix: try readPrefix()
        case .prefixBlockTokens:
            let count = try integer(field, from: 1, TraceField.countRule)
            record.prefix?.blockTokens = count ?? 1
        case .prefixBlocks:
            let blocks = try blocks(field)
            record.prefix?.blocks = blocks ?? []
        case .conversation: record.conversation = try identifier(field)
        case .turn: record.turn = try integer(field, from: 0, TraceField.turnRule) ?? 0
        case .thinkTime: record.thinkTime = SimDuration(nanoseconds: try nanoseconds(field) ?? 0)
        case .priority:
            record.priority = try integer(field, from: -TraceLimits.maxCount, TraceField.priorityRule) ?? 0
        case .feedback: try readFeedback()
        default: try readFeedback(field)
        }
    }

    private mutating func readPrefix() throws(JSONError) {
        guard json.enterObject() else { return try refuse(.prefix, "an object") }
        let before = record.problems.count
        record.prefix = PromptPrefix(blockTokens: 1, blocks: [])
        let seen = try readMembers(of: .promptPrefix)
        if !seen.contains(.prefixBlockTokens) { record.miss(.prefixBlockTokens, TraceField.countRule) }
        if !seen.contains(.prefixBlocks) { record.miss(.prefixBlocks, "an array of block names") }
        if record.problems.count > before { record.prefix = nil }
    }

    private mutating func blocks(_ field: TraceField) throws(JSONError) -> [Int]? {
        guard json.enterArray() else {
            try refuse(field, "an array of block names")
            return nil
        }
        var blocks: [Int] = []
        guard try json.wholeNumbers(upTo: .max, into: &blocks) else {
            let found = try passOver()
            record.problems.append(
                .field("\(field.name)[\(blocks.count)]", found: found, expected: "a whole number from 0 to \(Int.max)"))
            while try json.nextElement() { try json.skipValue() }
            return nil
        }
        if blocks.isEmpty { record.report(field, found: "`[]`", expected: "at least one block name") }
        return blocks
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

    mutating func integer(_ field: TraceField, from least: Int, _ rule: String) throws(JSONError) -> Int? {
        let start = json.position
        if let value = json.integer(), value >= least, value <= TraceLimits.maxCount { return value }
        json.position = start
        try refuse(field, rule)
        return nil
    }

    mutating func nanoseconds(_ field: TraceField) throws(JSONError) -> Int64? {
        let start = json.position
        if let value = json.nanoseconds(), value >= 0, value <= TraceLimits.maxNanoseconds { return value }
        json.position = start
        try refuse(field, TraceField.secondsRule)
        return nil
    }

    mutating func weight(_ field: TraceField) throws(JSONError) -> Double? {
        let start = json.position
        if let value = json.number(), abs(value) <= 1e6 { return value }
        json.position = start
        try refuse(field, TraceField.weightRule)
        return nil
    }

    mutating func kind(_ field: TraceField) throws(JSONError) -> Feedback.Kind? {
        let start = json.position
        if let text = try json.string()?.text(), let kind = Feedback.Kind(rawValue: text),
            limits.feedbackKinds.contains(kind)
        {
            return kind
        }
        json.position = start
        let kinds = Feedback.Kind.allCases.filter(limits.feedbackKinds.contains)
        try refuse(field, kinds.map { "`\"\($0.rawValue)\"`" }.joined(separator: " or "))
        return nil
    }

    mutating func tokenIDs(_ field: TraceField) throws(JSONError) -> [Int32]? {
        let start = json.position
        guard json.enterArray() else {
            try refuse(field, "an array of token ids")
            return nil
        }
        ids.removeAll(keepingCapacity: true)
        guard try json.wholeNumbers(upTo: limits.maxTokenID, into: &ids) else {
            let found = try passOver()
            record.problems.append(.field("\(field.name)[\(ids.count)]", found: found, expected: tokenRule))
            // The first wrong id stands for all: the rest of the array need only be JSON.
            while try json.nextElement() { try json.skipValue() }
            return nil
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
    mutating func refuse(_ field: TraceField, _ expected: String) throws(JSONError) {
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

    /// Holds the two ways to give tokens against each other; ids alone make the count.
    mutating func settled(
        _ tokens: TraceRecord.Tokens, count countField: TraceField, ids idsField: TraceField
    ) -> TraceRecord.Tokens {
        guard let ids = tokens.ids else { return tokens }
        if let count = tokens.count, count != ids.count {
            record.report(
                countField, found: "`\(count)`",
                expected: "`\(ids.count)`, the number of ids in `\(idsField.name)`")
        }
        return TraceRecord.Tokens(count: ids.count, ids: ids)
    }

    private mutating func checkPrefix() {
        guard let prefix = record.prefix else { return }
        if record.prompt.ids != nil {
            record.report(.prefix, found: "it beside `prompt`", expected: "one of the two: ids say what is shared")
        }
        if record.turn > 0 {
            record.report(
                .prefix, found: "it in turn \(record.turn)", expected: "it in turn 0, which later turns share")
        }
        guard let count = record.prompt.count, prefix.blockTokens > 0 else { return }
        let needed = (count + prefix.blockTokens - 1) / prefix.blockTokens
        if prefix.blocks.count > needed {
            record.report(
                .prefixBlocks, found: "`\(prefix.blocks.count)` blocks",
                expected: "at most \(needed), which hold the prompt's \(count) tokens")
        }
    }

    /// Checks that the model can hold the prompt with its answer, and with the answers that feedback brings.
    private mutating func checkContext() {
        guard let maxContext = limits.maxContext, let prompt = record.prompt.count else { return }
        if let output = record.output.count, prompt + output > maxContext {
            record.problems.append(
                .beyondContext(
                    record.promptField.name, found: "`\(prompt)` and `\(output)` tokens of output", context: maxContext)
            )
        }
        guard case .given(let feedback) = record.feedback else { return }
        let field: TraceField =
            switch feedback.signal {
            case .sft: .feedbackTokens
            case .dpo(.chosen): .feedbackChosen
            case .dpo(.rejected): .feedbackRejected
            case .group: .feedbackCompletions
            }
        for answer in feedback.otherAnswers where prompt + answer.count > maxContext {
            record.problems.append(
                .beyondContext(
                    field.name, found: "`\(answer.count)` ids after a prompt of `\(prompt)`", context: maxContext))
        }
    }
}
