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
        partial.sharedPromptTokens += history > 0 ? history : prefixes.insert(request)
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

/// The beginnings of prompts seen so far, as digests of whole blocks, each digest covering what stands before.
private struct PrefixIndex: Sendable {
    private var seen: Set<UInt64> = []

    private static let idBlock = 16

    /// Takes a prompt in; how many of its first tokens an earlier one had.
    mutating func insert(_ request: Request) -> Int {
        if let ids = request.prompt {
            return insert(ids.count / Self.idBlock, of: Self.idBlock) { block, digest in
                ids[block * Self.idBlock..<(block + 1) * Self.idBlock].reduce(digest) {
                    Self.mixed($0, UInt64(UInt32(bitPattern: $1)))
                }
            }
        }
        guard let prefix = request.prefix else { return 0 }
        let shared = insert(prefix.blocks.count, of: prefix.blockTokens) { block, digest in
            Self.mixed(Self.mixed(digest, UInt64(prefix.blockTokens)), UInt64(prefix.blocks[block]))
        }
        return min(shared, request.promptTokens)
    }

    private mutating func insert(
        _ count: Int, of tokens: Int, _ extended: (_ block: Int, _ digest: UInt64) -> UInt64
    ) -> Int {
        var digest: UInt64 = 0xcbf2_9ce4_8422_2325
        var shared = 0
        for block in 0..<count {
            digest = extended(block, digest)
            if !seen.insert(digest).inserted, shared == block { shared += 1 }
        }
        return shared * tokens
    }

    private static func mixed(_ digest: UInt64, _ value: UInt64) -> UInt64 {
        let product = (digest ^ value).multipliedFullWidth(by: 0x9e37_79b9_7f4a_7c15)
        return product.high ^ product.low &+ 0x2545_f491_4f6c_dd1d
    }
}
