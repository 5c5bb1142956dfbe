internal import Glibc
internal import Simulator
internal import Yams

/// Reads the parts of an experiment's file.
struct ExperimentReader {
    let path: String

    func mistake(_ node: Node?, _ field: String, _ problem: String) -> ScenarioError {
        ScenarioError(origin: .file(path, line: node?.mark?.line), field: field.safeExcerpt, problem: problem)
    }

    /// The path that a node is; nil if it is no text. Fields that became one text, breaks of lines and all, are no path.
    private func file(_ node: Node?, _ field: String, _ expected: String) throws(ScenarioError) -> String? {
        guard let path = node?.string else { return nil }
        guard path.utf8.count <= PATH_MAX, !path.unicodeScalars.contains(where: \.isInvisible) else {
            throw mistake(node, field, "found `\(path.safeExcerpt)`, \(expected)")
        }
        return path
    }

    /// The path of a scenario, or its fields; `file` names one that the other fields change.
    func scenario(_ node: Node) throws(ScenarioError) -> Scenario {
        let expected = "expected the path of a scenario, or its fields"
        if let path = try file(node, "scenario", expected) { return try Scenario(contentsOf: path) }
        guard let mapping = node.mapping else {
            throw mistake(node, "scenario", expected)
        }
        var scenario = Scenario()
        if let path = try file(mapping["file"], "scenario.file", "expected the path of a scenario") {
            scenario = try Scenario(contentsOf: path)
        }
        let own = mapping.filter { $0.key.string != "file" }
        if !own.isEmpty { try scenario.read(Node(own.map { ($0.key, $0.value) }), path: path) }
        return scenario
    }

    /// The path of a trace, or `generate` with the settings of one.
    func trace(_ node: Node) throws(ScenarioError) -> SweepTrace {
        let expected = "expected the path of a trace, or `generate:` with the settings of one"
        if let path = try file(node, "trace", expected) { return .file(path) }
        guard let mapping = node.mapping, mapping.count == 1, let settings = mapping["generate"]?.mapping else {
            throw mistake(node, "trace", expected)
        }
        var recipe = TraceSettings()
        for (key, value) in settings {
            guard let text = value.string else {
                throw mistake(key, TraceSettings.prefix + (key.string ?? "").safeExcerpt, "expected one value")
            }
            try recipe.set(key.string ?? "", to: text, at: .file(path, line: key.mark?.line))
        }
        return .generated(recipe)
    }

    func conditions(_ node: Node, _ field: String) throws(ScenarioError) -> [SweepExperiment.Constraint] {
        let items = node.sequence.map(Array.init) ?? [node]
        var conditions: [SweepExperiment.Constraint] = []
        for item in items {
            guard let text = item.string else { throw mistake(item, field, "expected conditions as text") }
            do throws(ValueProblem) {
                conditions.append(.init(condition: try Expression(text), line: item.mark?.line))
            } catch {
                throw mistake(item, field, "found `\(text.safeExcerpt)`, expected \(error.expected)")
            }
        }
        return conditions
    }

    // MARK: Search

    func search(_ node: Node) throws(ScenarioError) -> SearchRequest {
        let known = ["field", "from", "to", "tolerance", "whole", "arm", "objectives"]
        guard let mapping = node.mapping else {
            throw mistake(node, "search", "expected \(known.joined(separator: ", "))")
        }
        for (key, _) in mapping where !known.contains(key.string ?? "") {
            throw mistake(
                key, "search",
                "found `\((key.string ?? "").safeExcerpt)`, expected one of \(known.joined(separator: ", "))")
        }
        guard let field = mapping["field"]?.string, let objectives = mapping["objectives"] else {
            throw mistake(node, "search", "expected `field`, `from`, `to` and `objectives`")
        }
        let (from, unit) = try number(mapping["from"], "from", node)
        let (to, otherUnit) = try number(mapping["to"], "to", node)
        guard unit == otherUnit, from < to, from > 0 else {
            throw mistake(node, "search", "expected `from` above zero and below `to`, in the same unit")
        }
        let tolerance = mapping["tolerance"]?.string.flatMap { Expression.number($0) } ?? 0.02
        guard tolerance > 0, tolerance < 1 else {
            throw mistake(mapping["tolerance"], "tolerance", "expected a share between 0 and 1, such as 0.02")
        }
        let isWhole = try flag(mapping["whole"], "search.whole")
        if isWhole {
            guard from == from.rounded(), to == to.rounded() else {
                throw mistake(
                    node, "search",
                    "found `from` \(Quantity.short(from)) and `to` \(Quantity.short(to)), expected whole "
                        + "numbers with whole: true")
            }
            guard mapping["tolerance"] == nil else {
                throw mistake(
                    mapping["tolerance"], "search.tolerance",
                    "found with whole: true, expected none: whole numbers are tried until they are neighbours")
            }
        }
        return SearchRequest(
            field: field, from: from, to: to, unit: unit, isWhole: isWhole,
            tolerance: tolerance, arm: mapping["arm"]?.string,
            objectives: try conditions(objectives, "objectives"), line: node.mark?.line)
    }

    private func number(_ node: Node?, _ name: String, _ parent: Node) throws(ScenarioError) -> (Double, String) {
        let text = node?.string ?? ""
        do throws(ValueProblem) {
            return try SweepRange.split(text)
        } catch {
            throw mistake(
                node ?? parent, "search", "found `\(text.safeExcerpt)` for `\(name)`, expected \(error.expected)")
        }
    }

    /// `true` or `false`; what is left out is false.
    func flag(_ node: Node?, _ field: String) throws(ScenarioError) -> Bool {
        guard let node else { return false }
        guard let value = node.bool else {
            throw mistake(node, field, "found `\((node.string ?? "").safeExcerpt)`, expected true or false")
        }
        return value
    }
}
