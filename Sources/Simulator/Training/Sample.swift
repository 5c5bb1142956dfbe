/// A finished request whose feedback has come: something to learn from.
public struct Sample: Sendable {
    /// An answer to the request's prompt that is learned from, or against.
    public struct Answer: Sendable, Equatable {
        /// 0 for the one served; from 1 the others, in the order in which the feedback has them.
        public var number: Int
        public var tokens: Int
        /// What the log-probability of its tokens is weighted by in a group; of a pair, 1 for the chosen answer and -1 for
        /// the rejected one.
        public var weight: Double

        public init(number: Int, tokens: Int, weight: Double = 1) {
            self.number = number
            self.tokens = tokens
            self.weight = weight
        }
    }

    /// Index in the trace.
    public var request: Int
    public var promptTokens: Int
    public var objective: Feedback.Kind
    /// At least one.
    public var answers: [Answer]
    /// Whether the prompt runs once for all of several answers.
    public var sharesPrompt: Bool
    /// What is recorded of it, in ascending order.
    public var record: [RecordReference]
    public var ready: SimTime

    /// - Precondition: at least one answer.
    public init(
        request: Int, promptTokens: Int, objective: Feedback.Kind, answers: [Answer], sharesPrompt: Bool = false,
        record: [RecordReference], ready: SimTime
    ) {
        precondition(!answers.isEmpty, "a sample has an answer")
        self.request = request
        self.promptTokens = promptTokens
        self.objective = objective
        self.answers = answers
        // A prompt of one token has nothing to share: that token's target is each answer's own.
        self.sharesPrompt = sharesPrompt && answers.count > 1 && promptTokens > 1
        self.record = record
        self.ready = ready
    }

    /// A sample of one answer to be imitated: the one served, or the user's edit of it.
    public init(
        request: Int, promptTokens: Int, responseTokens: Int, edited: Bool, record: [RecordReference], ready: SimTime
    ) {
        self.init(
            request: request, promptTokens: promptTokens, objective: .sft,
            answers: [Answer(number: edited ? 1 : 0, tokens: responseTokens)], record: record, ready: ready)
    }

    /// Tokens of all answers, each with the prompt before it. The last one of an answer is only a target and not counted.
    public var tokens: Int { answers.reduce(0) { $0 + promptTokens + $1.tokens - 1 } }
    /// Prompt tokens that do not run again for a further answer.
    public var sharedTokens: Int { sharesPrompt ? (answers.count - 1) * (promptTokens - 1) : 0 }
    /// Tokens that go through the model.
    public var rows: Int { tokens - sharedTokens }

    /// Positions of prompt and answer whose next token carries loss. Pairs and groups learn from answers alone.
    public func lossTokens(_ kind: TrainingConfiguration.LossTokens, of answer: Int = 0) -> Range<Int> {
        let end = promptTokens + answers[answer].tokens - 1
        return kind == .all && objective == .sft ? 0..<end : promptTokens - 1..<end
    }

    /// Tokens that carry loss, of all answers.
    public func lossCount(_ kind: TrainingConfiguration.LossTokens) -> Int {
        answers.indices.reduce(0) { $0 + lossTokens(kind, of: $1).count }
    }

    /// How many of `samples`, from the first on, go through together in up to `limit` rows: one at least, however long. The
    /// answers of a sample stay together.
    public static func count(of samples: some Collection<Sample>, within limit: Int) -> Int {
        var rows = 0
        let fitting = samples.prefix { sample in
            rows += sample.rows
            return rows <= limit
        }
        return min(samples.count, max(1, fitting.count))
    }
}
