public import Simulator

/// What a planner of records has to know of the requests: a typical sample, and how many recorded tokens there are.
public struct PlannedWorkload: Sendable, Equatable {
    public var promptTokens: Int
    public var responseTokens: Int
    /// Of the typical sample's tokens, from the first one on.
    public var recordedTokens: Int
    /// Recorded tokens that serving makes in a second; nil where that is unknown and the link to the host is taken to keep
    /// up.
    public var recordedTokensPerSecond: Double?
    /// Recorded tokens that exist at the same time, waiting for feedback, for a step, and in a step.
    public var heldTokens: Double

    /// A sample of `tokens` tokens, the share `p` of them recorded, and the records of one step held at a time.
    ///
    /// - Precondition: at least two tokens; `p` above zero and below 1.
    public init(tokens: Int, p: Double, updateEvery: Int) {
        precondition(tokens >= 2 && p > 0 && p < 1, "a sample has a prompt and an answer")
        recordedTokens = min(tokens - 1, max(1, Int((p * Double(tokens)).rounded())))
        promptTokens = recordedTokens
        responseTokens = tokens + 1 - promptTokens
        heldTokens = Double(recordedTokens * updateEvery)
    }

    /// The mean sample of a trace under an arm's settings; nil if no request gets feedback.
    ///
    /// Held tokens follow from Little's law: those of requests with feedback stay for its delay and, on average, for half
    /// the time in which a step's samples come in; the others until `recording.keep_for` is over; and a step in training
    /// holds its own. Time in service is not counted.
    public init?(of trace: Trace, _ arm: ArmConfiguration) {
        var samples = 0
        var (prompt, response, delay) = (0.0, 0.0, 0.0)
        for request in trace.requests {
            let given: Feedback? =
                switch request.feedback {
                case .given(let feedback): feedback
                case .unstated: arm.feedback.feedback(for: request.id, seed: arm.seed)
                case .none: nil
                }
            guard let given else { continue }
            samples += 1
            prompt += Double(request.promptTokens)
            response += Double(given.tokens?.count ?? request.outputTokens)
            delay += given.delay.seconds
        }
        guard samples > 0, let first = trace.requests.first, let last = trace.requests.last else { return nil }
        promptTokens = max(1, Int((prompt / Double(samples)).rounded()))
        responseTokens = max(1, Int((response / Double(samples)).rounded()))
        let total = promptTokens + responseTokens - 1
        recordedTokens = arm.recording.scope == .all ? total : min(promptTokens, total)

        let seconds = (last.arrival - first.arrival).seconds
        let update = Double(arm.training.updateEvery * recordedTokens)
        guard seconds > 0, trace.requests.count > 1 else {
            heldTokens = Double(trace.requests.count * recordedTokens)
            return
        }
        let requests = Double(trace.requests.count)
        let rate = (requests - 1) / seconds * arm.recording.selection.share(feedback: Double(samples) / requests)
        let share = Double(samples) / requests
        let collecting = Double(arm.training.updateEvery) / 2 / max(rate * share, .leastNormalMagnitude)
        recordedTokensPerSecond = rate * Double(recordedTokens)
        let waiting =
            share * (delay / Double(samples) + min(collecting, seconds))
            + (1 - share) * arm.recording.keepFor.seconds
        heldTokens = min(rate * waiting * Double(recordedTokens) + update, requests * Double(recordedTokens))
    }

    /// Tokens of the sample that go in.
    public var tokens: Int { promptTokens + responseTokens - 1 }
}

extension RecordSelection {
    /// Share of all requests that are recorded, when the share `feedback` of them gets feedback.
    fileprivate func share(feedback: Double) -> Double {
        switch self {
        case .all: 1
        case .fraction(let share): share
        case .expectedFeedback(let recall, let precision):
            precision > 0 ? min(1, recall * feedback / precision) : 1
        }
    }
}
