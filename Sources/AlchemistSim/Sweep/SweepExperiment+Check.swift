internal import Results
internal import Simulator

/// Finds mistakes in an experiment before anything runs.
extension SweepExperiment {
    /// Cells that a grid may have: merging holds all figures of all of them in memory.
    static let mostCells = 1_000_000

    func check() throws(ScenarioError) {
        try checkSize()
        for (index, axis) in axes.enumerated() { try checkFields(axis, after: axes[..<index]) }
        try checkNames()
        for axis in axes { try checkValues(axis) }
        try checkConstraints()
        if let search { try check(search) }
    }

    private func checkSize() throws(ScenarioError) {
        var cells = 1
        for axis in axes {
            let (product, overflows) = cells.multipliedReportingOverflow(by: axis.rows.count)
            guard !overflows, product <= Self.mostCells else {
                throw ScenarioError(
                    origin: .file(path, line: axis.line), field: axis.name,
                    problem:
                        "found a grid of \(axes.map { "\($0.rows.count)" }.joined(separator: " x ")) cells, expected "
                        + "at most \(Self.mostCells)")
            }
            cells = product
        }
    }

    private func checkFields(_ axis: SweepAxis, after others: ArraySlice<SweepAxis>) throws(ScenarioError) {
        let origin = ScenarioError.Origin.file(path, line: axis.line)
        for field in axis.changes where others.contains(where: { $0.changes.contains(field) }) {
            throw ScenarioError(origin: origin, field: field, problem: "two axes change this field")
        }
        for field in axis.fields { try base.requireEffect(of: field, at: origin) }
        for field in axis.changes { try requireUnstated(field, by: "the axis \(axis.name)", at: origin) }
    }

    /// A setting of the trace that stands in the file as well would be overridden without a word.
    private func requireUnstated(
        _ field: String, by owner: String, at place: ScenarioError.Origin
    ) throws(ScenarioError) {
        guard case .generated(let recipe) = trace, field.hasPrefix(TraceSettings.prefix),
            let origin = recipe.origin(of: String(field.dropFirst(TraceSettings.prefix.count)))
        else { return }
        let line = if case .file(let path, let line?) = place { " (\(path):\(line))" } else { "" }
        throw ScenarioError(
            origin: origin, field: field,
            problem: "\(owner)\(line) sets this as well, and would override it; expected it in one place")
    }

    /// In a merged file, axes and the fields of groups stand beside the figures, each under its own name.
    private func checkNames() throws(ScenarioError) {
        var taken: [String: String] = [:]
        for axis in axes {
            let fields =
                axis.kind == .zipped ? axis.fields.map { (SweepAxis.dimension(of: $0), "the field \($0)") } : []
            for (name, owner) in [(axis.name, "an axis")] + fields {
                let origin = ScenarioError.Origin.file(path, line: axis.line)
                guard !MergedSweep.reservedNames.contains(name) else {
                    throw ScenarioError(
                        origin: origin, field: axis.name,
                        problem: "found the name `\(name)`, expected another: the merged file has a figure or a group "
                            + "of that name")
                }
                if let other = taken.updateValue(owner, forKey: name) {
                    throw ScenarioError(
                        origin: origin, field: axis.name,
                        problem: other == owner
                            ? "two axes have this name"
                            : "found the name `\(name)` for \(owner) and for \(other), expected different ones: both "
                                + "stand in the merged file")
                }
            }
        }
    }

    /// Every value of every axis is set once.
    private func checkValues(_ axis: SweepAxis) throws(ScenarioError) {
        let origin = ScenarioError.Origin.file(path, line: axis.line)
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
    }

    private func checkConstraints() throws(ScenarioError) {
        guard !constraints.isEmpty else { return }
        var subjects: [String: [String]] = [:]
        for axis in axes {
            for (index, field) in axis.fields.enumerated() { subjects[field] = axis.rows.map { $0[index] } }
            subjects[axis.name] = axis.labels
        }
        for constraint in constraints {
            do throws(ConditionMistake) {
                try constraint.condition.check(subjects)
            } catch {
                throw ScenarioError(
                    origin: .file(path, line: constraint.line), field: "constraints",
                    problem: "found `\(error.found.safeExcerpt)`, expected \(error.expected)")
            }
        }
    }

    private func check(_ search: SearchRequest) throws(ScenarioError) {
        let origin = ScenarioError.Origin.file(path, line: search.line)
        if let axis = axes.first(where: { $0.changes.contains(search.field) }) {
            throw ScenarioError(
                origin: origin, field: search.field,
                problem: "the axis \(axis.name) sets this field, expected another one to search")
        }
        try base.requireEffect(of: search.field, at: origin)
        try requireUnstated(search.field, by: "the search", at: origin)
        for end in [search.from, search.to] {
            var (scenario, trace) = (base, self.trace)
            try Self.set(search.field, to: search.text(of: end), in: &scenario, &trace, at: origin)
        }
    }
}
