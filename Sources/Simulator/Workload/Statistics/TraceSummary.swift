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
    public var arrivals = Arrivals()
    /// Prompt tokens that stand at the same place in an earlier prompt behind the same tokens, or in the turn before and
    /// its answer: what a cache of prefixes without bound would find. Of each prompt, as many as the one that it shares
    /// most with has. Told by history, names of blocks and, where ids are given, by whole blocks of 16 of them.
    public var sharedPromptTokens = 0
    /// Requests with feedback given, with none by the trace's word, and with nothing said.
    public var feedbackGiven = 0
    public var feedbackNone = 0
    public var feedbackUnstated = 0
    /// Feedback given, by kind.
    public var feedbackKinds: [Feedback.Kind: Int] = [:]
    /// Whether every request has its token ids.
    public var hasIDs = false

    public init() {}

    public init(_ trace: Trace) {
        var builder = TraceSummaryBuilder()
        for request in trace.requests { builder.add(request) }
        self = builder.summary()
    }

    /// The share of requests with feedback given.
    public var feedbackShare: Double { requests == 0 ? 0 : Double(feedbackGiven) / Double(requests) }

    /// The share of prompt tokens that are shared with earlier ones.
    public var sharedShare: Double {
        totalPromptTokens == 0 ? 0 : Double(sharedPromptTokens) / Double(totalPromptTokens)
    }

    /// `prefillShare` when no shared token is run again.
    public var cachedPrefillShare: Double {
        Self.share(totalPromptTokens - sharedPromptTokens, totalOutputTokens - requests)
    }

    public var span: SimDuration { arrivals.span }
    public var rate: Double? { arrivals.rate }
    public var gapVariation: Double? { arrivals.gapVariation }

    static func prefillShare(of requests: [Request]) -> Double {
        let prompt = requests.reduce(0) { $0 + $1.promptTokens }
        let decoded = requests.reduce(0) { $0 + $1.outputTokens - 1 }
        return prompt == 0 ? 0 : share(prompt, decoded)
    }

    static func share(_ prefilled: Int, _ decoded: Int) -> Double {
        prefilled + decoded == 0 ? 0 : Double(prefilled) / Double(prefilled + decoded)
    }
}

extension TraceSummary {
    /// Mean, extremes and percentiles of whole numbers; zeros if there are none.
    public struct Distribution: Sendable, Equatable {
        public var count = 0
        public var mean = 0.0
        /// The standard deviation.
        public var deviation = 0.0
        public var least = 0
        public var most = 0
        /// The percentiles 0 to 100.
        public var percentiles: [Double] = Array(repeating: 0, count: 101)

        public var p50: Double { percentiles[50] }
        public var p90: Double { percentiles[90] }
        public var p95: Double { percentiles[95] }
        public var p99: Double { percentiles[99] }

        init() {}

        init(_ values: some Collection<Int>) {
            guard !values.isEmpty else { return }
            let sorted = values.sorted()
            count = sorted.count
            mean = Double(sorted.reduce(0, +)) / Double(count)
            let variance = sorted.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / Double(count)
            deviation = variance.squareRoot()
            least = sorted[0]
            most = sorted[count - 1]
            percentiles = (0...100).map { Self.quantile(Double($0) / 100, of: sorted) }
        }

        /// Interpolates linearly between the two nearest ranks, as NumPy does by default.
        private static func quantile(_ share: Double, of sorted: [Int]) -> Double {
            let rank = share * Double(sorted.count - 1)
            let below = min(Int(rank), sorted.count - 1)
            let above = min(below + 1, sorted.count - 1)
            return Double(sorted[below]) + (rank - Double(below)) * Double(sorted[above] - sorted[below])
        }
    }

    /// How requests come.
    public struct Arrivals: Sendable, Equatable {
        /// From the first arrival to the last.
        public var span = SimDuration.zero
        /// Requests a second: gaps / span. `nil` for fewer than two requests, or when all arrive at once.
        public var rate: Double?
        /// Standard deviation / mean of the gaps between arrivals: 1 for Poisson arrivals, more for bursts.
        public var gapVariation: Double?
        /// (variation - 1) / (variation + 1): -1 for a beat, 0 for Poisson arrivals, towards 1 for bursts (Goh and
        /// Barabási, 2008).
        public var burstiness: Double? { gapVariation.map { ($0 - 1) / ($0 + 1) } }
        /// Of windows this long, in seconds: variance / mean of the arrivals in them. 1 for Poisson arrivals. Only where
        /// the trace has ten windows.
        public var dispersion: [Double: Double] = [:]
        /// Arrivals in each of up to two hundred equal parts of the span.
        public var series: [Int] = []

        init() {}

        init(_ times: [SimTime]) {
            guard let first = times.first, let last = times.last, last > first else { return }
            span = last - first
            rate = Double(times.count - 1) / span.seconds
            gapVariation = TraceSummary.gapVariation(of: times)
            series = Self.series(times, from: first, in: min(200, max(10, times.count / 5)), of: span)
            for window in [1, 10, 60, 600] {
                // Whole windows only: what arrives from the end of the last one on does not count.
                let length = Int64(window) * 1_000_000_000
                let windows = Int(span.nanoseconds / length)
                guard windows >= 10 else { continue }
                var counts = Array(repeating: 0, count: windows)
                for time in times {
                    let index = Int((time - first).nanoseconds / length)
                    if index < windows { counts[index] += 1 }
                }
                let mean = Double(counts.reduce(0, +)) / Double(windows)
                let variance = counts.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / Double(windows)
                dispersion[Double(window)] = mean > 0 ? variance / mean : nil
            }
        }

        /// Arrivals in equal parts of the span, told apart in whole nanoseconds; the last arrival ends the last part.
        private static func series(
            _ times: [SimTime], from first: SimTime, in parts: Int, of span: SimDuration
        ) -> [Int] {
            var counts = Array(repeating: 0, count: parts)
            for time in times {
                let product = UInt64((time - first).nanoseconds).multipliedFullWidth(by: UInt64(parts))
                let part = UInt64(span.nanoseconds).dividingFullWidth(product).quotient
                counts[min(Int(part), parts - 1)] += 1
            }
            return counts
        }
    }

    /// Standard deviation / mean of the gaps between times in order; `nil` if there are none or all are one.
    static func gapVariation(of times: [SimTime]) -> Double? {
        guard let first = times.first, let last = times.last, last > first else { return nil }
        let gaps = zip(times, times.dropFirst()).map { ($1 - $0).seconds }
        let mean = (last - first).seconds / Double(gaps.count)
        let variance = gaps.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(gaps.count)
        return variance.squareRoot() / mean
    }
}
