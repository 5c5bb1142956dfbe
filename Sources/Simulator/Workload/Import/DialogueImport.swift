/// Turns dialogues into requests, and gives them arrivals.
///
/// The instants of arrival are Poisson. Each is given to the conversation that has been ready for its next turn longest,
/// or else opens the next one of the source: so few are open at a time, and the arrivals keep their distribution.
struct DialogueImport<Tokenizer: TextTokenizer> {
    private let options: TraceImporter.Options
    var tokenizer: Tokenizer
    private var thinking: RandomStream
    private var waiting = EventQueue<Conversation>()
    private var opened = 0

    /// Dialogues whose texts go to the tokenizer together, and the most bytes of text.
    private static var batchSize: Int { 256 }
    private static var batchBytes: Int { 1 << 22 }

    private struct Turn {
        let user: [Int32]
        let answer: [Int32]
        /// The answer's length where it has no ids.
        var answerTokens: Int
    }

    /// A conversation with a turn to come.
    private struct Conversation {
        let name: String?
        var turns: ArraySlice<Turn>
        var turn = 0
        var previousTurn: Int?
        /// The ids of the turns before, if ids are wanted, and their number in any case.
        var history: [Int32] = []
        var historyTokens = 0
        var thinkTime = SimDuration.zero
    }

    init(options: TraceImporter.Options, tokenizer: Tokenizer) {
        self.options = options
        self.tokenizer = tokenizer
        thinking = RandomStream(seed: options.seed, name: "think times")
    }

    mutating func run(_ path: String, _ format: ImportFormat, into sink: inout ImportSink) throws(TraceError) {
        sink.report.hasArrivals = false
        var file = try DialogueFile(
            path: path, format: format, maxBytes: options.maxLineBytes, defaultOutputTokens: options.outputTokens)
        var ready: ArraySlice<Prepared> = []
        var isAtEnd = false
        while !sink.isFull {
            if let next = waiting.nextTime, next <= sink.nextArrival, let conversation = waiting.popNext() {
                try serve(conversation.payload, &sink)
                continue
            }
            if ready.isEmpty, !isAtEnd {
                let dialogues = try batch(of: &file, isAtEnd: &isAtEnd)
                ready = try prepared(dialogues)[...]
            }
            if let next = ready.popFirst() {
                sink.report.rows += 1
                for (reason, count) in next.dropped { sink.report.drop(reason, count) }
                guard !next.turns.isEmpty else { continue }
                let name = options.turns == .all && format == .shareGPT ? "c\(opened)" : nil
                opened += 1
                try serve(Conversation(name: name, turns: next.turns[...]), &sink)
            } else if isAtEnd {
                guard let (_, conversation) = waiting.popNext() else { return }
                // Arrivals wait for the turns that are left.
                while sink.nextArrival < waiting.now {
                    try sink.drawArrival()
                    sink.report.idleInstants += 1
                }
                try serve(conversation, &sink)
            }
        }
        while let conversation = waiting.popNext() {
            sink.report.drop(.beyondLimit, conversation.payload.turns.count)
        }
    }

    private func batch(of file: inout DialogueFile, isAtEnd: inout Bool) throws(TraceError) -> [Dialogue] {
        var dialogues: [Dialogue] = []
        var bytes = 0
        while dialogues.count < Self.batchSize, bytes < Self.batchBytes {
            guard let dialogue = try file.next() else {
                isAtEnd = true
                break
            }
            bytes += dialogue.messages.reduce(0) { $0 + $1.text.utf8.count }
            dialogues.append(dialogue)
        }
        return dialogues
    }

    private mutating func serve(_ conversation: Conversation, _ sink: inout ImportSink) throws(TraceError) {
        var conversation = conversation
        guard let turn = conversation.turns.popFirst() else { return }
        let promptTokens = conversation.historyTokens + turn.user.count
        if let maxContext = options.maxContext, promptTokens + turn.answerTokens > maxContext {
            sink.report.drop(.tooLong)
            if !conversation.turns.isEmpty { sink.report.drop(.beyondLongTurn, conversation.turns.count) }
            return
        }
        var request = Request(
            id: "", arrival: sink.nextArrival, promptTokens: promptTokens, outputTokens: turn.answerTokens,
            conversation: conversation.name, turn: conversation.turn, previousTurn: conversation.previousTurn,
            thinkTime: conversation.thinkTime)
        if options.content == .ids {
            request.prompt = conversation.history.isEmpty ? turn.user : conversation.history + turn.user
            if !turn.answer.isEmpty { request.output = turn.answer }
        }
        conversation.previousTurn = sink.report.requests
        conversation.historyTokens = promptTokens + turn.answerTokens
        if options.content == .ids, !conversation.turns.isEmpty {
            conversation.history = (request.prompt ?? []) + turn.answer
        }
        conversation.turn += 1
        try sink.write(request)
        if !conversation.turns.isEmpty {
            let seconds = thinking.exponential(mean: options.meanThinkTime)
            conversation.thinkTime = SimDuration(seconds: seconds) ?? .zero
            waiting.schedule(conversation, at: sink.nextArrival + conversation.thinkTime)
        }
        try sink.drawArrival()
    }

    // MARK: Turns

    /// A dialogue's turns as tokens, and what of it is left out.
    private struct Prepared {
        var turns: [Turn] = []
        var dropped: [ImportReport.DropReason: Int] = [:]

        mutating func drop(_ reason: ImportReport.DropReason, _ count: Int = 1) { dropped[reason, default: 0] += count }
    }

    private mutating func prepared(_ dialogues: [Dialogue]) throws(TraceError) -> [Prepared] {
        var results = Array(repeating: Prepared(), count: dialogues.count)
        var pairs: [[(user: String, answer: String)]] = []
        for (index, dialogue) in dialogues.enumerated() {
            pairs.append(Self.pairs(of: dialogue, options.turns, &results[index]))
        }
        var ids = try tokenizer.tokens(of: pairs.flatMap { $0.flatMap { [$0.user, $0.answer] } })[...]
        for index in dialogues.indices {
            let length = dialogues[index].outputTokens
            var isBroken = false
            for _ in pairs[index] {
                let user = ids.popFirst() ?? []
                let answer = ids.popFirst() ?? []
                let count = length ?? answer.count
                if isBroken {
                    results[index].drop(.behindEmptyText)
                } else if count == 0 || user.isEmpty {
                    // A turn that is left out would be missing from the prompts of those behind it.
                    results[index].drop(count == 0 && length != nil ? .emptyOutput : .emptyText)
                    isBroken = true
                } else {
                    results[index].turns.append(Turn(user: user, answer: answer, answerTokens: count))
                }
            }
        }
        return results
    }

    /// The questions and answers of a dialogue. Messages of the user that follow each other are one.
    private static func pairs(
        of dialogue: Dialogue, _ turns: TraceImporter.Options.Turns, _ result: inout Prepared
    ) -> [(user: String, answer: String)] {
        if let flaw = dialogue.flaw {
            result.drop(flaw)
            return []
        }
        if dialogue.outputTokens != nil { return dialogue.messages.map { ($0.text, "") } }
        var pairs: [(user: String, answer: String)] = []
        var question: String?
        for message in dialogue.messages {
            switch message.role {
            case .user: question = (question ?? "") + message.text
            case .model:
                if let asked = question {
                    pairs.append((asked, message.text))
                    question = nil
                } else {
                    result.drop(.answerFirst)
                }
            }
        }
        if question != nil { result.drop(.unanswered) }
        guard !pairs.isEmpty else {
            result.drop(.noPair)
            return []
        }
        if turns == .first, pairs.count > 1 {
            result.drop(.laterTurn, pairs.count - 1)
            return [pairs[0]]
        }
        return pairs
    }
}
