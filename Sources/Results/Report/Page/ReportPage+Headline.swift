extension ReportPage {
    /// Key figures of the run's own comparison, then the arms side by side, then every comparison.
    var headline: Markup {
        "\(cards)<div class=\"tables\">\(armTable)<div>\(Markup.joined(comparisons.map(comparisonTable)))</div></div>"
    }

    // MARK: Key figures

    private var cards: Markup {
        guard let main = comparisons.first else { return "" }
        let shown = Self.cardLines.compactMap { line -> Markup? in
            guard let figure = main.live[line.metric] else { return nil }
            var note = line.note
            if let bound = main.live["training_speedup_bound"], line.metric == "training_speedup" {
                note += "; bound \(Figure.factor(bound.median))"
            }
            if let pair = main.paired[line.metric] { note += "; paired \(line.show(pair.median))" }
            return """
                <div><dt>\(line.label)</dt><dd class="value">\(line.show(figure.median))</dd><dd class="note">\(note)</dd></div>

                """
        }
        let latencies: Markup = main.reference.isEmpty ? "" : ", latencies against <b>\(main.reference)</b>"
        return """
            <p><b>\(main.candidate)</b> against <b>\(main.baseline)</b>\(latencies):</p>
            <dl class="cards">\(Markup.joined(shown))</dl>

            """
    }

    private typealias CardLine = (metric: String, label: String, note: String, show: (Double) -> String)

    private static var cardLines: [CardLine] {
        [
            ("training_speedup", "training speed-up", "tokens per busy second", Figure.factor),
            ("training_peak_memory_ratio", "training memory", "of the baseline's", Figure.factor),
            ("ttft_p90_ratio", "TTFT p90", "of serving alone", Figure.factor),
            ("itl_p99_ratio", "ITL p99", "of serving alone", Figure.factor),
            ("reused_token_fraction", "reused tokens", "of those trained on", Figure.percent),
        ]
    }

    // MARK: Arms

    private typealias ArmLine = (metric: String, label: String, show: (Double) -> String)

    private static var armLines: [(group: String, lines: [ArmLine])] {
        let rate = Figure.rate("tok")
        return [
            (
                "Serving",
                [
                    ("requests_finished", "requests finished", Figure.count),
                    ("requests_refused", "requests refused", Figure.count),
                    ("requests_unfinished", "requests unfinished", Figure.count),
                    ("ttft_p50", "TTFT p50", Figure.duration), ("ttft_p90", "TTFT p90", Figure.duration),
                    ("ttft_p99", "TTFT p99", Figure.duration), ("itl_p50", "ITL p50", Figure.duration),
                    ("itl_p99", "ITL p99", Figure.duration), ("e2e_p50", "e2e p50", Figure.duration),
                    ("e2e_p99", "e2e p99", Figure.duration), ("output_throughput", "output throughput", rate),
                    ("preemptions", "preemptions", Figure.count),
                ]
            ),
            (
                "Memory",
                [
                    ("device_peak_bytes", "device peak", Figure.bytes),
                    ("trainer_device_peak_bytes", "trainer's device peak", Figure.bytes),
                    ("host_peak_bytes", "host peak", Figure.bytes),
                    ("training_peak_bytes", "training memory", Figure.bytes),
                    ("transfer_bytes_to_host", "offloaded", Figure.bytes),
                    ("transfer_bytes_to_device", "reloaded", Figure.bytes),
                    ("dropped_tokens", "dropped tokens", Figure.count),
                ]
            ),
            (
                "Training",
                [
                    ("training_steps", "steps", Figure.count), ("trained_tokens", "trained tokens", Figure.count),
                    ("tokens_per_busy_second", "tokens per busy second", rate),
                    ("tokens_per_wall_second", "tokens per wall second", rate),
                    ("tokens_per_device_second", "tokens per device second", rate),
                    ("reused_token_fraction", "reused tokens", Figure.percent),
                    ("forward_share", "forward share of busy time", Figure.percent),
                    ("stall_seconds", "reload stall", Figure.duration),
                    ("longest_trainer_quantum", "longest trainer quantum", Figure.duration),
                    ("learning_lag_p50", "feedback to first token, p50", Figure.duration),
                    ("loss_first", "loss, first quarter", Figure.number),
                    ("loss_last", "loss, last quarter", Figure.number),
                    ("gradient_rounding_error", "gradient rounding error", Figure.number),
                    ("gradient_staleness_error", "gradient staleness error", Figure.number),
                ]
            ),
        ]
    }

    /// Lines without a figure other than zero in any arm are left out.
    private var armTable: Markup {
        let names = Markup.joined(arms.map { "<th scope=\"col\">\($0.name)</th>" })
        var rows: Markup = ""
        for (group, lines) in Self.armLines {
            var shown: Markup = ""
            for line in lines where arms.contains(where: { ($0.figures[line.metric]?.median ?? 0) != 0 }) {
                let cells = arms.map { arm -> Markup in
                    guard let figure = arm.figures[line.metric] else { return "<td>\(Figure.absent)</td>" }
                    return "<td>\(line.show(figure.median))\(spread(figure, arm.repeats, line.show))</td>"
                }
                shown += "<tr><th scope=\"row\">\(line.label)</th>\(Markup.joined(cells))</tr>\n"
            }
            if !shown.text.isEmpty {
                rows +=
                    "<tr class=\"group\"><th scope=\"rowgroup\" colspan=\"\(arms.count + 1)\">\(group)</th></tr>\n\(shown)"
            }
        }
        let repeats = arms.map(\.repeats).max() ?? 1
        let caption = repeats > 1 ? "The arms: medians of \(repeats) repeats, lowest to highest below" : "The arms"
        return """
            <div class="scroll" tabindex="0" role="region" aria-label="The arms"><table><caption>\(caption)</caption>
            <thead><tr><th scope="col">figure</th>\(names)</tr></thead><tbody>
            \(rows)</tbody></table></div>

            """
    }

    private func spread(
        _ figure: (median: Double, lowest: Double, highest: Double), _ repeats: Int, _ show: (Double) -> String
    ) -> Markup {
        guard repeats > 1, figure.lowest < figure.highest else { return "" }
        return "<small>\(show(figure.lowest)) to \(show(figure.highest))</small>"
    }

    // MARK: Comparisons

    private static var comparisonLines: [ArmLine] {
        [
            ("training_speedup", "training speed-up, busy time", Figure.factor),
            ("training_speedup_wall", "training speed-up, wall time", Figure.factor),
            ("training_speedup_bound", "training speed-up, bound", Figure.factor),
            ("training_peak_memory_ratio", "training memory ratio", Figure.factor),
            ("ttft_p50_ratio", "TTFT p50 ratio", Figure.factor), ("ttft_p90_ratio", "TTFT p90 ratio", Figure.factor),
            ("itl_p50_ratio", "ITL p50 ratio", Figure.factor), ("itl_p99_ratio", "ITL p99 ratio", Figure.factor),
            ("ttft_p90_change", "TTFT p90 change", Figure.change),
            ("itl_p99_change", "ITL p99 change", Figure.change),
            ("longest_trainer_quantum", "longest trainer quantum", Figure.duration),
            ("reused_token_fraction", "reused tokens", Figure.percent),
            ("gradient_rounding_error", "gradient rounding error", Figure.number),
            ("gradient_staleness_error", "gradient staleness error", Figure.number),
            ("host_peak_bytes", "host peak", Figure.bytes),
        ]
    }

    private func comparisonTable(_ comparison: ReportComparison) -> Markup {
        let hasPaired = !comparison.paired.isEmpty
        let repeats = arms.first { $0.name == comparison.candidate }?.repeats ?? 1
        var rows: Markup = ""
        for line in Self.comparisonLines {
            guard let live = comparison.live[line.metric] else { continue }
            rows += """
                <tr><th scope="row">\(line.label)</th><td>\(line.show(live.median))\(spread(live, repeats, line.show))</td>
                """
            if hasPaired {
                let paired = comparison.paired[line.metric].map { line.show($0.median) } ?? Figure.absent
                rows += "<td>\(paired)</td>"
            }
            rows += "</tr>\n"
        }
        let latencies = comparison.reference.isEmpty ? "" : "; latencies against \(comparison.reference)"
        let title = "\(comparison.candidate) against \(comparison.baseline)\(latencies)"
        let paired: Markup = hasPaired ? "<th scope=\"col\">paired</th>" : ""
        return """
            <div class="scroll" tabindex="0" role="region" aria-label="\(title)"><table><caption>\(title)</caption>
            <thead><tr><th scope="col">figure</th><th scope="col">live</th>\(paired)</tr></thead><tbody>
            \(rows)</tbody></table></div>

            """
    }
}
