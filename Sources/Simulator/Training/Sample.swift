/// A finished request whose feedback has come: something to learn from.
public struct Sample: Sendable {
    public var request: Int
    public var promptTokens: Int
    /// Tokens of the response to learn.
    public var responseTokens: Int
    /// Whether the response is the user's edit and not the one served.
    public var edited: Bool
    /// What is recorded of it, in ascending order.
    public var record: [RecordReference]
    public var ready: SimTime

    public init(
        request: Int, promptTokens: Int, responseTokens: Int, edited: Bool, record: [RecordReference], ready: SimTime
    ) {
        self.request = request
        self.promptTokens = promptTokens
        self.responseTokens = responseTokens
        self.edited = edited
        self.record = record
        self.ready = ready
    }

    /// Tokens that go into the model: the last one of the response is only a target.
    public var tokens: Int { promptTokens + responseTokens - 1 }

    /// Positions whose next token carries loss.
    public func lossTokens(_ kind: TrainingConfiguration.LossTokens) -> Range<Int> {
        switch kind {
        case .completion: promptTokens - 1..<tokens
        case .all: 0..<tokens
        }
    }

    /// Fills micro-batches with samples in order, each up to `limit` tokens; a longer sample is alone.
    public static func pack(_ samples: [Sample], limit: Int) -> [[Sample]] {
        var batches: [[Sample]] = []
        var filled = 0
        for sample in samples {
            if let last = batches.indices.last, filled + sample.tokens <= limit {
                batches[last].append(sample)
                filled += sample.tokens
            } else {
                batches.append([sample])
                filled = sample.tokens
            }
        }
        return batches
    }
}
