/// Texts of two languages that nobody learns from: of the one that a base model was taught, and of the one that feedback
/// comes from. The loss on the first says what a model forgets, that on the second what it learns.
public struct HeldOutTexts: Sendable, Equatable {
    public var base: [[Int32]]
    public var shifted: [[Int32]]

    /// Tokens of each text.
    public static let length = 128

    public static let none = HeldOutTexts(base: [], shifted: [])

    public init(base: [[Int32]], shifted: [[Int32]]) {
        self.base = base
        self.shifted = shifted
    }

    /// - Parameters:
    ///   - tokens: of each language, as many as fill whole texts.
    ///   - shift: the share of contexts in which the second language differs.
    ///   - maxContext: the model's; texts are no longer.
    public init(vocabulary: Int, tokens: Int, shift: Double, maxContext: Int = length) {
        let length = min(Self.length, maxContext)
        let count = max(1, tokens / length)
        func texts(_ shift: Double) -> [[Int32]] {
            var parameters = SyntheticLanguage.Parameters(vocabulary: vocabulary)
            parameters.shift = shift
            let language = SyntheticLanguage(parameters)
            return (0..<count).map { number in
                var stream = RandomStream(seed: 0, name: "held-out text", member: number)
                var text: [Int32] = []
                let topic = language.topic(using: &stream)
                language.extend(&text, by: length, topic: topic, using: &stream)
                return text
            }
        }
        base = texts(0)
        shifted = texts(shift)
    }
}

/// Mean losses on held-out texts, in nats per token.
public struct HeldOutLoss: Sendable, Equatable {
    public var base: Double
    public var shifted: Double

    public init(base: Double, shifted: Double) {
        self.base = base
        self.shifted = shifted
    }
}

/// What the weights of one version have learned.
public struct EvaluationRecord: Sendable, Equatable {
    public var version: Int
    /// When they were made.
    public var time: SimTime
    /// Tokens that were learned from to make them.
    public var trainedTokens: Int
    public var loss: HeldOutLoss

    public init(version: Int, time: SimTime, trainedTokens: Int, loss: HeldOutLoss) {
        self.version = version
        self.time = time
        self.trainedTokens = trainedTokens
        self.loss = loss
    }
}
