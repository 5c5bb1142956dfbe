public import Simulator

/// One load of a validation.
public struct ValidatedLoad: Sendable {
    /// Offered requests over capacity.
    public var load: Double
    /// The requests as they were offered.
    public var trace: Trace
    public var arms: [ValidatedArm]

    public init(load: Double, trace: Trace, arms: [ValidatedArm]) {
        self.load = load
        self.trace = trace
        self.arms = arms
    }
}

/// An arm, measured and modelled.
public struct ValidatedArm: Sendable {
    public let name: String
    public let measured: [ArmLog]
    public let modelled: ArmLog
    private let live: [ArmSummary]
    private let model: ArmSummary

    public init(name: String, measured: [ArmLog], modelled: ArmLog, trace: Trace) {
        self.name = name
        self.measured = measured
        self.modelled = modelled
        live = measured.map { ArmSummary($0, trace: trace) }
        model = ArmSummary(modelled, trace: trace)
    }

    /// A figure both ways; the measured one is the median over repeats.
    public struct Pair: Sendable {
        public let name: String
        public let measured: Double
        public let modelled: Double
        /// Modelled over measured, less one.
        public var error: Double { modelled / measured - 1 }
    }

    /// The named metrics of an arm, as far as they apply.
    public func pairs(_ names: [String]) -> [Pair] {
        names.compactMap { name in
            guard let metric = ArmSummary.metrics.first(where: { $0.name == name }),
                let measured = Spread(live.lazy.map(metric.value)), let modelled = metric.value(model),
                measured.median != 0
            else { return nil }
            return Pair(name: name, measured: measured.median, modelled: modelled)
        }
    }

    /// How far the price of each executed quantum lies from its duration: absolute errors, and the bias of their sum.
    public struct QuantumErrors: Sendable {
        public let kind: String
        public let count: Int
        public let median: Double
        public let p90: Double
        /// Sum of prices over sum of durations, less one.
        public let bias: Double
    }

    /// By kind of quantum: decoding, prefilling, training, and all.
    public var quantumErrors: [QuantumErrors] {
        let quanta = measured.flatMap(\.quanta)
        func errors(_ kind: String, _ isMeant: (QuantumRecord) -> Bool) -> QuantumErrors? {
            let meant = quanta.filter(isMeant)
            let sorted = meant.map { abs($0.predicted.seconds / $0.duration.seconds - 1) }.sorted()
            guard !sorted.isEmpty else { return nil }
            let sums = meant.reduce(into: (0.0, 0.0)) {
                $0.0 += $1.predicted.seconds
                $0.1 += $1.duration.seconds
            }
            return QuantumErrors(
                kind: kind, count: sorted.count, median: percentile(50, ofSorted: sorted),
                p90: percentile(90, ofSorted: sorted), bias: sums.0 / sums.1 - 1)
        }
        return [
            errors("decode") { $0.kind == .serve && $0.prefillTokens == 0 },
            errors("prefill") { $0.kind == .serve && $0.prefillTokens > 0 },
            errors("train") { $0.kind == .train }, errors("all") { _ in true },
        ].compactMap(\.self)
    }

    /// What is held against each other end to end.
    public static let endToEnd = [
        "ttft_p50", "ttft_p90", "tpot_p50", "tpot_p90", "e2e_p50", "e2e_p90", "request_throughput",
        "tokens_per_busy_second", "forward_seconds", "loss_seconds", "backward_seconds", "optimizer_seconds",
        "device_peak_bytes", "training_peak_bytes",
    ]
}

extension ValidatedLoad {
    /// The load's errors as tables in Markdown.
    public func markdown() -> String {
        var text = "### Load \(load.formatted(decimals: 2))\n\n"
        text += "| arm | quanta | count | median error | P90 error | bias |\n|---|---|---|---|---|---|\n"
        for arm in arms {
            for errors in arm.quantumErrors {
                text +=
                    "| \(arm.name) | \(errors.kind) | \(errors.count) | \(Figure.percent(errors.median)) | "
                    + "\(Figure.percent(errors.p90)) | \(Figure.percent(errors.bias)) |\n"
            }
        }
        text += "\n| arm | figure | measured | modelled | error |\n|---|---|---|---|---|\n"
        for arm in arms {
            for pair in arm.pairs(ValidatedArm.endToEnd) {
                text +=
                    "| \(arm.name) | `\(pair.name)` | \(Figure.number(pair.measured)) | "
                    + "\(Figure.number(pair.modelled)) | \(Figure.percent(pair.error)) |\n"
            }
        }
        for (baseline, candidate) in speedups {
            let measured = candidate.measured / baseline.measured
            let modelled = candidate.modelled / baseline.modelled
            text +=
                "| reuse / recompute | training speed-up | \(Figure.number(measured)) | "
                + "\(Figure.number(modelled)) | \(Figure.percent(modelled / measured - 1)) |\n"
        }
        return text
    }

    private var speedups: [(ValidatedArm.Pair, ValidatedArm.Pair)] {
        func rate(_ name: String) -> ValidatedArm.Pair? {
            arms.first { $0.name == name }?.pairs(["tokens_per_busy_second"]).first
        }
        guard let baseline = rate("recompute"), let candidate = rate("reuse") else { return [] }
        return [(baseline, candidate)]
    }
}
