internal import Simulator

/// One arm held against another, and its latencies against an arm that only serves.
public struct Comparison: Sendable {
    /// The figures of one repeat of the arms compared.
    public struct Terms: Sendable {
        public var baseline: ArmSummary
        public var candidate: ArmSummary
        public var reference: ArmSummary?
    }

    public let baseline: String
    public let candidate: String
    /// The arm that only serves, if the run has one.
    public let reference: String?
    /// Repeat by repeat, as far as every arm has them.
    public let terms: [Terms]

    public init(baseline: ArmReport, candidate: ArmReport, reference: ArmReport?) {
        self.baseline = baseline.name
        self.candidate = candidate.name
        self.reference = reference?.name
        let repeats = min(baseline.repeats.count, candidate.repeats.count, reference?.repeats.count ?? .max)
        terms = (0..<repeats).map { index in
            Terms(
                baseline: baseline.repeats[index], candidate: candidate.repeats[index],
                reference: reference?.repeats[index])
        }.filter { terms in
            // What was cut short has no figures that could be compared.
            [terms.baseline, terms.candidate, terms.reference].allSatisfy { $0?.status != .interrupted }
        }
    }

    /// The metric over the repeats: ratios are taken within a repeat, whose arms ran side by side.
    public func spread(of metric: Metric<Terms>) -> Spread? { Spread(terms.lazy.map(metric.value)) }
}

extension Comparison {
    /// Every metric of a comparison, in the order in which files and documentation list them.
    public static let metrics: [Metric<Terms>] = [
        trainingSpeedup, trainingSpeedupWall, trainingSpeedupBound, trainingPeakMemoryRatio, firstTokenRatio50,
        firstTokenRatio90, tokenGapRatio50, tokenGapRatio99, firstTokenChange90,
        tokenGapChange99, longestQuantum, reusedTokenFraction, roundingError, stalenessError,
        hostPeakBytes,
    ]

    public static let trainingSpeedup = Metric<Terms>(
        "training_speedup", .one, "trained tokens per busy second, candidate / baseline"
    ) { ratio($0.candidate.training?.tokensPerBusySecond, $0.baseline.training?.tokensPerBusySecond) }

    public static let trainingSpeedupWall = Metric<Terms>(
        "training_speedup_wall", .one, "trained tokens per wall second, candidate / baseline"
    ) { ratio($0.candidate.training?.tokensPerWallSecond, $0.baseline.training?.tokensPerWallSecond) }

    /// What reuse could bring at most, all else being free: with T the baseline's compute time per trained token, F its
    /// forward part, recomputation included, and F_u that of the candidate per trained token, T / (T - F + F_u).
    public static let trainingSpeedupBound = Metric<Terms>(
        "training_speedup_bound", .one, "T / (T - F + F_u), from measured compute and forward times per trained token"
    ) { terms in
        guard let whole = terms.baseline.training?.computePerToken,
            let forward = terms.baseline.training?.forwardPerToken,
            let unrecorded = terms.candidate.training?.forwardPerToken,
            // An arm that runs prompts once for several answers spares backward passes, too.
            (terms.baseline.training?.sharedTokens ?? 0 > 0) == (terms.candidate.training?.sharedTokens ?? 0 > 0)
        else { return nil }
        return ratio(whole, whole - forward + unrecorded)
    }

    public static let trainingPeakMemoryRatio = Metric<Terms>(
        "training_peak_memory_ratio", .one, "training peak bytes, candidate / baseline"
    ) { ratio(Double($0.candidate.memory.training.count), Double($0.baseline.memory.training.count)) }

    public static let firstTokenRatio50 = Metric<Terms>(
        "ttft_p50_ratio", .one, "median TTFT, candidate / serve-only"
    ) { latencyRatio($0, \.timeToFirstToken?.p50) }

    public static let firstTokenRatio90 = Metric<Terms>(
        "ttft_p90_ratio", .one, "90th percentile of TTFT, candidate / serve-only"
    ) { latencyRatio($0, \.timeToFirstToken?.p90) }

    public static let tokenGapRatio50 = Metric<Terms>(
        "itl_p50_ratio", .one, "median ITL, candidate / serve-only"
    ) { latencyRatio($0, \.interTokenLatency?.p50) }

    public static let tokenGapRatio99 = Metric<Terms>(
        "itl_p99_ratio", .one, "99th percentile of ITL, candidate / serve-only"
    ) { latencyRatio($0, \.interTokenLatency?.p99) }

    public static let firstTokenChange90 = Metric<Terms>(
        "ttft_p90_change", .seconds, "90th percentile of TTFT, candidate - serve-only"
    ) { latencyChange($0, \.timeToFirstToken?.p90) }

    public static let tokenGapChange99 = Metric<Terms>(
        "itl_p99_change", .seconds, "99th percentile of ITL, candidate - serve-only"
    ) { latencyChange($0, \.interTokenLatency?.p99) }

    public static let longestQuantum = Metric<Terms>(
        "longest_trainer_quantum", .seconds, "the candidate's: the longest that serving can have waited for training"
    ) { $0.candidate.training?.longestQuantum?.seconds }

    public static let reusedTokenFraction = Metric<Terms>(
        "reused_token_fraction", .one, "the candidate's reused tokens / those of its trained tokens that ran"
    ) { $0.candidate.training?.reusedFraction }

    public static let roundingError = Metric<Terms>(
        "gradient_rounding_error", .one, "the candidate's: highest of all audits"
    ) { $0.candidate.training?.roundingError }

    public static let stalenessError = Metric<Terms>(
        "gradient_staleness_error", .one, "the candidate's: median of all audits"
    ) { $0.candidate.training?.stalenessError?.median }

    public static let hostPeakBytes = Metric<Terms>(
        "host_peak_bytes", .bytes, "the candidate's highest sum over all owners on the host"
    ) { Double($0.candidate.memory.host.count) }

    private static func latencyChange(_ terms: Terms, _ figure: KeyPath<ServingSummary, Double?>) -> Double? {
        guard let mine = terms.candidate.serving[keyPath: figure], let reference = terms.reference,
            let theirs = reference.serving[keyPath: figure]
        else { return nil }
        return mine - theirs
    }

    private static func latencyRatio(_ terms: Terms, _ figure: KeyPath<ServingSummary, Double?>) -> Double? {
        guard let reference = terms.reference else { return nil }
        return ratio(terms.candidate.serving[keyPath: figure], reference.serving[keyPath: figure])
    }
}
