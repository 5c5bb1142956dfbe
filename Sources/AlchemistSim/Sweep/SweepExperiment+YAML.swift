internal import Foundation
internal import Simulator
internal import Yams

extension SweepExperiment {
    private static let keys = ["scenario", "trace", "axes", "constraints", "arms", "results", "search"]

    /// Reads an experiment's file.
    public init(contentsOf path: String) throws(ScenarioError) {
        try self.init(yaml: try Scenario.text(of: path), path: path)
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
        try check()
    }
}
