/// The seeded model of feedback for requests whose trace says nothing.
public struct FeedbackConfiguration: Sendable, Equatable {
    /// Share of requests that get feedback.
    public var rate = 0.7
    /// Mean of the exponential delay between the end of an answer and its feedback.
    public var meanDelay = SimDuration.milliseconds(2_000)

    public init() {}

    /// The feedback of the request `id`: the same for every arm and any order of asking.
    public func feedback(for id: String, seed: UInt64) -> Feedback? {
        var stream = RandomStream(seed: seed, name: "feedback/" + id)
        guard stream.uniform() < rate else { return nil }
        return SimDuration(seconds: stream.exponential(mean: meanDelay.seconds)).map { Feedback(delay: $0) }
    }
}
