internal import Simulator

/// A results file as one page of HTML that needs nothing else: its style and its pictures are in it, it has no script and
/// asks for nothing from anywhere, which its content security policy holds it to.
public struct ReportPage {
    /// How every page begins, and by which an earlier one is known.
    private static let mark = "<!doctype html>\n<!-- made by alchemist-sim report -->\n"

    /// Writes the page to `path`, where it appears when it is whole.
    ///
    /// - Parameter name: what the page calls the results.
    /// - Throws: `ResultsError.notOurs` if `path` holds anything but an earlier page.
    public static func write(
        _ results: borrowing ResultsFile, named name: String, to path: String
    ) throws(ResultsError) {
        var output = try TextOutput(creating: path, mark: mark)
        let page = try ReportPage(results, named: name)
        try output.stream.write(page.html.text)
        try output.commit()
    }

    private let name: String
    private let attributes: [(name: String, value: String)]
    private let scenario: String
    let arms: [ReportArm]
    let comparisons: [ReportComparison]

    init(_ results: borrowing ResultsFile, named name: String) throws(ResultsError) {
        self.name = name
        attributes = try results.rootAttributes
        scenario = try results.scenario
        var arms: [ReportArm] = []
        for arm in try results.armsAsRun { arms.append(try ReportArm(arm, in: results)) }
        self.arms = arms
        comparisons = try ReportComparison.all(in: results)
    }

    var html: Markup {
        var numbers = 0
        let parts = [
            ("headline", "Figures", headline), ("latency", "Latency", latency(&numbers)),
            ("memory", "Memory", memory(&numbers)), ("training", "Training", training(&numbers)),
            ("provenance", "Provenance", provenance),
        ].filter { !$0.2.text.isEmpty }
        let links = parts.map { "<li><a href=\"#\($0.0)\">\($0.1)</a></li>" as Markup }
        let sections = parts.map {
            "<section aria-labelledby=\"\($0.0)\"><h2 id=\"\($0.0)\" tabindex=\"-1\">\($0.1)</h2>\n\($0.2)</section>\n"
                as Markup
        }
        return """
            <html lang="en"><head><meta charset="utf-8">
            <meta name="viewport" content="width=device-width,initial-scale=1">
            <meta http-equiv="Content-Security-Policy" content="default-src 'none';style-src 'unsafe-inline'">
            <meta name="color-scheme" content="light dark">
            <title>\(name): report</title><style>
            \(ReportStyle.sheet)</style></head><body>
            \(ReportStyle.hatches)<a class="skip" href="#content">Skip to the content</a>
            <header><h1>\(name)</h1>
            <p>\(statusMark) \(attribute("trace_source")), seed \(attribute("seed")), \(attribute("created"))</p>
            <nav aria-label="Sections"><ul>\(Markup.joined(links))</ul></nav></header>
            <main id="content" tabindex="-1">
            \(Markup.joined(sections))</main>
            <footer><p>alchemist-sim \(attribute("tool_version")) (\(attribute("git_commit"))). Every figure is defined in \
            the project's docs/metrics.md.</p></footer></body></html>

            """
    }

    private func attribute(_ name: String) -> String { attributes.first { $0.name == name }?.value ?? "" }

    private var statusMark: Markup {
        let status = attribute("status")
        let style: Markup = status == "complete" ? "status" : "status interrupted"
        return "<span class=\"\(style)\">\(status)</span>"
    }

    private var provenance: Markup {
        let rows = attributes.filter { !$0.value.isEmpty }.map {
            "<tr><th scope=\"row\">\($0.name)</th><td><code>\($0.value)</code></td></tr>\n" as Markup
        }
        return """
            <div class="scroll" tabindex="0" role="region" aria-label="Where the run comes from"><table class="text">
            <caption>Where the run comes from</caption><thead><tr><th scope="col">attribute</th>\
            <th scope="col" style="text-align:left">value</th></tr></thead><tbody>
            \(Markup.joined(rows))</tbody></table></div>
            <details><summary>The resolved scenario</summary><pre tabindex="0">\(scenario)</pre></details>

            """
    }
}

extension ResultsFile {
    /// The arms in the order in which they were run, as far as the table of costs tells it.
    var armsAsRun: [String] {
        get throws(ResultsError) {
            let known = try arms
            guard case .text(let names) = try values(at: Schema.costs + "/arm") else { return known }
            var order: [String] = []
            for name in names where order.last != name && !order.contains(name) { order.append(name) }
            return order.filter(known.contains) + known.filter { !order.contains($0) }
        }
    }
}
