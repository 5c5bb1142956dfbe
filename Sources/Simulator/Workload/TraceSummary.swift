/// What a trace is like, in a few figures.
public struct TraceSummary: Sendable, Equatable {
    /// Mean and percentiles of a count.
    public struct Spread: Sendable, Equatable {
        public var mean: Double
        public var p50: Double
        public var p90: Double
        public var p99: Double

        init(_ values: [Int]) {
            let sorted = values.sorted()
            mean = values.isEmpty ? 0 : Double(values.reduce(0, +)) / Double(values.count)
            func percentile(_ share: Double) -> Double {
                guard let last = sorted.indices.last else { return 0 }
                let rank = share * Double(last)
                let below = Int(rank)
                let above = min(last, below + 1)
                return Double(sorted[below]) + (rank - Double(below)) * Double(sorted[above] - sorted[below])
            }
            p50 = percentile(0.5)
            p90 = percentile(0.9)
            p99 = percentile(0.99)
        }
    }

    public var requests: Int
    public var conversations: Int
    public var prompt: Spread
    public var output: Spread
    /// Sum of prompts over sum of prompts + outputs - 1.
    public var prefillShare: Double
    /// From the first arrival to the last.
    public var span: SimDuration
    /// Requests per second over the span.
    public var rate: Double
    /// Coefficient of variation of the gaps between arrivals.
    public var gapVariation: Double
    /// Share of requests whose feedback the trace gives.
    public var feedbackShare: Double

    public init(_ trace: Trace) {
        let requests = trace.requests
        self.requests = requests.count
        conversations = requests.count { $0.previousTurn == nil }
        prompt = Spread(requests.map(\.promptTokens))
        output = Spread(requests.map(\.outputTokens))
        let trained = requests.reduce(0) { $0 + $1.promptTokens + $1.outputTokens - 1 }
        prefillShare = trained > 0 ? Double(requests.reduce(0) { $0 + $1.promptTokens }) / Double(trained) : 0
        let gaps = zip(requests, requests.dropFirst()).map { ($1.arrival - $0.arrival).seconds }
        if let first = requests.first, let last = requests.last {
            span = last.arrival - first.arrival
        } else {
            span = .zero
        }
        rate = span > .zero ? Double(gaps.count) / span.seconds : 0
        let mean = gaps.isEmpty ? 0 : gaps.reduce(0, +) / Double(gaps.count)
        let variance = gaps.isEmpty ? 0 : gaps.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(gaps.count)
        gapVariation = mean > 0 ? variance.squareRoot() / mean : 0
        let given = requests.count { if case .given = $0.feedback { true } else { false } }
        feedbackShare = requests.isEmpty ? 0 : Double(given) / Double(requests.count)
    }
}
