extension ReportPage {
    /// Parts of the trainer's busy time, by their metrics, and the colours of their bars.
    private static let phases: [(metric: String, name: String, kind: Int)] = [
        ("forward_seconds", "forward", 4), ("recompute_seconds", "recompute", 5), ("loss_seconds", "head and loss", 2),
        ("backward_seconds", "backward", 6), ("optimizer_seconds", "optimizer", 8),
        ("publish_seconds", "publish", 3), ("stall_seconds", "reload stall", 0),
    ]

    /// Loss by step, tokens over time, and where the trainer's time goes, for the arms that train.
    func training(_ number: inout Int) -> Markup {
        let trained = arms.indices.filter { arms[$0].steps.count > 0 }
        guard !trained.isEmpty else { return "" }
        var figures: Markup = ""
        if let chart = lossChart(trained) {
            number += 1
            figures += "<figure><h3>Loss by step</h3>\(chart.svg(number))</figure>\n"
        }
        number += 1
        figures += "<figure><h3>Tokens trained by then</h3>\(progressChart(trained).svg(number))</figure>\n"
        return """
            <p class="soft">First repeat.</p>\(lineLegend(trained))
            <div class="figures">\(figures)</div>
            \(timeBars(trained, &number))

            """
    }

    private func lossChart(_ trained: [Int]) -> Chart? {
        let known = trained.filter { !arms[$0].steps.losses.isEmpty }
        let values = known.flatMap { arms[$0].steps.losses.map(\.loss) }
        guard let lowest = values.min(), let highest = values.max() else { return nil }
        let margin = max((highest - lowest) * 0.06, 1e-3)
        let last = known.map { Double(arms[$0].steps.count - 1) }.max() ?? 1
        let summary = known.map { index in
            let losses = arms[index].steps.losses
            return "\(arms[index].name): from \(Figure.number(losses.first?.loss ?? 0)) to "
                + "\(Figure.number(losses.last?.loss ?? 0)) nats."
        }.joined(separator: " ")
        var chart = Chart(
            title: "Loss by training step", summary: summary, x: .linear("training step", to: max(last, 1)),
            y: .linear("loss (nats)", from: lowest - margin, to: highest + margin))
        for index in known {
            chart.lines.append(
                Chart.Line(points: arms[index].steps.losses.map { ($0.step, $0.loss) }, series: index))
        }
        return chart
    }

    private func progressChart(_ trained: [Int]) -> Chart {
        let all = trained.flatMap { arms[$0].steps.progress }
        let summary = trained.map { index in
            let last = arms[index].steps.progress.last
            return "\(arms[index].name): \(Figure.count(last?.tokens ?? 0)) tokens in "
                + "\(Figure.duration(last?.time ?? 0))."
        }.joined(separator: " ")
        let most = all.map(\.tokens).max() ?? 1
        let scale = most >= 2e6 ? (1e6, "million tokens") : most >= 2e3 ? (1e3, "thousand tokens") : (1, "tokens")
        var chart = Chart(
            title: "Tokens trained over time", summary: summary,
            x: .linear("virtual time (s)", to: all.map(\.time).max() ?? 1), y: .linear(scale.1, to: most / scale.0))
        for index in trained {
            let points = arms[index].steps.progress.map { (x: $0.time, y: $0.tokens / scale.0) }
            chart.lines.append(Chart.Line(points: points, series: index))
        }
        return chart
    }

    /// A bar for each arm: busy time per trained token, by phase. Medians over the repeats.
    private func timeBars(_ trained: [Int], _ number: inout Int) -> Markup {
        let bars = trained.map { index -> (name: String, parts: [Double]) in
            let figures = arms[index].figures
            let tokens = max(figures["trained_tokens"]?.median ?? 1, 1)
            return (arms[index].name, Self.phases.map { (figures[$0.metric]?.median ?? 0) / tokens })
        }
        let longest = bars.map { $0.parts.reduce(0, +) }.max() ?? 0
        guard longest > 0 else { return "" }
        let shown = Self.phases.indices.filter { phase in bars.contains { $0.parts[phase] > 0 } }
        number += 1
        let (width, row) = (760.0, 34.0)
        let height = row * Double(bars.count) + 8
        var drawing: Markup = ""
        for (line, bar) in bars.enumerated() {
            var left = 0.0
            for phase in shown where bar.parts[phase] > 0 {
                let size = bar.parts[phase] / longest * width
                drawing += """
                    <rect class="area k\(Self.phases[phase].kind)" x="\(at: left)" y="\(at: row * Double(line) + 18)" \
                    width="\(at: size)" height="13"/>
                    """
                left += size
            }
            drawing += """
                <text x="0" y="\(at: row * Double(line) + 13)">\(bar.name): \(Figure.duration(bar.parts.reduce(0, +))) \
                per token</text>

                """
        }
        let items = shown.map { phase -> Markup in
            """
            <li><svg viewBox="0 0 35 12" aria-hidden="true"><rect class="k\(Self.phases[phase].kind)" width="35" \
            height="12"/></svg>\(Self.phases[phase].name)</li>
            """
        }
        let names = Markup.joined(bars.map { "<th scope=\"col\">\($0.name)</th>" })
        let rows = shown.map { phase -> Markup in
            let cells = Markup.joined(bars.map { "<td>\(Figure.duration($0.parts[phase]))</td>" })
            return "<tr><th scope=\"row\">\(Self.phases[phase].name)</th>\(cells)</tr>\n"
        }
        let summary = bars.map { "\($0.name): \(Figure.duration($0.parts.reduce(0, +)))." }.joined(separator: " ")
        return """
            <figure><h3>Where the trainer's time goes, per trained token</h3>
            <ul class="legend" aria-label="Phases">\(Markup.joined(items))</ul>
            <svg viewBox="0 0 \(at: width) \(at: height)" role="img" aria-labelledby="c\(number)t c\(number)d">
            <title id="c\(number)t">Busy time per trained token</title><desc id="c\(number)d">\(summary)</desc>
            \(drawing)</svg>
            <details><summary>Times by phase</summary><div class="scroll" tabindex="0" role="region" \
            aria-label="Times by phase"><table><caption>Busy time per trained token, by phase</caption><thead><tr>\
            <th scope="col">phase</th>\(names)</tr></thead><tbody>
            \(Markup.joined(rows))</tbody></table></div></details></figure>

            """
    }
}
