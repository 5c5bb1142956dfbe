extension ReportPage {
    private typealias Kind = (title: String, meaning: String, sketch: (ReportArm) -> LatencySketch)

    private static var kinds: [Kind] {
        [
            ("Time to first token (TTFT)", "from a request's effective arrival", { $0.firstToken }),
            ("Inter-token latency (ITL)", "every gap between two tokens", { $0.tokenGap }),
            ("End-to-end latency (e2e)", "from effective arrival to the last token", { $0.endToEnd }),
        ]
    }

    /// Where the curves have points: evenly, and closer and closer towards the slowest.
    private static let shares: [Double] =
        (0..<100).map { Double($0) / 100 } + (0..<40).map { 0.99 + 0.0002 * Double($0) } + [0.998, 0.999, 0.9999, 1]

    /// Cumulative distributions of the three latencies, a curve for each arm.
    func latency(_ number: inout Int) -> Markup {
        var figures: Markup = ""
        for kind in Self.kinds {
            let shown = arms.enumerated().filter { kind.sketch($0.element).total > 0 }
            guard !shown.isEmpty else { continue }
            number += 1
            let lowest = shown.compactMap { kind.sketch($0.element).quantile(0.005) }.min() ?? 1e-3
            let highest = shown.compactMap { kind.sketch($0.element).quantile(1) }.max() ?? 1
            var chart = Chart(
                title: "\(kind.title): cumulative distribution", summary: summary(of: kind),
                x: .logarithmicTime("\(kind.meaning) (log scale)", from: lowest, to: highest), y: .shares)
            for (index, arm) in shown {
                let quantiles = kind.sketch(arm).quantiles(Self.shares)
                chart.lines.append(Chart.Line(points: zip(quantiles, Self.shares).map { ($0, $1) }, series: index))
            }
            figures += "<figure><h3>\(kind.title)</h3>\(chart.svg(number))\(table(of: kind))</figure>\n"
        }
        guard !figures.text.isEmpty else { return "" }
        return """
            <p class="soft">Of all finished requests of all repeats. A curve further left is faster.</p>
            \(lineLegend(arms.indices.map { $0 }))<div class="figures">\(figures)</div>

            """
    }

    /// Names of arms beside a piece of their lines.
    func lineLegend(_ shown: [Int]) -> Markup {
        let items = shown.map { index -> Markup in
            """
            <li><svg viewBox="0 0 35 12" aria-hidden="true">\
            \(ReportStyle.line(index, "M0 6H35", marks: [(17.5, 6)]))</svg>\(arms[index].name)</li>
            """
        }
        return "<ul class=\"legend\" aria-label=\"Arms\">\(Markup.joined(items))</ul>\n"
    }

    private func summary(of kind: Kind) -> String {
        arms.filter { kind.sketch($0).total > 0 }.map { arm in
            let figures = kind.sketch(arm).quantiles([0.5, 0.9, 0.99]).map(Figure.duration)
            return "\(arm.name): median \(figures[0]), 90th percentile \(figures[1]), 99th \(figures[2])."
        }.joined(separator: " ")
    }

    private static let percentiles: [(label: String, share: Double)] = [
        ("p10", 0.1), ("p25", 0.25), ("p50", 0.5), ("p75", 0.75), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99),
        ("p99.9", 0.999), ("slowest", 1),
    ]

    private func table(of kind: Kind) -> Markup {
        let shown = arms.filter { kind.sketch($0).total > 0 }
        let columns = shown.map { kind.sketch($0).quantiles(Self.percentiles.map(\.share)) }
        let rows = Self.percentiles.indices.map { index -> Markup in
            let cells = Markup.joined(columns.map { "<td>\(Figure.duration($0[index]))</td>" })
            return "<tr><th scope=\"row\">\(Self.percentiles[index].label)</th>\(cells)</tr>\n"
        }
        let names = Markup.joined(shown.map { "<th scope=\"col\">\($0.name)</th>" })
        return """
            <details><summary>Percentiles</summary><div class="scroll" tabindex="0" role="region" \
            aria-label="Percentiles: \(kind.title)"><table><caption>\(kind.title)</caption><thead><tr>\
            <th scope="col">percentile</th>\(names)</tr></thead><tbody>
            \(Markup.joined(rows))</tbody></table></div></details>
            """
    }
}
