internal import Foundation
public import Results
internal import Simulator

/// What an experiment's file says: a scenario, a trace, and the axes along which both change.
public struct SweepExperiment: Sendable {
    /// What is kept of each point.
    enum Kept: String, Sendable, CaseIterable {
        /// A results file and a record of its figures.
        case full
        /// The record alone.
        case summary
    }

    struct Constraint: Sendable {
        let condition: Expression
        let line: Int?
    }

    public let path: String
    /// The text of the file.
    public let text: String
    var base = Scenario()
    var trace: SweepTrace
    var axes: [SweepAxis] = []
    var constraints: [Constraint] = []
    var kept = Kept.full
    var search: SearchRequest?

    /// The file's name without folder and ending: what a sweep's folder is called by default.
    public var name: String { URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent }

    /// Whether points run on this machine's own processors, so that running them side by side changes their figures.
    public var isMeasured: Bool {
        if base.backend == Scenario.measuredBackend { return true }
        return axes.contains { axis in
            axis.fields.firstIndex(of: "backend").map { index in
                axis.rows.contains { $0[index] == Scenario.measuredBackend }
            } ?? false
        }
    }

    /// Whether each point's results file is kept beside its record.
    public var keepsFiles: Bool { kept == .full }

    /// Threads that each measured point asks for; nil leaves them to whoever runs it.
    public var threads: Int? { base.threads > 0 ? base.threads : nil }

    public var mergedAxes: [MergedAxis] { axes.map(\.merged) }

    /// Cells of the grid, those left out by constraints among them; `check` sees to it that they can be counted.
    public var cells: Int { axes.map(\.rows.count).reduce(1, *) }

    /// The place on each axis of a cell, in row-major order.
    func place(of cell: Int) -> [Int] {
        var (rest, place) = (cell, [Int](repeating: 0, count: axes.count))
        for index in axes.indices.reversed() {
            let count = axes[index].rows.count
            place[index] = rest % count
            rest /= count
        }
        return place
    }

    /// Sets a field of the scenario that all points start from, as `--set` does.
    public mutating func set(_ field: String, to value: String, at origin: ScenarioError.Origin) throws(ScenarioError) {
        if let axis = axes.first(where: { $0.changes.contains(field) }) {
            throw ScenarioError(
                origin: origin, field: field,
                problem: "the axis \(axis.name)\(axis.line.map { " (\(path):\($0))" } ?? "") sets this field at every "
                    + "point, expected a change of the axis")
        }
        if search?.field == field {
            throw ScenarioError(
                origin: origin, field: field, problem: "the search sets this field, expected a change of `search`")
        }
        if field.hasPrefix(TraceSettings.prefix), case .generated(var recipe) = trace {
            try recipe.set(String(field.dropFirst(TraceSettings.prefix.count)), to: value, at: origin)
            trace = .generated(recipe)
        } else {
            try base.set(field, to: value, at: origin)
            try base.requireEffect(of: field, at: origin)
        }
        // An axis may have lost its effect.
        try check()
    }

    /// Sets what an axis, or a search, changes.
    static func set(
        _ field: String, to value: String, in scenario: inout Scenario, _ trace: inout SweepTrace,
        at origin: ScenarioError.Origin
    ) throws(ScenarioError) {
        if field == SweepAxis.traceField {
            trace = .file(value)
        } else if field.hasPrefix(TraceSettings.prefix) {
            guard case .generated(var recipe) = trace else {
                throw ScenarioError(
                    origin: origin, field: field,
                    problem: "found a trace from a file, expected `trace: {generate: ...}` to change its settings")
            }
            try recipe.set(String(field.dropFirst(TraceSettings.prefix.count)), to: value, at: origin)
            trace = .generated(recipe)
        } else {
            try scenario.set(field, to: value, at: origin)
        }
    }

    /// Sets a seed: the scenario's, and that of a trace that is made.
    static func setSeed(
        _ seed: String, in scenario: inout Scenario, _ trace: inout SweepTrace, at origin: ScenarioError.Origin
    ) throws(ScenarioError) {
        try scenario.set("seed", to: seed, at: origin)
        if case .generated(var recipe) = trace {
            try recipe.set("seed", to: seed, at: origin)
            trace = .generated(recipe)
        }
    }
}

/// What a search looks for.
struct SearchRequest: Sendable {
    let field: String
    let from: Double
    let to: Double
    let unit: String
    /// Whether values are whole numbers.
    let isWhole: Bool
    /// The relative distance between what meets the objectives and what does not at which a search ends.
    let tolerance: Double
    /// The arm that figures without an arm's name are of.
    let arm: String?
    let objectives: [SweepExperiment.Constraint]
    let line: Int?

    /// A value as it is set.
    func text(of value: Double) -> String {
        Quantity.short(isWhole ? value.rounded() : Double(String(format: "%.6g", value)) ?? value) + unit
    }
}
