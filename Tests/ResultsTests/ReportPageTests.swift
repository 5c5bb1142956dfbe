import Foundation
import Results
import Simulator
import Testing

@Suite struct ReportPageTests {
    private static let hostile = "<script>alert(1)</script>'\"&\u{1}"

    private static func page(_ change: (inout RunResult) -> Void = { _ in }, named name: String = "r.h5") throws
        -> String
    {
        let folder = try TemporaryDirectory()
        var run = Fixture.run(repeats: 2)
        change(&run)
        try run.write(to: folder.file("r.h5"))
        let file = try ResultsFile(reading: folder.file("r.h5"))
        try ReportPage.write(file, named: name, to: folder.file("r.html"))
        return try String(contentsOfFile: folder.file("r.html"), encoding: .utf8)
    }

    // MARK: What it says

    @Test func showsTheFiguresOfTheFile() throws {
        let page = try Self.page()
        for text in [
            "<th scope=\"col\">serve-only</th>", "<th scope=\"col\">recompute</th>", "reuse against recompute",
            "training speed-up", "TTFT p90", "Haswell".isEmpty ? "" : "three.jsonl", "18446744073709551615", "ünï ☃",
            "cumulative distribution", "Device memory over time", "Loss by training step", "Tokens trained over time",
        ] {
            #expect(page.contains(text), "\(text)")
        }
        // Training speed-up, (50 or 51 + 40 + 5 + 5) / (10 + 40 + 5 + 5) ms by hand: the median of 1.667 and 1.683.
        #expect(page.contains("1.675x"))
    }

    @Test func armsKeepTheOrderOfTheRun() throws {
        let page = try Self.page()
        let places = try ["serve-only", "recompute", "reuse"].map {
            try #require(page.range(of: "<th scope=\"col\">\($0)</th>")).lowerBound
        }
        #expect(places == places.sorted())
    }

    // MARK: What it must never do

    @Test func nothingFromAFileBecomesATag() throws {
        let page = try Self.page(
            { run in
                run.arms[2].name = Self.hostile.replacing("/", with: "|")
                run.comparisons[0].candidate = run.arms[2].name
                run.trace.source = Self.hostile
                run.scenario = "x: \"" + Self.hostile
                run.provenance.commandLine = Self.hostile
            }, named: Self.hostile)
        #expect(!page.contains("<script"))
        #expect(!page.contains("alert(1)</"))
        #expect(!page.unicodeScalars.contains("\u{1}"))
        #expect(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&#39;&quot;&amp;\u{fffd}"))
        #expect(HTMLCheck.problems(in: page) == [])
    }

    @Test func asksForNothingFromAnywhere() throws {
        let page = try Self.page()
        for word in ["http:", "https:", "src=", "@import", "<link", "<script", "javascript:"] {
            #expect(!page.contains(word), "\(word)")
        }
        #expect(page.contains("default-src 'none'"))
        // Hatches of the page's own.
        #expect(page.components(separatedBy: "url(").dropFirst().allSatisfy { $0.hasPrefix("#h") })
    }

    @Test func keepsToTheRulesOfAccessiblePages() throws {
        let page = try Self.page()
        #expect(HTMLCheck.problems(in: page) == [])
        #expect(page.contains("<html lang=\"en\">"))
        #expect(page.contains("prefers-color-scheme:dark"))
        #expect(page.contains("href=\"#content\""))
        #expect(page.contains(":focus-visible"))
    }

    /// Each of these breaks one rule that the checker holds pages to.
    @Test(arguments: [
        "<p>", "<b><i></b></i>", "<p id=\"a\"></p><p id=\"a\"></p>", "<svg></svg>",
        "<svg role=\"img\" aria-labelledby=\"a b\"><title id=\"a\">x</title></svg>",
        "<table><tr><th scope=\"row\">a</th></tr></table>", "<table><caption>a</caption><tr><th>a</th></tr></table>",
        "<a href=\"#gone\">x</a>", "<h1>a</h1><h3>b</h3>",
    ])
    func theCheckerSeesBrokenRules(_ text: String) {
        #expect(!HTMLCheck.problems(in: text).isEmpty)
    }

    @Test func runsWithoutTrainingOrComparisonHaveAPage() throws {
        let page = try Self.page { run in
            run.arms = [run.arms[0]]
            run.comparisons = []
        }
        #expect(HTMLCheck.problems(in: page) == [])
        #expect(!page.contains("id=\"training\""))
    }

    @Test func onlyAnEarlierPageIsReplaced() throws {
        let folder = try TemporaryDirectory()
        try Fixture.run().write(to: folder.file("r.h5"))
        let file = try ResultsFile(reading: folder.file("r.h5"))
        for _ in 0..<2 { try ReportPage.write(file, named: "r", to: folder.file("r.html")) }
        try "<!doctype html>\nmine".write(toFile: folder.file("r.html"), atomically: true, encoding: .utf8)
        #expect(failure(ResultsError.self) { try ReportPage.write(file, named: "r", to: folder.file("r.html")) } != nil)
        #expect(try String(contentsOfFile: folder.file("r.html"), encoding: .utf8) == "<!doctype html>\nmine")
    }

    /// However many arms there are, up to three dozen, no two lines look the same.
    @Test(arguments: [7, 36]) func linesOfManyArmsDiffer(_ count: Int) throws {
        let page = try Self.page { run in
            run.comparisons = []
            run.arms = (0..<count).map { index in
                var arm = run.arms[2]
                arm.name = "arm \(index)"
                return arm
            }
        }
        #expect(HTMLCheck.problems(in: page) == [])
        let legend = try #require(page.components(separatedBy: "aria-label=\"Arms\">").dropFirst().first)
            .components(separatedBy: "</ul>")[0]
        let looks = legend.components(separatedBy: "<li>").dropFirst().map { $0.components(separatedBy: "</svg>")[0] }
        #expect(looks.count == count && Set(looks).count == count)
    }

    // MARK: Its parts

    @Test(arguments: [1, 7, 1000, 123_457]) func sketchesKeepQuantiles(_ count: Int) {
        var sketch = LatencySketch()
        var values: [Int64] = []
        var state: UInt64 = 42
        for _ in 0..<count {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let value = Int64(1 << (state >> 59)) + Int64((state >> 20) % 1000)
            values.append(value)
            sketch.add(value)
        }
        values.sort()
        let shares = [0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.9999, 1]
        for (share, found) in zip(shares, sketch.quantiles(shares)) {
            let exact = Double(values[Int((share * Double(count - 1)).rounded())]) / 1e9
            #expect(abs(found - exact) <= exact / 256, "\(share) of \(count): \(found), not \(exact)")
        }
    }

    @Test(arguments: [(1e-4, 5.0), (0.001, 0.0011), (3e-9, 4000.0), (0.5, 30.0)])
    func timeAxesHaveTicksThatLieOnThem(_ lowest: Double, _ highest: Double) {
        let axis = Axis.logarithmicTime("t", from: lowest, to: highest)
        for tick in axis.ticks {
            let share = axis.share(of: tick.value)
            #expect(share >= 0 && share <= 1)
            #expect(!tick.label.contains(".00"))
        }
        #expect(axis.ticks.count <= 13)
        #expect(abs(axis.share(of: (lowest * highest).squareRoot()) - 0.5) < (highest / lowest > 1.5 ? 1e-6 : 1))
    }
}

/// Rules of pages that need no browser to check.
enum HTMLCheck {
    private static let void: Set<String> = ["meta", "br", "hr", "img", "input", "link"]

    static func problems(in page: String) -> [String] {
        var problems: [String] = []
        var open: [String] = []
        var ids: Set<String> = []
        var references: Set<String> = []
        var heading = 0
        var tables: [(captions: Int, bare: Int)] = []
        var rest = page[...]
        while let start = rest.firstIndex(of: "<") {
            rest = rest[rest.index(after: start)...]
            if rest.hasPrefix("!--") {
                guard let end = rest.range(of: "-->") else { return problems + ["a comment without end"] }
                rest = rest[end.upperBound...]
                continue
            }
            guard let end = rest.firstIndex(of: ">") else { return problems + ["a tag without end"] }
            let tag = String(rest[..<end])
            rest = rest[rest.index(after: end)...]
            if tag.hasPrefix("!") { continue }
            if tag.hasPrefix("/") {
                let name = String(tag.dropFirst())
                if open.last == name {
                    open.removeLast()
                } else {
                    problems.append("</\(name)> closes \(open.last ?? "-")")
                }
                if name == "table", let table = tables.popLast() {
                    if table.captions != 1 { problems.append("a table with \(table.captions) captions") }
                    if table.bare > 0 { problems.append("a table with \(table.bare) heads without scope") }
                }
                continue
            }
            let name = String(tag.prefix { $0 != " " && $0 != "/" && $0 != "\n" })
            func value(_ attribute: String) -> String? {
                guard let range = tag.range(of: " \(attribute)=\"") else { return nil }
                return String(tag[range.upperBound...].prefix { $0 != "\"" })
            }
            if let id = value("id"), !ids.insert(id).inserted { problems.append("id \(id) twice") }
            for attribute in ["aria-labelledby", "aria-describedby"] {
                for id in (value(attribute) ?? "").split(separator: " ") { references.insert(String(id)) }
            }
            if let target = value("href"), target.hasPrefix("#") { references.insert(String(target.dropFirst())) }
            switch name {
            case "svg" where value("aria-hidden") == nil:
                if value("role") != "img" || value("aria-labelledby") == nil {
                    problems.append("a picture without a text alternative")
                }
            case "table": tables.append((0, 0))
            case "caption": if !tables.isEmpty { tables[tables.count - 1].captions += 1 }
            case "th": if !tables.isEmpty, value("scope") == nil { tables[tables.count - 1].bare += 1 }
            case "h1", "h2", "h3", "h4":
                let level = Int(name.dropFirst()) ?? 0
                if level > heading + 1 { problems.append("\(name) below h\(heading)") }
                heading = level
            default: break
            }
            if !tag.hasSuffix("/"), !void.contains(name) { open.append(name) }
        }
        if !open.isEmpty { problems.append("left open: \(open)") }
        for id in references where !ids.contains(id) { problems.append("there is no id \(id)") }
        return problems
    }
}
