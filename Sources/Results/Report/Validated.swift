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
    public let again: Again?
    private let live: [ArmSummary]
    private let model: ArmSummary
    private let second: ArmSummary?

    /// The machine held against itself.
    public struct Again: Sendable {
        /// The arm run another time.
        public var log: ArmLog
        /// What the quanta of the first run took when they were executed another time, in order.
        public var durations: [SimDuration]

        public init(log: ArmLog, durations: [SimDuration]) {
            self.log = log
            self.durations = durations
        }
    }

    public init(name: String, measured: [ArmLog], modelled: ArmLog, again: Again? = nil, trace: Trace) {
        self.name = name
        self.measured = measured
        self.modelled = modelled
        self.again = again
        second = again.map { ArmSummary($0.log, trace: trace) }
        live = measured.map { ArmSummary($0, trace: trace) }
        model = ArmSummary(modelled, trace: trace)
    }

    /// A figure both ways; the measured one is the median over repeats.
    public struct Pair: Sendable {
        public let name: String
        public let measured: Double
        public let modelled: Double
        /// Measured another time.
        public let again: Double?
        /// Modelled over measured, less one.
        public var error: Double { modelled / measured - 1 }
        /// The second measurement over the first, less one.
        public var difference: Double? { again.map { $0 / measured - 1 } }
    }

    /// The named metrics of an arm, as far as they apply.
    public func pairs(_ names: [String]) -> [Pair] {
        names.compactMap { name in
            guard let metric = ArmSummary.metrics.first(where: { $0.name == name }),
                let measured = Spread(live.lazy.map(metric.value)), let modelled = metric.value(model),
                measured.median != 0
            else { return nil }
            return Pair(
                name: name, measured: measured.median, modelled: modelled, again: second.flatMap { metric.value($0) })
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
        /// The same errors where each price is what the machine took for that very quantum another time.
        public let again: Errors?

        public struct Errors: Sendable {
            public let median: Double
            public let p90: Double
            public let bias: Double
        }
    }

    /// By kind of quantum: decoding, prefilling, training, and all.
    public var quantumErrors: [QuantumErrors] {
        let quanta = measured.flatMap(\.quanta)
        let repeated = zip(measured.first.map { Array($0.quanta) } ?? [], again?.durations ?? [])
        func errors(_ kind: String, _ isMeant: (QuantumRecord) -> Bool) -> QuantumErrors? {
            let meant = quanta.filter(isMeant)
            guard let prices = Self.errors(of: meant.map { ($0.predicted.seconds, $0.duration.seconds) }) else {
                return nil
            }
            let repeated = Self.errors(
                of: repeated.filter { isMeant($0.0) }.map { ($0.1.seconds, $0.0.duration.seconds) })
            return QuantumErrors(
                kind: kind, count: meant.count, median: prices.median, p90: prices.p90, bias: prices.bias,
                again: repeated)
        }
        return [
            errors("decode") { $0.kind == .serve && $0.prefillTokens == 0 },
            errors("prefill") { $0.kind == .serve && $0.prefillTokens > 0 },
            errors("train") { $0.kind == .train }, errors("all") { _ in true },
        ].compactMap(\.self)
    }

    private static func errors(of pairs: [(price: Double, duration: Double)]) -> QuantumErrors.Errors? {
        guard !pairs.isEmpty else { return nil }
        let sorted = pairs.map { abs($0.price / $0.duration - 1) }.sorted()
        let sums = pairs.reduce((0.0, 0.0)) { ($0.0 + $1.price, $0.1 + $1.duration) }
        return QuantumErrors.Errors(
            median: percentile(50, ofSorted: sorted), p90: percentile(90, ofSorted: sorted), bias: sums.0 / sums.1 - 1)
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
        let isRepeated = arms.contains { $0.again != nil }
        func row(_ cells: [String], again: [String]) -> String {
            "| " + (isRepeated ? cells + again : cells).joined(separator: " | ") + " |\n"
        }
        func rule(_ cells: [String]) -> String { "|" + String(repeating: "---|", count: cells.count) + "\n" }
        func percent(_ value: Double?) -> String { value.map(Figure.percent) ?? "-" }

        var text = "### Load \(load.formatted(decimals: 2))\n\n"
        let quantumHead = ["arm", "quanta", "count", "median error", "P90 error", "bias"]
        let quantumAgain = ["machine against itself: median", "P90", "bias"]
        text += row(quantumHead, again: quantumAgain) + rule(isRepeated ? quantumHead + quantumAgain : quantumHead)
        for arm in arms {
            for errors in arm.quantumErrors {
                text += row(
                    [
                        arm.name, errors.kind, "\(errors.count)", percent(errors.median), percent(errors.p90),
                        percent(errors.bias),
                    ], again: [errors.again?.median, errors.again?.p90, errors.again?.bias].map(percent))
            }
        }
        let head = ["arm", "figure", "measured", "modelled", "error"]
        let headAgain = ["measured again", "difference"]
        text += "\n" + row(head, again: headAgain) + rule(isRepeated ? head + headAgain : head)
        for arm in arms {
            for pair in arm.pairs(ValidatedArm.endToEnd) {
                text += row(
                    [
                        arm.name, "`\(pair.name)`", Figure.number(pair.measured), Figure.number(pair.modelled),
                        percent(pair.error),
                    ], again: [pair.again.map(Figure.number) ?? "-", percent(pair.difference)])
            }
        }
        for (baseline, candidate) in speedups {
            let measured = candidate.measured / baseline.measured
            let modelled = candidate.modelled / baseline.modelled
            let again: Double? =
                if let candidate = candidate.again, let baseline = baseline.again { candidate / baseline } else { nil }
            text += row(
                [
                    "reuse / recompute", "training speed-up", Figure.number(measured), Figure.number(modelled),
                    percent(modelled / measured - 1),
                ], again: [again.map(Figure.number) ?? "-", percent(again.map { $0 / measured - 1 })])
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
