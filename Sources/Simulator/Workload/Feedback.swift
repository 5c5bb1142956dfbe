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
        /// Supervised fine-tuning on one answer.
        case sft
        /// Direct preference optimization on a pair of answers.
        case dpo
        /// A policy gradient over a group of answers with weights.
        case group
    }

    /// An answer beside the one that was served.
    public struct Answer: Sendable, Equatable {
        /// At least 1.
        public let count: Int
        /// The token ids, if the trace gives them (`count` of them).
        public let ids: [Int32]?

        public init(count: Int) { (self.count, ids) = (count, nil) }
        /// - Precondition: at least one id.
        public init(ids: [Int32]) {
            precondition(!ids.isEmpty, "an answer has a token")
            (count, self.ids) = (ids.count, ids)
        }
    }

    /// The other answer of a pair.
    public enum Alternative: Sendable, Equatable {
        /// The user would rather have had this one: the served answer is the rejected one.
        case chosen(Answer)
        /// The user was glad not to get this one: the served answer is the chosen one.
        case rejected(Answer)

        public var answer: Answer {
            switch self {
            case .chosen(let answer), .rejected(let answer): answer
            }
        }
    }

    /// One more answer to the same prompt, and what its log-probability is weighted by (its advantage).
    public struct Completion: Sendable, Equatable {
        public var answer: Answer
        public var weight: Double

        public init(answer: Answer, weight: Double) {
            self.answer = answer
            self.weight = weight
        }
    }

    /// What is to be learned.
    public enum Signal: Sendable, Equatable {
        /// The answer served, or the edited one.
        case sft(edited: [Int32]? = nil)
        case dpo(Alternative)
        /// The weight of the answer served, and the other answers of its group, at least one.
        case group(weight: Double, others: [Completion])
    }

    /// From the end of the answer to the feedback's arrival.
    public var delay: SimDuration
    public var signal: Signal

    public init(delay: SimDuration, signal: Signal = .sft()) {
        self.delay = delay
        self.signal = signal
    }

    public var kind: Kind {
        switch signal {
        case .sft: .sft
        case .dpo: .dpo
        case .group: .group
        }
    }

    /// The edited response to learn instead of the one served, of supervised fine-tuning.
    public var tokens: [Int32]? {
        if case .sft(let edited) = signal { edited } else { nil }
    }

    /// The answers beside the one served, an edited one among them.
    public var otherAnswers: [Answer] {
        switch signal {
        case .sft(let edited): edited.map { [Answer(ids: $0)] } ?? []
        case .dpo(let alternative): [alternative.answer]
        case .group(_, let others): others.map(\.answer)
        }
    }
}
