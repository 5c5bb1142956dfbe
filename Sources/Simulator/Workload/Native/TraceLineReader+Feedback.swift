/// The fields of a `feedback` object as they were found, before they are held against its kind.
struct FeedbackDraft {
    var delay: SimDuration?
    var kind: Feedback.Kind?
    var tokens: [Int32]?
    var chosen = TraceRecord.Tokens()
    var rejected = TraceRecord.Tokens()
    var weight: Double?
    var completions: [Feedback.Completion] = []
    /// The fields of the completion being read.
    var completion = TraceRecord.Tokens()
    var completionWeight: Double?
}

extension TraceLineReader {
    mutating func readFeedback() throws(JSONError) {
        if json.null() {
            record.feedback = .none
            return
        }
        guard json.enterObject() else { return try refuse(.feedback, "an object or `null`") }
        let before = record.problems.count
        feedback = FeedbackDraft()
        let seen = try readMembers(of: .feedback)
        if !seen.contains(.feedbackDelay) { record.miss(.feedbackDelay, TraceField.secondsRule) }
        feedback.chosen = settled(feedback.chosen, count: .feedbackChosenTokens, ids: .feedbackChosen)
        feedback.rejected = settled(feedback.rejected, count: .feedbackRejectedTokens, ids: .feedbackRejected)
        let kind = feedback.kind ?? .sft
        refuseForeignFields(seen, of: kind)
        let signal = signal(of: kind, seen)
        guard record.problems.count == before, let signal, let delay = feedback.delay else { return }
        record.feedback = .given(Feedback(delay: delay, signal: signal))
    }

    mutating func readFeedback(_ field: TraceField) throws(JSONError) {
        switch field {
        case .feedbackDelay: feedback.delay = try nanoseconds(field).map { SimDuration(nanoseconds: $0) }
        case .feedbackKind: feedback.kind = try kind(field)
        case .feedbackTokens: feedback.tokens = try tokenIDs(field)
        case .feedbackChosen: feedback.chosen.ids = try tokenIDs(field)
        case .feedbackChosenTokens: feedback.chosen.count = try integer(field, from: 1, TraceField.countRule)
        case .feedbackRejected: feedback.rejected.ids = try tokenIDs(field)
        case .feedbackRejectedTokens: feedback.rejected.count = try integer(field, from: 1, TraceField.countRule)
        case .feedbackWeight: feedback.weight = try weight(field)
        case .feedbackCompletions: try readCompletions()
        case .completionOutput: feedback.completion.ids = try tokenIDs(field)
        case .completionOutputTokens: feedback.completion.count = try integer(field, from: 1, TraceField.countRule)
        case .completionWeight: feedback.completionWeight = try weight(field)
        default: break
        }
    }

    private mutating func readCompletions() throws(JSONError) {
        guard json.enterArray() else { return try refuse(.feedbackCompletions, "an array of completions") }
        while try json.nextElement() {
            guard json.enterObject() else {
                try refuse(.feedbackCompletions, "completions as objects")
                continue
            }
            (feedback.completion, feedback.completionWeight) = (TraceRecord.Tokens(), nil)
            let seen = try readMembers(of: .completion)
            if !seen.contains(.completionWeight) { record.miss(.completionWeight, TraceField.weightRule) }
            if !seen.contains(.completionOutput), !seen.contains(.completionOutputTokens) {
                record.miss(.completionOutputTokens, TraceField.countRule + ", or token ids in `output`")
            }
            let tokens = settled(feedback.completion, count: .completionOutputTokens, ids: .completionOutput)
            if let answer = tokens.answer, let weight = feedback.completionWeight {
                feedback.completions.append(Feedback.Completion(answer: answer, weight: weight))
            }
        }
    }

    /// Reports the fields that have no meaning for this kind of feedback.
    private mutating func refuseForeignFields(_ seen: TraceFieldSet, of kind: Feedback.Kind) {
        let owners: [(TraceField, Feedback.Kind)] = [
            (.feedbackTokens, .sft), (.feedbackChosen, .dpo), (.feedbackChosenTokens, .dpo),
            (.feedbackRejected, .dpo), (.feedbackRejectedTokens, .dpo), (.feedbackWeight, .group),
            (.feedbackCompletions, .group),
        ]
        for (field, owner) in owners where seen.contains(field) && owner != kind {
            record.report(
                field, found: "it in feedback of kind `\"\(kind.rawValue)\"`",
                expected: "it with kind `\"\(owner.rawValue)\"` only")
        }
    }

    private mutating func signal(of kind: Feedback.Kind, _ seen: TraceFieldSet) -> Feedback.Signal? {
        switch kind {
        case .sft: return .sft(edited: feedback.tokens)
        case .dpo:
            let hasChosen = seen.contains(.feedbackChosen) || seen.contains(.feedbackChosenTokens)
            let hasRejected = seen.contains(.feedbackRejected) || seen.contains(.feedbackRejectedTokens)
            guard hasChosen != hasRejected else {
                record.report(
                    .feedbackRejected, found: hasChosen ? "it beside `chosen`" : "neither it nor `chosen`",
                    expected: "one of the two: the answer served is the other of the pair")
                return nil
            }
            return hasChosen
                ? feedback.chosen.answer.map { .dpo(.chosen($0)) } : feedback.rejected.answer.map { .dpo(.rejected($0)) }
        case .group:
            if !seen.contains(.feedbackWeight) { record.miss(.feedbackWeight, TraceField.weightRule) }
            let rule = "at least one completion beside the answer served"
            if !seen.contains(.feedbackCompletions) {
                record.miss(.feedbackCompletions, rule)
            } else if feedback.completions.isEmpty {
                record.report(.feedbackCompletions, found: "none", expected: rule)
            }
            return feedback.weight.map { .group(weight: $0, others: feedback.completions) }
        }
    }
}

extension TraceRecord.Tokens {
    /// The answer these tokens are, if their number is known.
    fileprivate var answer: Feedback.Answer? {
        if let ids { Feedback.Answer(ids: ids) } else { count.map { Feedback.Answer(count: $0) } }
    }
}
