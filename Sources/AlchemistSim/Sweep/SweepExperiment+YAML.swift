internal import Foundation
internal import Simulator
internal import Yams

extension SweepExperiment {
    private static let keys = ["scenario", "trace", "axes", "constraints", "arms", "results", "search"]

    /// Reads an experiment's file.
    public init(contentsOf path: String) throws(ScenarioError) {
        let text: String
        do {
            text = try String(contentsOfFile: path, encoding: .utf8)
        } catch {
            throw ScenarioError(
                origin: .file(path, line: nil), problem: "can not be read: \(error.localizedDescription)",
                isInputOutput: true)
        }
        try self.init(yaml: text, path: path)
    }

    /// Reads the text of an experiment's file; `path` is for messages.
    public init(yaml text: String, path: String) throws(ScenarioError) {
        let node: Node?
        do {
            node = try Yams.compose(yaml: text)
        } catch {
            throw Scenario.mistake(error, in: path)
        }
        guard let mapping = node?.mapping else {
            throw ScenarioError(
                origin: .file(path, line: node?.mark?.line),
                problem: "expected an experiment: `scenario`, `trace` and `axes`")
        }
        let reader = ExperimentReader(path: path)
        for (key, _) in mapping where !Self.keys.contains(key.string ?? "") {
            let name = key.string ?? ""
            let hint = nearest(to: name, among: Self.keys).map { "; did you mean `\($0)`?" } ?? ""
            throw reader.mistake(
                key, name.safeExcerpt,
                "there is no such key, expected one of \(Self.keys.joined(separator: ", "))" + hint)
        }
        guard let trace = mapping["trace"] else {
            throw reader.mistake(
                node, "trace", "missing, expected the path of a trace, or `generate:` with the settings of one")
        }
        self.path = path
        self.text = text
        self.trace = try reader.trace(trace)
        if let scenario = mapping["scenario"] { base = try reader.scenario(scenario) }
        if let arms = mapping["arms"] { try base.readArms(arms, path: path) }
        if let axes = mapping["axes"] { self.axes = try reader.axes(axes) }
        if let constraints = mapping["constraints"] {
            self.constraints = try reader.conditions(constraints, "constraints")
        }
        if let results = mapping["results"] {
            guard let kept = Kept(rawValue: results.string ?? "") else {
                throw reader.mistake(
                    results, "results", "found `\((results.string ?? "").safeExcerpt)`, expected full or summary")
            }
            self.kept = kept
        }
        if let search = mapping["search"] { self.search = try reader.search(search) }
        try checkAxes()
    }

    /// Every value of every axis is set once, so that a mistake in one is found before anything runs; and an axis that
    /// every arm overrules would change nothing.
    private func checkAxes() throws(ScenarioError) {
        for (index, axis) in axes.enumerated() {
            let origin = ScenarioError.Origin.file(path, line: axis.line)
            if axes[..<index].contains(where: { $0.name == axis.name }) {
                throw ScenarioError(origin: origin, field: axis.name, problem: "two axes have this name")
            }
            for field in axis.fields where axes[..<index].contains(where: { $0.fields.contains(field) }) {
                throw ScenarioError(origin: origin, field: field, problem: "two axes change this field")
            }
            for row in axis.rows {
                var (scenario, trace) = (base, self.trace)
                for (field, value) in zip(axis.fields, row) {
                    if axis.kind == .seeds {
                        try Self.setSeed(value, in: &scenario, &trace, at: origin)
                    } else {
                        try Self.set(field, to: value, in: &scenario, &trace, at: origin)
                    }
                }
            }
            for field in axis.fields
            where base.arms.allSatisfy({ arm in arm.settings.contains { $0.path == field } }) {
                throw ScenarioError(
                    origin: origin, field: field,
                    problem: "every arm sets this field itself, so this axis would change nothing")
            }
        }
        let known = Set(axes.flatMap { [$0.name] + $0.fields })
        for constraint in constraints {
            for name in constraint.condition.names where name.contains(".") && !known.contains(name) {
                let hint = nearest(to: name, among: known.sorted()).map { "; did you mean `\($0)`?" } ?? ""
                throw ScenarioError(
                    origin: .file(path, line: constraint.line), field: "constraints",
                    problem: "found `\(name.safeExcerpt)`, expected a field that an axis changes" + hint)
            }
        }
    }
}

/// Reads the parts of an experiment's file.
private struct ExperimentReader {
    let path: String

    func mistake(_ node: Node?, _ field: String, _ problem: String) -> ScenarioError {
        ScenarioError(origin: .file(path, line: node?.mark?.line), field: field, problem: problem)
    }

    /// The path of a scenario, or its fields; `file` names one that the other fields change.
    func scenario(_ node: Node) throws(ScenarioError) -> Scenario {
        if let path = node.string { return try Scenario(contentsOf: path) }
        guard let mapping = node.mapping else {
            throw mistake(node, "scenario", "expected the path of a scenario, or its fields")
        }
        var scenario =
            try mapping["file"]?.string.map { path throws(ScenarioError) in try Scenario(contentsOf: path) }
            ?? Scenario()
        let own = mapping.filter { $0.key.string != "file" }
        if !own.isEmpty { try scenario.read(Node(own.map { ($0.key, $0.value) }), path: path) }
        return scenario
    }

    /// The path of a trace, or `generate` with the settings of one.
    func trace(_ node: Node) throws(ScenarioError) -> SweepTrace {
        if let path = node.string, node.mapping == nil { return .file(path) }
        guard let mapping = node.mapping, mapping.count == 1, let settings = mapping["generate"]?.mapping else {
            throw mistake(node, "trace", "expected the path of a trace, or `generate:` with the settings of one")
        }
        var recipe = TraceRecipe()
        for (key, value) in settings {
            guard let text = value.string else {
                throw mistake(key, TraceRecipe.prefix + (key.string ?? ""), "expected one value")
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

    // MARK: Axes

    func axes(_ node: Node) throws(ScenarioError) -> [SweepAxis] {
        guard let mapping = node.mapping else {
            throw mistake(node, "axes", "expected fields with their values, as in `trace.rate: [1, 2, 4]`")
        }
        var axes: [SweepAxis] = []
        for (key, value) in mapping {
            let name = key.string ?? ""
            if name == "seeds" {
                axes.append(try seeds(key, value))
            } else if let zip = value.mapping?["zip"] {
                axes.append(try zipped(name, key, zip, labels: value.mapping?["labels"]))
            } else {
                let values = try values(value, of: name)
                axes.append(
                    SweepAxis(
                        name: SweepAxis.dimension(of: name), kind: .field, fields: [name], rows: values.map { [$0] },
                        labels: values, line: key.mark?.line))
            }
            if let axis = axes.last { try checkNames(axis, key) }
        }
        return axes
    }

    private func checkNames(_ axis: SweepAxis, _ key: Node) throws(ScenarioError) {
        let isName = axis.name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
                true
            default: false
            }
        }
        guard isName, !axis.name.isEmpty, !["arm", "comparison", "points", "paired", "over_seeds"].contains(axis.name)
        else {
            throw mistake(
                key, "axes", "found `\(axis.name.safeExcerpt)`, expected a field, or a name of letters, digits and `_`")
        }
        for values in axis.rows {
            for value in values where value.isEmpty || value.contains(where: { $0.isNewline || $0 == "\t" }) {
                throw mistake(key, axis.name, "found `\(value.safeExcerpt)`, expected a value in one line")
            }
        }
        for (index, label) in axis.labels.enumerated() where axis.labels[..<index].contains(label) {
            throw mistake(key, axis.name, "found `\(label.safeExcerpt)` twice, expected each value once")
        }
    }

    /// `seeds: 5` for 1 to 5, or a list.
    private func seeds(_ key: Node, _ value: Node) throws(ScenarioError) -> SweepAxis {
        let labels: [String]
        if value.sequence != nil {
            labels = try values(value, of: "seeds")
        } else {
            guard let count = value.int, 1...100_000 ~= count else {
                throw mistake(key, "seeds", "expected how many seeds, from 1 to 100000, or a list of them")
            }
            labels = (1...count).map(String.init)
        }
        return SweepAxis(
            name: SweepAxis.seedName, kind: .seeds, fields: ["seed"], rows: labels.map { [$0] }, labels: labels,
            line: key.mark?.line)
    }

    private func zipped(_ name: String, _ key: Node, _ zip: Node, labels: Node?) throws(ScenarioError) -> SweepAxis {
        guard let mapping = zip.mapping, !mapping.isEmpty else {
            throw mistake(zip, name, "expected fields with equally many values each under `zip`")
        }
        var fields: [String] = []
        var columns: [[String]] = []
        for (field, node) in mapping {
            fields.append(field.string ?? "")
            columns.append(try values(node, of: field.string ?? ""))
            guard columns.last?.count == columns[0].count else {
                throw mistake(
                    field, name,
                    "found \(columns.last?.count ?? 0) values of `\(fields.last ?? "")`, expected "
                        + "\(columns[0].count) as of `\(fields[0])`: fields of a group change together")
            }
        }
        let rows = columns[0].indices.map { place in columns.map { $0[place] } }
        var names = rows.map { $0.joined(separator: ", ") }
        if let labels {
            names = try values(labels, of: "labels")
            guard names.count == rows.count else {
                throw mistake(labels, name, "found \(names.count) labels, expected \(rows.count)")
            }
        }
        return SweepAxis(
            name: SweepAxis.dimension(of: name), kind: .zipped, fields: fields, rows: rows, labels: names,
            line: key.mark?.line)
    }

    /// A list, or a range.
    private func values(_ node: Node, of field: String) throws(ScenarioError) -> [String] {
        if let items = node.sequence {
            var values: [String] = []
            for item in items {
                if let text = item.string, item.sequence == nil, item.mapping == nil {
                    values.append(text)
                } else if let list = item.sequence {
                    values.append(list.map { $0.string ?? "" }.joined(separator: ","))
                } else {
                    throw mistake(item, field, "expected values, each in one line")
                }
            }
            guard !values.isEmpty else { throw mistake(node, field, "expected at least one value") }
            return values
        }
        guard let mapping = node.mapping, let from = mapping["from"]?.string, let to = mapping["to"]?.string else {
            throw mistake(
                node, field, "expected a list of values, or a range such as {from: 1, to: 8, steps: 4, log: true}")
        }
        let known = ["from", "to", "steps", "step", "factor", "log", "round"]
        for (key, _) in mapping where !known.contains(key.string ?? "") {
            throw mistake(
                key, field,
                "found `\((key.string ?? "").safeExcerpt)`, expected one of \(known.joined(separator: ", "))")
        }
        let range = SweepRange(
            from: from, to: to, steps: mapping["steps"]?.string, step: mapping["step"]?.string,
            factor: mapping["factor"]?.string, isLog: mapping["log"]?.bool ?? false,
            rounds: mapping["round"]?.bool ?? false)
        do throws(ValueProblem) {
            return try range.values()
        } catch {
            throw mistake(
                node, field, "found a range from \(from.safeExcerpt) to \(to.safeExcerpt), expected \(error.expected)")
        }
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
        return SearchRequest(
            field: field, from: from, to: to, unit: unit, isWhole: mapping["whole"]?.bool ?? false,
            tolerance: tolerance, arm: mapping["arm"]?.string,
            objectives: try conditions(objectives, "objectives"), line: node.mark?.line)
    }

    private func number(_ node: Node?, _ name: String, _ parent: Node) throws(ScenarioError) -> (Double, String) {
        let text = node?.string ?? ""
        for length in 0...min(5, text.count) {
            if let value = Double(text.dropLast(length)), value.isFinite { return (value, String(text.suffix(length))) }
        }
        throw mistake(node ?? parent, "search", "found `\(text.safeExcerpt)` for `\(name)`, expected a number")
    }
}
