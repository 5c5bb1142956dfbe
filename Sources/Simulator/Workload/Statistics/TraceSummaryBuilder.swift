/// Sums a trace up request by request: a few numbers are kept of each.
public struct TraceSummaryBuilder: Sendable {
    private var partial = TraceSummary()
    private var prompts: [Int32] = []
    private var outputs: [Int32] = []
    private var times: [SimTime] = []
    /// Turns up to a request, moved on to the turn after.
    private var turns: [Int32] = []
    private var prefixes = PrefixIndex()
    private var hasIDs = true

    public init() {}

    /// Takes in the next request; `previousTurn` counts those taken in before.
    public mutating func add(_ request: Request) {
        var turn: Int32 = 1
        var history = 0
        if let previous = request.previousTurn {
            turn += turns[previous]
            turns[previous] = 0
            history = Int(prompts[previous]) + Int(outputs[previous])
        }
        turns.append(turn)
        prompts.append(Int32(truncatingIfNeeded: request.promptTokens))
        outputs.append(Int32(truncatingIfNeeded: request.outputTokens))
        times.append(request.arrival)
        partial.totalPromptTokens += request.promptTokens
        partial.totalOutputTokens += request.outputTokens
        partial.sharedPromptTokens += max(history, prefixes.insert(request))
        switch request.feedback {
        case .given(let feedback):
            partial.feedbackGiven += 1
            partial.feedbackKinds[feedback.kind, default: 0] += 1
        case .none: partial.feedbackNone += 1
        case .unstated: partial.feedbackUnstated += 1
        }
        hasIDs = hasIDs && request.prompt != nil && request.output != nil
    }

    public func summary() -> TraceSummary {
        var summary = partial
        summary.requests = prompts.count
        summary.prompt = .init(prompts.lazy.map { Int($0) })
        summary.output = .init(outputs.lazy.map { Int($0) })
        summary.turns = .init(turns.lazy.filter { $0 > 0 }.map { Int($0) })
        summary.conversations = summary.turns.count
        summary.prefillShare =
            prompts.isEmpty
            ? 0 : TraceSummary.share(summary.totalPromptTokens, summary.totalOutputTokens - prompts.count)
        summary.arrivals = .init(times)
        summary.hasIDs = hasIDs && !prompts.isEmpty
        return summary
    }

    /// How far the lengths lie from those of a fit's data set; `nil` where that is not at hand.
    public func comparison(with fit: NamedFit) -> FitComparison? {
        guard let targets = fit.targets, !prompts.isEmpty else { return nil }
        return FitComparison(
            fit: fit, prompt: .init(prompts.map { Int($0) }, targets.prompt),
            output: .init(outputs.map { Int($0) }, targets.output))
    }
}

/// The lengths of a trace beside those of a data set.
public struct FitComparison: Sendable, Equatable {
    public struct Side: Sendable, Equatable {
        public let target: NamedFit.Target
        /// value / target - 1.
        public let mean: Double
        public let p50: Double
        public let p90: Double
        public let p99: Double
        /// Kolmogorov and Smirnov's distance: the largest difference between the two distribution functions, the data
        /// set's being linear between its quantiles.
        public let distance: Double

        init(_ values: [Int], _ target: NamedFit.Target) {
            let own = TraceSummary.Distribution(values)
            self.target = target
            mean = own.mean / target.mean - 1
            p50 = own.p50 / target.p50 - 1
            p90 = own.p90 / target.p90 - 1
            p99 = own.p99 / target.p99 - 1
            let sorted = values.sorted()
            var distance = 0.0
            var below = 0.0
            for (index, value) in sorted.enumerated() where index + 1 == sorted.count || sorted[index + 1] != value {
                // Lengths are whole: half a token above, all that is rounded to this value is counted. The functions may
                // be furthest apart just before a step of the sample's, as well as just after it.
                let upTo = Double(index + 1) / Double(sorted.count)
                distance = max(distance, abs(upTo - target.table.share(upTo: Double(value) + 0.5)))
                distance = max(distance, abs(below - target.table.share(upTo: Double(value) - 0.5)))
                below = upTo
            }
            self.distance = distance
        }
    }

    public let fit: NamedFit
    public let prompt: Side
    public let output: Side
}
