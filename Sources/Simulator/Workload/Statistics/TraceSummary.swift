/// What a trace amounts to, in a few figures.
public struct TraceSummary: Sendable, Equatable {
    public var requests = 0
    /// A request outside of any conversation counts as one of its own.
    public var conversations = 0
    /// Tokens of each prompt, history included.
    public var prompt = Distribution()
    /// Tokens of each answer.
    public var output = Distribution()
    /// Turns of each conversation.
    public var turns = Distribution()
    public var totalPromptTokens = 0
    public var totalOutputTokens = 0
    /// Prompt tokens / (prompt + output - 1 tokens), both summed over all requests. The last token of an answer is
    /// never run, so this is the share of positions that serving runs in prefill when nothing is cached.
    public var prefillShare = 0.0
    /// From the first arrival to the last.
    public var span = SimDuration.zero
    /// Requests a second: gaps / span. `nil` for fewer than two requests, or when all arrive at once.
    public var rate: Double?
    /// Standard deviation / mean of the gaps between arrivals: 1 for Poisson arrivals, more for bursts.
    public var gapVariation: Double?
    /// Requests with feedback given, with none by the trace's word, and with nothing said.
    public var feedbackGiven = 0
    public var feedbackNone = 0
    public var feedbackUnstated = 0
    /// The share of requests with feedback given.
    public var feedbackShare: Double { requests == 0 ? 0 : Double(feedbackGiven) / Double(requests) }
    /// Whether every request has its token ids.
    public var hasIDs = false

    public init(_ trace: Trace) {
        let requests = trace.requests
        self.requests = requests.count
        prompt = Distribution(requests.map(\.promptTokens))
        output = Distribution(requests.map(\.outputTokens))
        var turnsByLast = requests.map { _ in 1 }
        for (index, request) in requests.enumerated() {
            if let previous = request.previousTurn {
                turnsByLast[index] += turnsByLast[previous]
                turnsByLast[previous] = 0
            }
        }
        turns = Distribution(turnsByLast.filter { $0 > 0 })
        conversations = turns.count
        totalPromptTokens = requests.reduce(0) { $0 + $1.promptTokens }
        totalOutputTokens = requests.reduce(0) { $0 + $1.outputTokens }
        prefillShare = Self.prefillShare(of: requests)
        for request in requests {
            switch request.feedback {
            case .given: feedbackGiven += 1
            case .none: feedbackNone += 1
            case .unstated: feedbackUnstated += 1
            }
        }
        hasIDs = !requests.isEmpty && requests.allSatisfy { $0.prompt != nil && $0.output != nil }
        measureArrivals(requests)
    }

    static func prefillShare(of requests: [Request]) -> Double {
        let prompt = requests.reduce(0) { $0 + $1.promptTokens }
        let decoded = requests.reduce(0) { $0 + $1.outputTokens - 1 }
        return prompt == 0 ? 0 : Double(prompt) / Double(prompt + decoded)
    }

    private mutating func measureArrivals(_ requests: [Request]) {
        guard let first = requests.first, let last = requests.last else { return }
        span = last.arrival - first.arrival
        guard span > .zero else { return }
        let gaps = zip(requests, requests.dropFirst()).map { ($1.arrival - $0.arrival).seconds }
        let mean = span.seconds / Double(gaps.count)
        let variance = gaps.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(gaps.count)
        rate = 1 / mean
        gapVariation = variance.squareRoot() / mean
    }
}

extension TraceSummary {
    /// Mean, extremes and percentiles of whole numbers; zeros if there are none.
    public struct Distribution: Sendable, Equatable {
        public var count = 0
        public var mean = 0.0
        public var least = 0
        public var p50 = 0.0
        public var p90 = 0.0
        public var p99 = 0.0
        public var most = 0

        init() {}

        init(_ values: [Int]) {
            guard !values.isEmpty else { return }
            let sorted = values.sorted()
            count = sorted.count
            mean = Double(sorted.reduce(0, +)) / Double(count)
            least = sorted[0]
            most = sorted[count - 1]
            p50 = Self.percentile(0.5, of: sorted)
            p90 = Self.percentile(0.9, of: sorted)
            p99 = Self.percentile(0.99, of: sorted)
        }

        /// Interpolates linearly between the two nearest ranks, as NumPy does by default.
        private static func percentile(_ share: Double, of sorted: [Int]) -> Double {
            let rank = share * Double(sorted.count - 1)
            let below = Int(rank)
            let above = min(below + 1, sorted.count - 1)
            return Double(sorted[below]) + (rank - Double(below)) * Double(sorted[above] - sorted[below])
        }
    }
}
