public import Simulator

/// What a planner of records has to know of the requests: a typical sample, and how many recorded tokens there are.
public struct PlannedWorkload: Sendable, Equatable {
    public var promptTokens: Int
    /// Of the longest answer that is learned from.
    public var responseTokens: Int
    /// What is learned.
    public var objective: Feedback.Kind
    /// Answers that are learned from, those of a typical sample, all of `responseTokens` tokens.
    public var answers: Int
    /// Of the typical sample's tokens, from the first one on.
    public var recordedTokens: Int
    /// Recorded tokens that serving makes in a second; nil where that is unknown and the link to the host is taken to keep
    /// up.
    public var recordedTokensPerSecond: Double?
    /// Recorded tokens that exist at the same time, waiting for feedback, for a step, and in a step.
    public var heldTokens: Double

    /// A sample of `tokens` tokens, the share `p` of them recorded, and the records of one step held at a time. Of pairs and
    /// groups these are the tokens of one answer with its prompt.
    ///
    /// - Precondition: at least two tokens; `p` above zero and below 1; an answer, of pairs two.
    public init(tokens: Int, p: Double, updateEvery: Int, objective: Feedback.Kind = .sft, answers: Int = 1) {
        precondition(tokens >= 2 && p > 0 && p < 1, "a sample has a prompt and an answer")
        precondition(answers > 0 && (objective != .dpo || answers == 2), "a pair has two answers")
        self.objective = objective
        self.answers = answers
        recordedTokens = min(tokens - 1, max(1, Int((p * Double(tokens)).rounded())))
        promptTokens = recordedTokens
        responseTokens = tokens + 1 - promptTokens
        heldTokens = Double(recordedTokens * updateEvery)
    }

    /// The mean sample of a trace under an arm's settings; nil if no request gets feedback that it learns from. Where these
    /// are of several objectives, samples of the most frequent one are planned for.
    ///
    /// Held tokens follow from Little's law: those of requests with feedback stay for its delay and, on average, for half
    /// the time in which a step's samples come in; the others until `recording.keep_for` is over; and a step in training
    /// holds its own. Time in service is not counted.
    public init?(of trace: Trace, _ arm: ArmConfiguration) {
        var lessons: [Feedback.Kind: Lessons] = [:]
        var samples = 0
        var delay = 0.0
        for request in trace.requests {
            guard let lesson = arm.lesson(of: request) else { continue }
            samples += 1
            delay += lesson.delay.seconds
            lessons[lesson.sample.objective, default: Lessons()].add(lesson.sample)
        }
        // The first of equally frequent ones.
        let kinds = Feedback.Kind.allCases
        guard let kind = kinds.max(by: { (lessons[$0]?.count ?? 0) < (lessons[$1]?.count ?? 0) }),
            let mean = lessons[kind], let first = trace.requests.first, let last = trace.requests.last
        else { return nil }
        objective = kind
        answers = kind == .group ? mean.rounded(mean.answers) : kind == .dpo ? 2 : 1
        promptTokens = mean.rounded(mean.prompt)
        responseTokens = max(1, Int((mean.response / max(1, mean.answers)).rounded()))
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

    /// Tokens of one answer with its prompt that go in.
    public var tokens: Int { promptTokens + responseTokens - 1 }

    /// Sums over samples of one objective.
    private struct Lessons {
        var count = 0
        var prompt = 0.0
        var answers = 0.0
        /// Tokens of all answers.
        var response = 0.0

        mutating func add(_ sample: Sample) {
            count += 1
            prompt += Double(sample.promptTokens)
            answers += Double(sample.answers.count)
            response += Double(sample.answers.reduce(0) { $0 + $1.tokens })
        }

        /// The mean of a sum, at least one.
        func rounded(_ sum: Double) -> Int { max(1, Int((sum / Double(count)).rounded())) }
    }

    /// The typical sample, as request `index`. One of its answers is the one served.
    func sample(_ index: Int, _ arm: ArmConfiguration) -> Sample {
        let answers = (0..<answers).map { number in
            Sample.Answer(
                number: number, tokens: responseTokens, weight: number > 0 && objective != .sft ? -1 : 1)
        }
        return Sample(
            request: index, promptTokens: promptTokens, objective: objective, answers: answers,
            sharesPrompt: arm.training.sharedPrompts, record: [], ready: .zero)
    }
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
