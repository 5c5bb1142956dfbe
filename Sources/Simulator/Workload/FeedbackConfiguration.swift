/// The seeded model of feedback for requests whose trace says nothing.
public struct FeedbackConfiguration: Sendable, Equatable {
    /// Share of requests that get feedback.
    public var rate = 0.7
    /// Mean of the exponential delay between the end of an answer and its feedback.
    public var meanDelay = SimDuration.milliseconds(2_000)
    /// Answers of a group, the one served among them.
    public var groupSize = 4

    public init() {}

    /// The feedback of the request `id`: the same for every arm and any order of asking.
    ///
    /// - Parameters:
    ///   - kind: of pairs and groups, the other answers are made up.
    ///   - answerTokens: tokens of each of these, as many as the answer served has.
    public func feedback(
        for id: String, seed: UInt64, kind: Feedback.Kind = .sft, answerTokens: Int = 1
    ) -> Feedback? {
        var stream = RandomStream(seed: seed, name: "feedback/" + id)
        guard stream.uniform() < rate else { return nil }
        guard let delay = SimDuration(seconds: stream.exponential(mean: meanDelay.seconds)) else { return nil }
        let answer = Feedback.Answer(count: answerTokens)
        switch kind {
        case .sft: return Feedback(delay: delay)
        case .dpo:
            return Feedback(delay: delay, signal: .dpo(stream.uniform() < 0.5 ? .chosen(answer) : .rejected(answer)))
        case .group:
            let weights = Feedback.groupWeights(groupSize, using: &stream)
            return Feedback(
                delay: delay,
                signal: .group(
                    weight: weights[0],
                    others: weights.dropFirst().map { Feedback.Completion(answer: answer, weight: $0) }))
        }
    }
}

extension Feedback {
    /// Weights of a group of answers: random rewards relative to the group's mean and deviation, as in group-relative
    /// policy optimization (Shao et al., 2402.03300), to four decimals.
    static func groupWeights(_ count: Int, using stream: inout RandomStream) -> [Double] {
        let rewards = (0..<count).map { _ in stream.normal() }
        let mean = rewards.reduce(0, +) / Double(rewards.count)
        let variance = rewards.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(rewards.count)
        return rewards.map { reward in
            let weight = variance > 0 ? (reward - mean) / variance.squareRoot() : 0
            return (weight * 1e4).rounded() / 1e4
        }
    }
}
