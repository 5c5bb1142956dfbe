internal import Foundation

/// What a generated trace is like.
public struct TraceGeneratorOptions: Sendable, Equatable {
    /// Whether requests carry token ids or only counts.
    public enum Content: String, Sendable, CaseIterable {
        case ids, counts
    }

    public var requests = 60
    /// Mean number of turns of a conversation, geometric.
    public var meanTurns = 3.0
    /// Factor on ShareGPT's lengths.
    public var scale = 1.0
    /// Token-weighted share of prompts in what training sees: sum of prompts over sum of prompts + outputs - 1.
    /// `nil` leaves the lengths as they are drawn.
    public var targetPrefillShare: Double?
    /// Requests per second.
    public var rate = 3.0
    /// Mean time between an answer and the user's next turn.
    public var meanThinkTime = 2.0
    public var feedbackRate = 0.7
    /// Mean of the exponential delay of feedback.
    public var meanFeedbackDelay = 1.5
    /// Longest prompt and output together.
    public var maxContext = 1024
    public var vocabulary = 2048
    public var content = Content.ids
    public var seed: UInt64 = 0

    public init() {}
}

/// Why no trace can be made.
public enum TraceGeneratorError: Error, Sendable, Equatable, CustomStringConvertible {
    case unusable(option: String, found: String, expected: String)
    /// No scaling of the outputs gives the share that was asked for.
    case unreachableShare(asked: Double, lowest: Double, highest: Double)

    public var description: String {
        switch self {
        case .unusable(let option, let found, let expected): "\(option): found \(found), expected \(expected)"
        case .unreachableShare(let asked, let lowest, let highest):
            "target p: found \(asked), expected between \(lowest.formatted(decimals: 3)) and "
                + "\(highest.formatted(decimals: 3)), which is what outputs of any length give here"
        }
    }
}

/// Makes traces from a seed: conversations, lengths in ShareGPT's proportions, Poisson arrivals, feedback, and text of
/// the synthetic language.
///
/// Every kind of draw has a stream of its own: asking for another rate does not change the lengths.
public struct TraceGenerator: Sendable {
    /// A first user message of ShareGPT and its answer have 161 and 338 tokens on average (vLLM, arXiv 2309.06180,
    /// figure 11); the logarithmic spreads are this project's reading of its histogram.
    private static let userTokens = LengthModel(mean: 161, logSpread: 1.0)
    private static let answerTokens = LengthModel(mean: 338, logSpread: 0.7)

    public let options: TraceGeneratorOptions

    /// - Throws: `TraceGeneratorError.unusable` for an option out of range.
    public init(_ options: TraceGeneratorOptions) throws(TraceGeneratorError) {
        func require(_ holds: Bool, _ option: String, _ found: Any, _ expected: String) throws(TraceGeneratorError) {
            if !holds { throw .unusable(option: option, found: "\(found)", expected: expected) }
        }
        try require((1...100_000_000).contains(options.requests), "requests", options.requests, "1 to 100000000")
        try require((1...1000).contains(options.meanTurns), "turns", options.meanTurns, "a mean from 1 to 1000")
        try require(options.scale > 0 && options.scale <= 1000, "scale", options.scale, "above 0, up to 1000")
        try require(options.rate > 0 && options.rate <= 1e9, "rate", options.rate, "above 0, up to 1e9")
        try require((0...1e6).contains(options.meanThinkTime), "think time", options.meanThinkTime, "0 to 1e6 s")
        try require((0...1).contains(options.feedbackRate), "feedback rate", options.feedbackRate, "0 to 1")
        let delay = options.meanFeedbackDelay
        try require((0...1e6).contains(delay), "feedback delay", delay, "0 to 1e6 s")
        try require((8...100_000_000).contains(options.maxContext), "max context", options.maxContext, "8 or more")
        let vocabulary = options.vocabulary
        try require((2...Int(Int32.max)).contains(vocabulary), "vocabulary", vocabulary, "2 to 2147483647")
        if let share = options.targetPrefillShare {
            try require(share > 0 && share < 1, "target p", share, "between 0 and 1")
        }
        self.options = options
    }

    /// One request before its lengths are fixed.
    private struct Slot {
        var conversation: Int
        var turn: Int
        var arrival: Double
        var thinkTime: Double
        var user: Double
        var answer: Double
    }

    /// - Throws: `TraceGeneratorError.unreachableShare`.
    public func generate() throws(TraceGeneratorError) -> Trace {
        let slots = slots()
        let requests = assemble(slots, lengths: lengths(of: slots, answerScale: try answerScale(slots)))
        return Trace(source: "generated", requests: options.content == .ids ? withTokens(requests) : requests)
    }

    // MARK: Arrivals

    /// The first `requests` turns in order of arrival.
    private func slots() -> [Slot] {
        var starts = RandomStream(seed: options.seed, name: "generate/arrivals")
        var turns = RandomStream(seed: options.seed, name: "generate/turns")
        var thinks = RandomStream(seed: options.seed, name: "generate/think")
        var users = RandomStream(seed: options.seed, name: "generate/user")
        var answers = RandomStream(seed: options.seed, name: "generate/answer")
        var slots: [Slot] = []
        var start = 0.0
        var conversation = 0
        // Past this time no conversation can begin that still counts among the first `requests` turns.
        var horizon = Double.infinity
        while start <= horizon {
            var arrival = start
            var turn = 0
            repeat {
                let think = turn == 0 ? 0 : thinks.exponential(mean: options.meanThinkTime)
                arrival += think
                slots.append(
                    Slot(
                        conversation: conversation, turn: turn, arrival: arrival, thinkTime: think,
                        user: Self.userTokens.draw(&users) * options.scale,
                        answer: Self.answerTokens.draw(&answers) * options.scale))
                turn += 1
            } while turns.uniform() >= 1 / options.meanTurns
            conversation += 1
            start += starts.exponential(mean: options.meanTurns / options.rate)
            if slots.count >= options.requests, horizon == .infinity {
                horizon = slots.map(\.arrival).sorted()[options.requests - 1]
            }
        }
        slots.sort { ($0.arrival, $0.conversation, $0.turn) < ($1.arrival, $1.conversation, $1.turn) }
        return Array(slots.prefix(options.requests))
    }

    // MARK: Lengths

    private struct Lengths {
        var prompt: Int
        var output: Int
        /// The history would not have fitted: the turn begins a new conversation.
        var startsAnew: Bool
    }

    private func lengths(of slots: [Slot], answerScale: Double) -> [Lengths] {
        var history: [Int: Int] = [:]
        return slots.map { slot in
            let user = max(1, Int(slot.user.rounded()))
            let output = max(1, min(options.maxContext / 2, Int((slot.answer * answerScale).rounded())))
            var before = history[slot.conversation] ?? 0
            let startsAnew = before > 0 && before + user + output > options.maxContext
            if startsAnew { before = 0 }
            let prompt = before + min(user, options.maxContext - output - before)
            history[slot.conversation] = prompt + output
            return Lengths(prompt: prompt, output: output, startsAnew: startsAnew)
        }
    }

    private func share(_ lengths: [Lengths]) -> Double {
        let prompts = lengths.reduce(0) { $0 + $1.prompt }
        return Double(prompts) / Double(lengths.reduce(0) { $0 + $1.prompt + $1.output - 1 })
    }

    /// The factor on answers that gives the target share, by bisection on its logarithm: longer answers, smaller share.
    private func answerScale(_ slots: [Slot]) throws(TraceGeneratorError) -> Double {
        guard let target = options.targetPrefillShare else { return 1 }
        func share(_ scale: Double) -> Double { self.share(lengths(of: slots, answerScale: scale)) }
        var low = 1e-4
        var high = 1e4
        let highest = share(low)
        let lowest = share(high)
        guard target <= highest, target >= lowest else {
            throw .unreachableShare(asked: target, lowest: lowest, highest: highest)
        }
        for _ in 0..<60 {
            let middle = (low * high).squareRoot()
            if share(middle) > target { low = middle } else { high = middle }
        }
        return abs(share(low) - target) < abs(share(high) - target) ? low : high
    }

    // MARK: Requests

    private func assemble(_ slots: [Slot], lengths: [Lengths]) -> [Request] {
        var parts: [Int: Int] = [:]
        var last: [Int: Int] = [:]
        var requests: [Request] = []
        for (index, (slot, length)) in zip(slots, lengths).enumerated() {
            if length.startsAnew {
                parts[slot.conversation, default: 0] += 1
                last[slot.conversation] = nil
            }
            let part = parts[slot.conversation] ?? 0
            let previous = last[slot.conversation]
            let id = "r\(index)"
            requests.append(
                Request(
                    id: id, arrival: SimTime(nanoseconds: Int64(slot.arrival * 1e6) * 1000),
                    promptTokens: length.prompt, outputTokens: length.output,
                    conversation: "c\(slot.conversation)" + (part > 0 ? ".\(part)" : ""),
                    turn: previous.map { requests[$0].turn + 1 } ?? 0, previousTurn: previous,
                    thinkTime: SimDuration(nanoseconds: previous == nil ? 0 : Int64(slot.thinkTime * 1e6) * 1000),
                    feedback: feedback(for: id)))
            last[slot.conversation] = index
        }
        return requests
    }

    private func feedback(for id: String) -> FeedbackEntry {
        var stream = RandomStream(seed: options.seed, name: "generate/feedback/" + id)
        guard stream.uniform() < options.feedbackRate else { return .none }
        let delay = stream.exponential(mean: options.meanFeedbackDelay)
        return .given(Feedback(delay: SimDuration(nanoseconds: Int64(delay * 1e6) * 1000), kind: .sft))
    }

    private func withTokens(_ requests: [Request]) -> [Request] {
        let source = TokenSource(
            trace: Trace(source: "generated", requests: requests), vocabulary: options.vocabulary, seed: options.seed)
        return requests.enumerated().map { index, request in
            var request = request
            request.prompt = source.prompt(of: index)
            request.output = source.output(of: index)
            return request
        }
    }
}

/// A lognormal distribution of lengths.
struct LengthModel: Sendable {
    /// Mean in tokens.
    let mean: Double
    /// Standard deviation of the logarithm.
    let logSpread: Double

    func draw(_ stream: inout RandomStream) -> Double {
        // Box and Muller's transform; 1 - u keeps the logarithm finite.
        let radius = (-2 * log(1 - stream.uniform())).squareRoot()
        let normal = radius * cos(2 * .pi * stream.uniform())
        return mean * exp(logSpread * normal - logSpread * logSpread / 2)
    }
}
