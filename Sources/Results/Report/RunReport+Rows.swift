internal import Simulator

/// One line of the table of arms.
struct ArmRow {
    let label: String
    /// Whether the line is left out when no arm has a figure for it.
    var isOptional = false
    /// Whether the line says anything, given all arms.
    var isShown: ([ArmReport]) -> Bool = { _ in true }
    let figure: (ArmReport) -> String?

    /// The median over the repeats.
    private init(
        _ label: String, isOptional: Bool = false, _ show: @escaping (Double) -> String,
        _ value: @escaping (ArmSummary) -> Double?
    ) {
        self.label = label
        self.isOptional = isOptional
        figure = { Spread($0.repeats.lazy.map(value)).map { show($0.median) } }
    }

    static var all: [ArmRow] { serving + recording + memory + training }

    private static var serving: [ArmRow] {
        [
            ArmRow("requests finished", Figure.count) { Double($0.serving.finished) },
            ArmRow("requests refused", isOptional: true, Figure.count) { nonzero($0.serving.refused) },
            ArmRow("requests unfinished", isOptional: true, Figure.count) { nonzero($0.serving.unfinished) },
            ArmRow("preemptions", isOptional: true, Figure.count) { nonzero($0.serving.preemptions) },
            ArmRow("tokens prefilled again", isOptional: true, Figure.count) { nonzero($0.serving.recomputedTokens) },
            ArmRow("swapped", isOptional: true, Figure.bytes) { nonzero($0.serving.swappedBytes.count) },
            ArmRow("prefix cache hits", isOptional: true, Figure.percent) {
                $0.serving.cachedTokens > 0 ? $0.serving.prefixHitRate : nil
            },
        ]
            + percentiles("TTFT", \.timeToFirstToken) + percentiles("ITL", \.interTokenLatency) + [
                ArmRow("TPOT p50", Figure.duration) { $0.serving.timePerOutputToken?.p50 },
                ArmRow("e2e p50", Figure.duration) { $0.serving.endToEnd?.p50 },
                interval("TTFT mean", Figure.duration, \.timeToFirstToken?.mean, \.firstTokenInterval),
                interval("TPOT mean", Figure.duration, \.timePerOutputToken?.mean, \.perOutputTokenInterval),
                interval("e2e mean", Figure.duration, \.endToEnd?.mean, \.endToEndInterval),
                interval("output throughput", Figure.rate("tok"), \.outputThroughput, \.outputThroughputInterval),
                ArmRow("request throughput", Figure.rate("req")) { $0.serving.requestThroughput },
                ArmRow("total throughput", Figure.rate("tok")) { $0.serving.totalThroughput },
            ]
    }

    /// A mean with half its 95 % confidence interval, if there is one; medians over repeats.
    private static func interval(
        _ label: String, _ show: @escaping (Double) -> String, _ value: @escaping (ServingSummary) -> Double?,
        _ width: @escaping (ServingSummary) -> Double?
    ) -> ArmRow {
        ArmRow(label, isOptional: true) { arm in
            guard let mean = Spread(arm.repeats.lazy.map { value($0.serving) }) else { return nil }
            let half = Spread(arm.repeats.lazy.map { width($0.serving) })
            return show(mean.median) + (half.map { " ± " + show($0.median) } ?? "")
        }
    }

    private static var recording: [ArmRow] {
        [
            ArmRow("dropped tokens", isOptional: true, Figure.count) { nonzero($0.serving.droppedTokens) }
        ] + lost { $0.isWant } + lost { !$0.isWant } + [
            ArmRow("serving stall", isOptional: true, Figure.duration) { nonzero($0.serving.held) },
            ArmRow("admission stall", isOptional: true, Figure.duration) { nonzero($0.recording.admissionStall) },
        ]
    }

    /// Tokens that have no record of use, by reason: parts of those dropped, and what no memory would have kept.
    private static func lost(_ isIncluded: (LossReason) -> Bool) -> [ArmRow] {
        LossReason.allCases.filter(isIncluded).map { reason in
            let name = reason.name.replacing("_", with: " ")
            return ArmRow(reason.isWant ? "  \(name)" : "\(name) tokens", isOptional: true, Figure.count) {
                nonzero($0.serving.lostTokens[reason.rawValue])
            }
        }
    }

    private static func percentiles(
        _ name: String, _ distribution: @escaping (ServingSummary) -> Distribution?
    ) -> [ArmRow] {
        [
            ArmRow("\(name) p50", Figure.duration) { distribution($0.serving)?.p50 },
            ArmRow("\(name) p90", Figure.duration) { distribution($0.serving)?.p90 },
            ArmRow("\(name) p99", Figure.duration) { distribution($0.serving)?.p99 },
        ]
    }

    private static var memory: [ArmRow] {
        MemoryTier.allCases.flatMap { tier in
            let name = tier.name.replacing("_", with: " ")
            return [
                ArmRow("\(name) peak", isOptional: tier == .trainerDevice, Figure.bytes) { summary in
                    tier == .trainerDevice
                        ? nonzero(summary.memory.trainerDevice.count) : Double(summary.memory.peak(on: tier).count)
                }
            ]
                + MemoryOwner.allCases.map { owner in
                    let name = owner.name.replacing("_", with: " ")
                    return ArmRow("  \(name)", isOptional: true, Figure.bytes) { summary in
                        nonzero(summary.memory.peak(of: owner, on: tier).count)
                    }
                }
        } + [ArmRow("training memory", Figure.bytes) { Double($0.memory.training.count) }]
    }

    private static var training: [ArmRow] {
        [
            training("training steps", Figure.count) { Double($0.steps) },
            training("trained tokens", Figure.count) { Double($0.tokens) },
            training("tokens per busy second", Figure.rate("tok"), \.tokensPerBusySecond),
            training("tokens per wall second", Figure.rate("tok"), \.tokensPerWallSecond),
            perDevice("tokens per device second", \.tokensPerDeviceSecond),
            ArmRow("loss first -> last", isOptional: true) { arm in
                guard let first = Spread(arm.repeats.lazy.map(\.training?.firstLoss)),
                    let last = Spread(arm.repeats.lazy.map(\.training?.lastLoss))
                else { return nil }
                return "\(Figure.number(first.median)) -> \(Figure.number(last.median))"
            },
            heldOut("held-out loss, base", \.base),
            heldOut("held-out loss, shifted", \.shifted),
            training("reused tokens", Figure.percent, \.reusedFraction),
            training("forward share of busy time", Figure.percent, \.forwardShare),
            training("longest trainer quantum", Figure.duration) { $0.longestQuantum?.seconds },
            training("feedback to first token, p50", Figure.duration) { $0.learningLag?.p50 },
            training("reload stall", Figure.duration) { $0.stall.seconds },
            training("gradient rounding error", Figure.number, \.roundingError),
            precision("gradient precision error", \.precisionError),
            precision("gradient precision cosine", \.precisionCosine),
            training("gradient staleness error", Figure.number) { $0.stalenessError?.median },
        ]
    }

    /// Of runs with an arm that holds several devices.
    private static func perDevice(_ label: String, _ value: @escaping (TrainingSummary) -> Double?) -> ArmRow {
        var row = training(label, Figure.rate("tok"), value)
        row.isShown = { $0.contains { $0.repeats.contains { ($0.training?.devices ?? 1) > 1 } } }
        return row
    }

    /// Of runs with records that are rounded.
    private static func precision(_ label: String, _ value: @escaping (TrainingSummary) -> Spread?) -> Self {
        var row = training(label, Figure.number) { value($0)?.median }
        row.isShown = { arms in
            arms.contains { arm in
                arm.repeats.contains { run in
                    run.training?.audits.contains { $0.precisionError != $0.roundingError } == true
                }
            }
        }
        return row
    }

    private static func heldOut(_ label: String, _ value: @escaping (HeldOutLoss) -> Double) -> ArmRow {
        ArmRow(label, isOptional: true) { arm in
            guard let first = Spread(arm.repeats.lazy.map { $0.training?.firstHeldOut.map(value) }),
                let last = Spread(arm.repeats.lazy.map { $0.training?.lastHeldOut.map(value) })
            else { return nil }
            return "\(Figure.number(first.median)) -> \(Figure.number(last.median))"
        }
    }

    private init(_ label: String, isOptional: Bool, _ figure: @escaping (ArmReport) -> String?) {
        self.label = label
        self.isOptional = isOptional
        self.figure = figure
    }

    private static func training(
        _ label: String, _ show: @escaping (Double) -> String, _ value: @escaping (TrainingSummary) -> Double?
    ) -> ArmRow {
        ArmRow(label, isOptional: true, show) { $0.training.flatMap(value) }
    }

    /// Zero is no figure here: lines of zeros are left out.
    private static func nonzero(_ count: Int) -> Double? { count == 0 ? nil : Double(count) }
    private static func nonzero(_ duration: SimDuration) -> Double? { duration == .zero ? nil : duration.seconds }
}
