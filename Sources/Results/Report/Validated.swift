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
    /// By the calibration before all measurements alone, which the measured runs were estimated by; nil where there was no
    /// other.
    public let first: ArmLog?
    /// Of the quanta of each measured run, in order; nil where they are what was predicted.
    public let prices: [[SimDuration]]?
    /// What the quanta of the first run took when they were executed again, in order: one list for each time.
    public let executions: [[SimDuration]]
    private let live: [ArmSummary]
    private let model: ArmSummary
    private let firstModel: ArmSummary?

    /// - Precondition: `prices`, if given, has one for each quantum of each measured run.
    public init(
        name: String, measured: [ArmLog], modelled: ArmLog, first: ArmLog? = nil, prices: [[SimDuration]]? = nil,
        executions: [[SimDuration]] = [], trace: Trace
    ) {
        precondition(
            prices.map { $0.map(\.count) == measured.map(\.quanta.count) } ?? true, "a price for each quantum")
        self.name = name
        self.measured = measured
        self.modelled = modelled
        self.first = first
        self.prices = prices
        self.executions = executions
        live = measured.map { ArmSummary($0, trace: trace) }
        model = ArmSummary(modelled, trace: trace)
        firstModel = first.map { ArmSummary($0, trace: trace) }
    }

    /// A figure both ways.
    public struct Pair: Sendable {
        public let name: String
        /// Over all repeats.
        public let measured: Spread
        public let modelled: Double
        /// By the first calibration alone.
        public let first: Double?
        /// Modelled over the median of what was measured, less one.
        public var error: Double { modelled / measured.median - 1 }
    }

    /// The named metrics of an arm, as far as they apply.
    public func pairs(_ names: [String]) -> [Pair] {
        names.compactMap { name in
            guard let metric = ArmSummary.metrics.first(where: { $0.name == name }),
                let measured = Spread(live.lazy.map(metric.value)), let modelled = metric.value(model),
                measured.median != 0
            else { return nil }
            return Pair(
                name: name, measured: measured, modelled: modelled, first: firstModel.flatMap(metric.value))
        }
    }

    /// Trained tokens per second of training in each measured run, and modelled.
    fileprivate var trainingRates: (measured: [Double?], modelled: Double?, first: Double?) {
        let name = "tokens_per_busy_second"
        guard let metric = ArmSummary.metrics.first(where: { $0.name == name }) else { return ([], nil, nil) }
        return (live.map(metric.value), metric.value(model), firstModel.flatMap(metric.value))
    }

    /// How far the prices of quanta lie from what they took.
    public struct QuantumErrors: Sendable {
        public let kind: String
        /// Quanta of all measured runs.
        public let count: Int
        /// Of each quantum's price against its one duration.
        public let single: Errors
        /// Of the first run's quanta: each price against the median of what the quantum took, executed time and again. So the
        /// noise of single executions is no error of the model.
        public let ofMedians: Errors?
        /// Of the first run's quanta: the median of half of the executions against that of the others. What the machine
        /// differs from itself by is no error of a model, and a price against the median of all is off by about half of it
        /// where the model is perfect.
        public let machine: Errors?
        /// As `ofMedians`, of what was predicted by the first calibration alone; nil where there was no other.
        public let first: Errors?

        /// Absolute errors, and the bias of their sum.
        public struct Errors: Sendable {
            public let median: Double
            public let p90: Double
            /// Sum of prices over sum of durations, less one.
            public let bias: Double
        }
    }

    /// By kind of quantum: decoding, prefilling, training, and all.
    public var quantumErrors: [QuantumErrors] {
        let quanta = measured.enumerated().map { run, log in
            log.quanta.enumerated().map { index, quantum in
                (quantum: quantum, price: (prices?[run][index] ?? quantum.predicted).seconds)
            }
        }
        let first = executions.isEmpty ? [] : quanta.first ?? []
        func errors(_ kind: String, _ isMeant: (QuantumRecord) -> Bool) -> QuantumErrors? {
            let meant = quanta.flatMap { $0.filter { isMeant($0.quantum) } }
            guard let single = Self.errors(of: meant.map { ($0.price, $0.quantum.duration.seconds) }) else {
                return nil
            }
            var medians: [(price: Double, duration: Double)] = []
            var machine: [(price: Double, duration: Double)] = []
            var predicted: [(price: Double, duration: Double)] = []
            for (index, (quantum, price)) in first.enumerated() where isMeant(quantum) {
                let again = executions.compactMap { index < $0.count ? $0[index].seconds : nil }
                let all = [quantum.duration.seconds] + again
                medians.append((price, Self.median(of: all)))
                predicted.append((quantum.predicted.seconds, Self.median(of: all)))
                // Executions 0, 3, 4, 7, 8 and so on against 1, 2, 5, 6: rounds alternate in the order of arms, and a
                // half should have both orders.
                let halves = [1, 0].map { half in all.indices.filter { ($0 + 1) / 2 % 2 == half }.map { all[$0] } }
                if !halves[0].isEmpty { machine.append((Self.median(of: halves[0]), Self.median(of: halves[1]))) }
            }
            return QuantumErrors(
                kind: kind, count: meant.count, single: single, ofMedians: Self.errors(of: medians),
                machine: Self.errors(of: machine), first: prices == nil ? nil : Self.errors(of: predicted))
        }
        return [
            errors("decode") { $0.kind == .serve && $0.prefillTokens == 0 },
            errors("prefill") { $0.kind == .serve && $0.prefillTokens > 0 },
            errors("train") { $0.kind == .train }, errors("all") { _ in true },
        ].compactMap(\.self)
    }

    private static func median(of values: [Double]) -> Double { percentile(50, ofSorted: values.sorted()) }

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
    /// The load's errors as tables in Markdown. Where arms were measured several times, figures end to end are medians, and
    /// stand beside the lowest and the highest of what was measured; where quanta were executed again, their prices are held
    /// against the medians of their executions, too.
    public func markdown() -> String {
        let isExecutedAgain = arms.contains { !$0.executions.isEmpty }
        let isRepeated = arms.contains { $0.measured.count > 1 }
        let isContinued = arms.contains { $0.first != nil }
        func row(_ cells: [String]) -> String { "| " + cells.joined(separator: " | ") + " |\n" }
        func rule(_ cells: [String]) -> String { "|" + String(repeating: "---|", count: cells.count) + "\n" }
        func percents(_ errors: ValidatedArm.QuantumErrors.Errors?) -> [String] {
            errors.map { [$0.median, $0.p90, $0.bias].map(Figure.percent) } ?? ["-", "-", "-"]
        }

        var text = "### Load \(load.formatted(decimals: 2))\n\n"
        var head = ["arm", "quanta", "count", "median error", "P90 error", "bias"]
        if isExecutedAgain {
            head += ["against medians: median", "P90", "bias", "machine, half against half: median", "P90", "bias"]
            if isContinued { head += ["first calibration against medians: median", "P90", "bias"] }
        }
        text += row(head) + rule(head)
        for arm in arms {
            for errors in arm.quantumErrors {
                text += row(
                    [arm.name, errors.kind, "\(errors.count)"] + percents(errors.single)
                        + (isExecutedAgain ? percents(errors.ofMedians) + percents(errors.machine) : [])
                        + (isExecutedAgain && isContinued ? percents(errors.first) : []))
            }
        }
        head =
            ["arm", "figure", "measured", "modelled", "error"] + (isRepeated ? ["lowest", "highest"] : [])
            + (isContinued ? ["error of the first calibration"] : [])
        text += "\n" + row(head) + rule(head)
        func add(_ arm: String, _ name: String, _ measured: Spread, _ modelled: Double, _ first: Double?) {
            let ends = [measured.minimum, measured.maximum].map { Figure.percent($0 / measured.median - 1) }
            text += row(
                [
                    arm, name, Figure.number(measured.median), Figure.number(modelled),
                    Figure.percent(modelled / measured.median - 1),
                ] + (isRepeated ? ends : [])
                    + (isContinued ? [first.map { Figure.percent($0 / measured.median - 1) } ?? "-"] : []))
        }
        for arm in arms {
            for pair in arm.pairs(ValidatedArm.endToEnd) {
                add(arm.name, "`\(pair.name)`", pair.measured, pair.modelled, pair.first)
            }
        }
        if let (measured, modelled, first) = speedup {
            add("reuse / recompute", "training speed-up", measured, modelled, first)
        }
        return text
    }

    /// Of each repeat by itself, because the arms of a repeat are measured one after the other.
    private var speedup: (measured: Spread, modelled: Double, first: Double?)? {
        func rates(_ name: String) -> (measured: [Double?], modelled: Double?, first: Double?) {
            arms.first { $0.name == name }?.trainingRates ?? ([], nil, nil)
        }
        let (candidate, baseline) = (rates("reuse"), rates("recompute"))
        guard let measured = Spread(zip(candidate.measured, baseline.measured).map(ratio)),
            let modelled = ratio(candidate.modelled, baseline.modelled)
        else { return nil }
        return (measured, modelled, ratio(candidate.first, baseline.first))
    }
}
