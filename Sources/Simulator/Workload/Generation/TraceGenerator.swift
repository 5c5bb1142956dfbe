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
        let arrivals = arrivals()
        var requests = try balanced(arrivals)
        addFeedback(to: &requests)
        var trace = Trace(source: "generated with seed \(options.seed)", requests: requests)
        if options.content == .ids { addIDs(to: &trace) }
        return trace
    }

    private func arrivals() -> [SimTime] {
        var stream = RandomStream(seed: options.seed, name: "arrivals")
        var time = SimTime.zero
        return (0..<options.requests).map { _ in
            time = time + duration(options.arrivals.gap(using: &stream))
            return time
        }
    }

    private func addFeedback(to requests: inout [Request]) {
        guard let model = options.feedback else { return }
        for index in requests.indices {
            var stream = RandomStream(seed: options.seed, name: "feedback", member: index)
            let isGiven = stream.uniform() < model.rate
            let delay = duration(stream.exponential(mean: model.meanDelay))
            requests[index].feedback = isGiven ? .given(Feedback(delay: delay)) : .none
        }
    }

    private func addIDs(to trace: inout Trace) {
        let language = SyntheticLanguage(options.language)
        let source = TokenSource(trace: trace, language: language, seed: options.seed)
        for index in trace.requests.indices {
            trace.requests[index].prompt = source.prompt(of: index)
            trace.requests[index].output = source.output(of: index)
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
    private func balanced(_ arrivals: [SimTime]) throws(TraceGeneratorError) -> [Request] {
        guard let target = options.targetPrefillShare else { return requests(arrivals, balance: 1) }
        var low = -log(Self.maxBalance)
        var high = log(Self.maxBalance)
        var best: (requests: [Request], error: Double) = ([], .infinity)
        var seen = (least: Double.infinity, most: -Double.infinity)
        for _ in 0..<40 {
            let middle = (low + high) / 2
            let requests = requests(arrivals, balance: exp(middle))
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
        var thinking: RandomStream
        /// Of the turn to come.
        var turn = 0
        var previousTurn: Int?
        var history = 0
        var user = 0
        var answer = 0
        var thinkTime = SimDuration.zero
    }

    private func requests(_ arrivals: [SimTime], balance: Double) -> [Request] {
        var waiting = EventQueue<Conversation>()
        var opened = 0
        var result: [Request] = []
        result.reserveCapacity(arrivals.count)
        for arrival in arrivals {
            var conversation: Conversation
            if let ready = waiting.nextTime, ready <= arrival, let next = waiting.popNext() {
                conversation = next.payload
            } else {
                conversation = open(opened, balance: balance)
                opened += 1
            }
            let prompt = conversation.history + conversation.user
            result.append(
                Request(
                    id: "r\(result.count)", arrival: arrival, promptTokens: prompt,
                    outputTokens: conversation.answer,
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

    private func open(_ index: Int, balance: Double) -> Conversation {
        var turns = RandomStream(seed: options.seed, name: "turns", member: index)
        var conversation = Conversation(
            index: index, turns: turns.geometric(mean: options.meanTurns),
            lengths: RandomStream(seed: options.seed, name: "lengths", member: index),
            thinking: RandomStream(seed: options.seed, name: "think times", member: index))
        drawLengths(of: &conversation, balance: balance)
        let total = conversation.user + conversation.answer
        if total > options.maxContext {
            conversation.user = max(1, conversation.user * options.maxContext / total)
            conversation.answer = max(1, conversation.answer * options.maxContext / total)
        }
        return conversation
    }

    /// Goes on to the next turn; false if there is none.
    private func advance(_ conversation: inout Conversation, balance: Double) -> Bool {
        conversation.turn += 1
        guard conversation.turn < conversation.turns else { return false }
        drawLengths(of: &conversation, balance: balance)
        conversation.thinkTime = duration(conversation.thinking.exponential(mean: options.meanThinkTime))
        return conversation.history + conversation.user + conversation.answer <= options.maxContext
    }

    private func drawLengths(of conversation: inout Conversation, balance: Double) {
        let lengths = options.lengths.draw(
            userFactor: options.scale * balance, answerFactor: options.scale / balance,
            using: &conversation.lengths)
        (conversation.user, conversation.answer) = lengths
    }
}
