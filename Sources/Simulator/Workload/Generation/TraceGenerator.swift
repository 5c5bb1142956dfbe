internal import Glibc

/// Generates traces of conversations.
///
/// The instants of arrival come from the arrival model alone. Each is given to the conversation that has been ready
/// for its next turn longest (the turn before arrived, and the think time passed since), or else opens a new one.
/// So the arrivals keep their distribution whatever the conversations do; how many run side by side follows from the
/// rate and the think times. Conversations still open at the end stay incomplete, as in any log.
public struct TraceGenerator: Sendable {
    public let options: TraceGeneratorOptions

    /// How near, relatively, the prefill share comes to its target.
    private static let shareTolerance = 0.01
    /// User texts become at most this much longer, and answers shorter, to meet it, or the reverse.
    private static let maxBalance = 64.0

    public init(_ options: TraceGeneratorOptions) throws(TraceGeneratorError) {
        try options.validate()
        self.options = options
    }

    public func generate() throws(TraceGeneratorError) -> Trace {
        let arrivals = try arrivals()
        let requests = try balanced(arrivals, options.isStratified ? strata() : nil)
        var trace = Trace(source: "generated with seed \(options.seed)", requests: requests)
        let texts = options.content == .ids ? GeneratedTexts(trace, options) : nil
        addFeedback(to: &trace.requests, texts)
        texts?.addIDs(to: &trace)
        return trace
    }

    /// The beginnings of conversations, spread evenly.
    private func strata() -> StratifiedScores {
        let correlation = if case .fitted(let fit) = options.lengths { fit.correlation } else { 0.0 }
        let expected = max(1, min(options.requests, Int(Double(options.requests) / options.meanTurns)))
        return StratifiedScores(
            count: options.requests, expected: expected, correlation: correlation, seed: options.seed)
    }

    /// The instants of arrival. Gamma's gaps have their variation and their mean in the trace itself: the one by bisection
    /// over the model's, the other by a factor.
    private func arrivals() throws(TraceGeneratorError) -> [SimTime] {
        guard case .gamma(let rate, let target) = options.arrivals, options.requests > 2 else {
            return arrivals(options.arrivals)
        }
        var (low, high) = (target / 8, target * 8)
        var best: (times: [SimTime], error: Double) = ([], .infinity)
        for _ in 0..<30 {
            let middle = (low * high).squareRoot()
            let drawn = arrivals(.gamma(rate: rate, variation: middle))
            let times = Self.scaled(drawn, to: rate)
            // All at one instant, but for the first: more than so few gaps can show.
            guard let variation = TraceSummary.gapVariation(of: times) else {
                high = middle
                continue
            }
            let error = abs(variation - target) / target
            if error < best.error { best = (times, error) }
            if error < 1e-3 { break }
            if variation < target { low = middle } else { high = middle }
        }
        guard best.error <= 0.03 else {
            throw .unreachableVariation(
                target: target, requests: options.requests,
                nearest: TraceSummary.gapVariation(of: best.times) ?? 0)
        }
        return best.times
    }

    /// The same instants at another pace: of their gaps, as many a second as `rate` on average.
    private static func scaled(_ times: [SimTime], to rate: Double) -> [SimTime] {
        guard let first = times.first, let last = times.last, last > first else { return times }
        let factor = Double(times.count - 1) / rate / (last - first).seconds
        return times.map { SimTime(nanoseconds: Int64((Double($0.nanoseconds) * factor).rounded())) }
    }

    private func arrivals(_ model: ArrivalModel) -> [SimTime] {
        var process = ArrivalProcess(model, seed: options.seed)
        var time = SimTime.zero
        return (0..<options.requests).map { _ in
            time = time + duration(process.nextGap())
            return time
        }
    }

    private func addFeedback(to requests: inout [Request], _ texts: GeneratedTexts?) {
        guard let model = options.feedback else { return }
        for index in requests.indices {
            var stream = RandomStream(seed: options.seed, name: "feedback", member: index)
            let isGiven = stream.uniform() < model.rate
            let delay = duration(stream.exponential(mean: model.meanDelay))
            guard isGiven else {
                requests[index].feedback = .none
                continue
            }
            var answers = RandomStream(seed: options.seed, name: "feedback answers", member: index)
            let signal = signal(model, index, requests[index], texts, &answers)
            requests[index].feedback = .given(Feedback(delay: delay, signal: signal))
        }
    }

    private func signal(
        _ model: TraceGeneratorOptions.FeedbackModel, _ index: Int, _ request: Request, _ texts: GeneratedTexts?,
        _ stream: inout RandomStream
    ) -> Feedback.Signal {
        /// Another answer to the same prompt, as long as answers are.
        func answer(_ number: Int) -> Feedback.Answer {
            let drawn = options.lengths.draw(
                isFirst: request.turn == 0, traits: ConversationTraits(), userFactor: options.scale,
                answerFactor: options.scale, using: &stream)
            let count = max(1, min(drawn.answer, options.maxContext - request.promptTokens))
            return texts.map { Feedback.Answer(ids: $0.alternative(to: index, number: number, count: count)) }
                ?? Feedback.Answer(count: count)
        }
        switch model.kind {
        case .sft:
            guard stream.uniform() < model.editedShare else { return .sft() }
            return .sft(edited: answer(0).ids)
        case .dpo:
            return .dpo(stream.uniform() < 0.5 ? .chosen(answer(0)) : .rejected(answer(0)))
        case .group:
            let others = (1..<model.groupSize).map { answer($0) }
            let weights = Feedback.groupWeights(model.groupSize, using: &stream)
            return .group(
                weight: weights[0],
                others: zip(others, weights.dropFirst()).map { Feedback.Completion(answer: $0, weight: $1) })
        }
    }

    /// Nothing drawn comes near the longest duration; should it, it is cut there.
    private func duration(_ seconds: Double) -> SimDuration {
        SimDuration(seconds: seconds) ?? SimDuration(nanoseconds: TraceLimits.maxNanoseconds)
    }
}

// MARK: - The balance between prompts and answers

extension TraceGenerator {
    /// The requests whose prefill share meets the target. The share grows with the balance but for small steps, where
    /// a conversation gains or loses a turn to the context's limit; bisection needs no more.
    private func balanced(
        _ arrivals: [SimTime], _ strata: StratifiedScores?
    ) throws(TraceGeneratorError) -> [Request] {
        guard let target = options.targetPrefillShare else { return requests(arrivals, strata, balance: 1) }
        var low = -log(Self.maxBalance)
        var high = log(Self.maxBalance)
        var best: (requests: [Request], error: Double) = ([], .infinity)
        var seen = (least: Double.infinity, most: -Double.infinity)
        for _ in 0..<40 {
            let middle = (low + high) / 2
            let requests = requests(arrivals, strata, balance: exp(middle))
            let share = TraceSummary.prefillShare(of: requests)
            let error = abs(share - target) / target
            seen = (min(seen.least, share), max(seen.most, share))
            if error < best.error { best = (requests, error) }
            if error < Self.shareTolerance / 20 { break }
            if share < target { low = middle } else { high = middle }
        }
        guard best.error <= Self.shareTolerance else {
            throw .unreachableShare(target: target, reachable: seen.least...seen.most)
        }
        return best.requests
    }

    /// A conversation that waits for its next turn.
    private struct Conversation {
        let index: Int
        /// The turns it wants; the context's limit may end it before.
        let turns: Int
        var lengths: RandomStream
        let traits: ConversationTraits
        /// The beginning it shares with others, if any.
        var prefix: Int?
        var thinking: RandomStream
        /// Of the turn to come.
        var turn = 0
        var previousTurn: Int?
        var history = 0
        var user = 0
        var answer = 0
        var thinkTime = SimDuration.zero
    }

    private func requests(_ arrivals: [SimTime], _ strata: StratifiedScores?, balance: Double) -> [Request] {
        var waiting = EventQueue<Conversation>()
        var opened = 0
        var result: [Request] = []
        result.reserveCapacity(arrivals.count)
        for arrival in arrivals {
            var conversation: Conversation
            if let ready = waiting.nextTime, ready <= arrival, let next = waiting.popNext() {
                conversation = next.payload
            } else {
                conversation = open(opened, strata?[opened], balance: balance)
                opened += 1
            }
            let prompt = conversation.history + conversation.user
            result.append(
                Request(
                    id: "r\(result.count)", arrival: arrival, promptTokens: prompt,
                    outputTokens: conversation.answer,
                    prefix: conversation.turn > 0
                        ? nil
                        : conversation.prefix.map { PromptPrefix(blockTokens: conversation.history, blocks: [$0]) },
                    conversation: options.meanTurns > 1 ? "c\(conversation.index)" : nil, turn: conversation.turn,
                    previousTurn: conversation.previousTurn, thinkTime: conversation.thinkTime))
            conversation.history = prompt + conversation.answer
            conversation.previousTurn = result.count - 1
            if advance(&conversation, balance: balance) {
                waiting.schedule(conversation, at: arrival + conversation.thinkTime)
            }
        }
        return result
    }

    private func open(_ index: Int, _ scores: StratifiedScores.Member?, balance: Double) -> Conversation {
        var turns = RandomStream(seed: options.seed, name: "turns", member: index)
        var traits = RandomStream(seed: options.seed, name: "traits", member: index)
        var conversation = Conversation(
            index: index, turns: turns.geometric(mean: options.meanTurns, share: scores?.turns),
            lengths: RandomStream(seed: options.seed, name: "lengths", member: index),
            traits: scores?.traits ?? ConversationTraits(user: traits.normal(), answer: traits.normal()),
            thinking: RandomStream(seed: options.seed, name: "think times", member: index))
        drawLengths(of: &conversation, scores, balance: balance)
        if let shared = options.sharedPrefix {
            var groups = RandomStream(seed: options.seed, name: "prefix groups", member: index)
            conversation.prefix = Self.rank(of: groups.uniform(), among: shared.groups)
            conversation.history = shared.tokens
        }
        let total = conversation.user + conversation.answer
        let room = options.maxContext - conversation.history
        if total > room {
            conversation.user = max(1, conversation.user * room / total)
            conversation.answer = max(1, conversation.answer * room / total)
        }
        return conversation
    }

    /// From 0, of rank r with weight 1 / (r + 1).
    private static func rank(of uniform: Double, among count: Int) -> Int {
        let sum = (1...count).reduce(0.0) { $0 + 1 / Double($1) }
        var bound = 0.0
        return (0..<count).first { rank in
            bound += 1 / Double(rank + 1) / sum
            return uniform < bound
        } ?? count - 1
    }

    /// Goes on to the next turn; false if there is none.
    private func advance(_ conversation: inout Conversation, balance: Double) -> Bool {
        conversation.turn += 1
        guard conversation.turn < conversation.turns else { return false }
        drawLengths(of: &conversation, nil, balance: balance)
        conversation.thinkTime = duration(conversation.thinking.exponential(mean: options.meanThinkTime))
        return conversation.history + conversation.user + conversation.answer <= options.maxContext
    }

    private func drawLengths(
        of conversation: inout Conversation, _ scores: StratifiedScores.Member?, balance: Double
    ) {
        let lengths = options.lengths.draw(
            isFirst: conversation.turn == 0, traits: conversation.traits, scores: scores,
            userFactor: options.scale * balance, answerFactor: options.scale / balance, using: &conversation.lengths)
        (conversation.user, conversation.answer) = (lengths.user, lengths.answer)
    }
}
