internal import Simulator

extension RunReport {
    /// The arms side by side, and below them each comparison. With repeats, figures are medians over them.
    ///
    /// Three arms take at most 100 columns of text; longer names of arms are shortened.
    public func table() -> String {
        var lines = armLines()
        if let note = interruption { lines += ["", note] }
        if let note = window.note { lines += ["", note] }
        for (index, comparison) in comparisons.enumerated() {
            lines.append("")
            lines += comparison.lines(paired: index < paired.count ? paired[index] : nil)
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private func armLines() -> [String] {
        let rows = ArmRow.all.compactMap { row -> [String]? in
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
        if terms.isEmpty { return ["\(candidate) against \(baseline): no repeat has both of them whole"] }
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
