internal import Simulator

extension RunReport {
    /// The arms side by side, and below them each comparison. With repeats, figures are medians over them.
    ///
    /// Three arms take at most 100 columns of text; longer names of arms are shortened.
    public func table() -> String {
        var lines = armLines()
        if let note = window.note { lines += ["", note] }
        for (index, comparison) in comparisons.enumerated() {
            lines.append("")
            lines += comparison.lines(paired: index < paired.count ? paired[index] : nil)
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private func armLines() -> [String] {
        let rows = Row.all.compactMap { row -> [String]? in
            guard row.isShown(arms) else { return nil }
            let figures = arms.map { row.figure($0) }
            if row.isOptional, figures.allSatisfy({ $0 == nil }) { return nil }
            return [row.label] + figures.map { $0 ?? Figure.absent }
        }
        let header = [""] + arms.map { Layout.shortened($0.name) }
        let status = ["status"] + arms.map(\.status.rawValue)
        let interrupted = arms.contains { $0.status != .complete }
        return Layout.aligned([header] + (interrupted ? [status] : []) + rows)
    }
}

extension Comparison {
    /// - Parameter paired: the same comparison over one common table of costs, shown beside the live one.
    fileprivate func lines(paired: Comparison?) -> [String] {
        var title = "\(candidate) against \(baseline)"
        if let reference { title += ", latencies against \(reference)" }
        let rows = Self.shown.map { line -> [String] in
            let own = spread(of: line.metric)
            var cells = [line.label, own.map { line.show($0.median) } ?? Figure.absent]
            if terms.count > 1 {
                cells.append(own.map { "\(line.show($0.minimum)) .. \(line.show($0.maximum))" } ?? "")
            }
            if let paired {
                cells.append(paired.spread(of: line.metric).map { line.show($0.median) } ?? Figure.absent)
            }
            return cells
        }
        guard paired != nil else { return [title] + Layout.aligned(rows) }
        let header = ["", "live"] + (terms.count > 1 ? ["lowest .. highest"] : []) + ["paired"]
        return [title] + Layout.aligned([header] + rows)
    }

    private static var shown: [(label: String, metric: Metric<Terms>, show: (Double) -> String)] {
        [
            ("training speed-up, busy time", trainingSpeedup, Figure.factor),
            ("training speed-up, wall time", trainingSpeedupWall, Figure.factor),
            ("training speed-up, bound", trainingSpeedupBound, Figure.factor),
            ("training memory ratio", trainingPeakMemoryRatio, Figure.factor),
            ("TTFT p50 ratio", firstTokenRatio50, Figure.factor),
            ("TTFT p90 ratio", firstTokenRatio90, Figure.factor),
            ("ITL p50 ratio", tokenGapRatio50, Figure.factor),
            ("ITL p99 ratio", tokenGapRatio99, Figure.factor),
            ("TTFT p90 change", firstTokenChange90, Figure.change),
            ("ITL p99 change", tokenGapChange99, Figure.change),
            ("longest trainer quantum", longestQuantum, Figure.duration),
            ("reused tokens", reusedTokenFraction, Figure.percent),
            ("gradient rounding error", roundingError, Figure.number),
            ("gradient staleness error", stalenessError, Figure.number),
            ("host peak", hostPeakBytes, Figure.bytes),
        ]
    }
}

/// One line of the table of arms.
private struct Row {
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

    static var all: [Row] { serving + recording + memory + training }

    private static var serving: [Row] {
        [
            Row("requests finished", Figure.count) { Double($0.serving.finished) },
            Row("requests refused", isOptional: true, Figure.count) { nonzero($0.serving.refused) },
            Row("requests unfinished", isOptional: true, Figure.count) { nonzero($0.serving.unfinished) },
            Row("preemptions", isOptional: true, Figure.count) { nonzero($0.serving.preemptions) },
            Row("prefix cache hits", isOptional: true, Figure.percent) {
                $0.serving.cachedTokens > 0 ? $0.serving.prefixHitRate : nil
            },
        ]
            + percentiles("TTFT", \.timeToFirstToken) + percentiles("ITL", \.interTokenLatency) + [
                Row("TPOT p50", Figure.duration) { $0.serving.timePerOutputToken?.p50 },
                Row("e2e p50", Figure.duration) { $0.serving.endToEnd?.p50 },
                interval("TTFT mean", Figure.duration, \.timeToFirstToken?.mean, \.firstTokenInterval),
                interval("TPOT mean", Figure.duration, \.timePerOutputToken?.mean, \.perOutputTokenInterval),
                interval("e2e mean", Figure.duration, \.endToEnd?.mean, \.endToEndInterval),
                interval("output throughput", Figure.rate("tok"), \.outputThroughput, \.outputThroughputInterval),
                Row("request throughput", Figure.rate("req")) { $0.serving.requestThroughput },
                Row("total throughput", Figure.rate("tok")) { $0.serving.totalThroughput },
            ]
    }

    /// A mean with half its 95 % confidence interval, if there is one; medians over repeats.
    private static func interval(
        _ label: String, _ show: @escaping (Double) -> String, _ value: @escaping (ServingSummary) -> Double?,
        _ width: @escaping (ServingSummary) -> Double?
    ) -> Row {
        Row(label, isOptional: true) { arm in
            guard let mean = Spread(arm.repeats.lazy.map { value($0.serving) }) else { return nil }
            let half = Spread(arm.repeats.lazy.map { width($0.serving) })
            return show(mean.median) + (half.map { " ± " + show($0.median) } ?? "")
        }
    }

    private static var recording: [Row] {
        [
            Row("dropped tokens", isOptional: true, Figure.count) { nonzero($0.serving.droppedTokens) },
            Row("serving stall", isOptional: true, Figure.duration) { nonzero($0.serving.held) },
            Row("admission stall", isOptional: true, Figure.duration) { nonzero($0.recording.admissionStall) },
        ]
    }

    private static func percentiles(
        _ name: String, _ distribution: @escaping (ServingSummary) -> Distribution?
    ) -> [Row] {
        [
            Row("\(name) p50", Figure.duration) { distribution($0.serving)?.p50 },
            Row("\(name) p90", Figure.duration) { distribution($0.serving)?.p90 },
            Row("\(name) p99", Figure.duration) { distribution($0.serving)?.p99 },
        ]
    }

    private static var memory: [Row] {
        MemoryTier.allCases.flatMap { tier in
            let name = tier.name.replacing("_", with: " ")
            return [
                Row("\(name) peak", isOptional: tier == .trainerDevice, Figure.bytes) { summary in
                    tier == .trainerDevice
                        ? nonzero(summary.memory.trainerDevice.count) : Double(summary.memory.peak(on: tier).count)
                }
            ]
                + MemoryOwner.allCases.map { owner in
                    let name = owner.name.replacing("_", with: " ")
                    return Row("  \(name)", isOptional: true, Figure.bytes) { summary in
                        nonzero(summary.memory.peak(of: owner, on: tier).count)
                    }
                }
        } + [Row("training memory", Figure.bytes) { Double($0.memory.training.count) }]
    }

    private static var training: [Row] {
        [
            training("training steps", Figure.count) { Double($0.steps) },
            training("trained tokens", Figure.count) { Double($0.tokens) },
            training("tokens per busy second", Figure.rate("tok"), \.tokensPerBusySecond),
            training("tokens per wall second", Figure.rate("tok"), \.tokensPerWallSecond),
            perDevice("tokens per device second", \.tokensPerDeviceSecond),
            Row("loss first -> last", isOptional: true) { arm in
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
    private static func perDevice(_ label: String, _ value: @escaping (TrainingSummary) -> Double?) -> Row {
        var row = training(label, Figure.rate("tok"), value)
        row.isShown = { $0.contains { $0.repeats.contains { ($0.training?.devices ?? 1) > 1 } } }
        return row
    }

    /// Of runs with records that are rounded.
    private static func precision(_ label: String, _ value: @escaping (TrainingSummary) -> Spread?) -> Row {
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

    private static func heldOut(_ label: String, _ value: @escaping (HeldOutLoss) -> Double) -> Row {
        Row(label, isOptional: true) { arm in
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
    ) -> Row {
        Row(label, isOptional: true, show) { $0.training.flatMap(value) }
    }

    /// Zero is no figure here: lines of zeros are left out.
    private static func nonzero(_ count: Int) -> Double? { count == 0 ? nil : Double(count) }
    private static func nonzero(_ duration: SimDuration) -> Double? { duration == .zero ? nil : duration.seconds }
}

/// Columns of text.
private enum Layout {
    /// The longest name of an arm that is shown whole.
    static let nameLimit = 20

    static func shortened(_ name: String) -> String {
        name.count <= nameLimit ? name : name.prefix(nameLimit - 1) + "…"
    }

    /// Pads cells to the widths of their columns: the first to the left, the others to the right.
    static func aligned(_ rows: [[String]]) -> [String] {
        var widths: [Int] = []
        for row in rows {
            for (column, cell) in row.enumerated() {
                if column == widths.count { widths.append(0) }
                widths[column] = max(widths[column], cell.count)
            }
        }
        return rows.map { row in
            row.enumerated().map { column, cell in
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                return column == 0 ? cell + padding : padding + cell
            }.joined(separator: "  ")
        }
    }
}
