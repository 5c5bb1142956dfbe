internal import Foundation
public import Results
internal import Simulator

/// Looks for the highest value of a field at which objectives are met, by bisection.
///
/// It takes for granted that they are met up to some value and not above it. Every value tried is a point like those of a
/// sweep, and is kept as one: a search that was interrupted, or is asked for again, runs only what is missing.
public final class ThresholdSearch {
    /// One value that was tried.
    public struct Trial: Sendable, Encodable {
        public let coordinates: [String: String]
        public let field: String
        public let text: String
        public let value: Double
        public let meets: Bool
        /// The first objective that is not met, or why the point could not be run.
        public let reason: String?
        /// The figures that objectives name, and their units as in docs/metrics.md.
        public let figures: [String: Double?]
        public let units: [String: String]
        public let point: String
        /// Whether an earlier run of this build had it.
        public let wasKnown: Bool
    }

    /// What came of the search in one cell of the grid.
    public struct Outcome: Sendable, Encodable {
        public let coordinates: [String: String]
        /// The highest value tried that meets the objectives; nil if the lowest does not.
        public let highest: Double?
        public let text: String?
        /// The lowest value tried that does not; nil if the highest allowed does.
        public let lowestFailing: Double?
        public let lowestFailingText: String?
        public let trail: [Trial]
    }

    private let resolver: PointResolver
    private let runner: PointRunner
    private let folder: SweepFolder
    private let program: PointRecord.Program
    private let inspector: PointInspector
    private let request: SearchRequest
    private let arms: [String]

    private var path: String { resolver.experiment.path }

    /// - Throws: `ScenarioError` if the experiment states no search, or objectives name figures that there are none of.
    public init(
        _ resolver: PointResolver, _ runner: PointRunner, in folder: SweepFolder, program: PointRecord.Program
    ) throws {
        guard let request = resolver.experiment.search else {
            throw ScenarioError(
                origin: .file(resolver.experiment.path, line: nil), field: "search",
                problem: "missing, expected `field`, `from`, `to` and `objectives`")
        }
        self.resolver = resolver
        self.runner = runner
        self.folder = folder
        self.program = program
        inspector = PointInspector(
            folder, keepsFiles: resolver.experiment.keepsFiles, program: program, conditions: runner.conditions)
        self.request = request
        arms = resolver.experiment.base.arms.map(\.name)
        if let arm = request.arm, !arms.contains(arm) {
            throw ScenarioError(
                origin: .file(path, line: request.line), field: "search.arm",
                problem: "found `\(arm.safeExcerpt)`, expected one of \(arms.joined(separator: ", "))")
        }
        for objective in request.objectives {
            for name in objective.condition.names where unit(of: name) == nil {
                let known =
                    ArmSummary.metrics.map(\.name)
                    + arms.flatMap { arm in ArmSummary.metrics.map { "\(arm).\($0.name)" } }
                let hint = nearest(to: name, among: known).map { "; did you mean `\($0)`?" } ?? ""
                throw ScenarioError(
                    origin: .file(path, line: objective.line), field: "objectives",
                    problem: "found `\(name.safeExcerpt)`, expected a figure, ARM.FIGURE or comparison.FIGURE" + hint)
            }
            do throws(ValueProblem) {
                try objective.condition.checkUnits { unit(of: $0) }
            } catch {
                throw mistake(objective, error)
            }
        }
    }

    /// The field that is searched, and the cells of the grid to search in.
    public var field: String { request.field }

    public func cells() throws -> [SweepPoint] { try resolver.points() }

    /// Finds a search that could not try its ends, before anything is run: everything is put in place that a run needs. What
    /// does not fit the simulated memory meets no objective, and is no mistake.
    public func check(_ cells: [SweepPoint]) throws {
        for cell in cells {
            for end in [request.from, request.to] {
                let text = request.text(of: end)
                let resolved = try resolver.resolve(cell.cell, setting: (request.field, text))
                if case .whole = try inspector.find(resolved.point).stage { continue }
                do {
                    try runner.prepare(resolved)
                } catch {
                    guard Self.isMistake(error) else { throw error }
                    let place = cell.coordinates.isEmpty ? "" : " at \(cell.name)"
                    throw ScenarioError(
                        origin: .file(path, line: request.line), field: "search",
                        problem: "\(request.field) = \(text)\(place) can not be run: \(error)")
                }
            }
        }
    }

    /// Whether an error is one of what the experiment says, rather than of a file or a disk.
    private static func isMistake(_ error: any Error) -> Bool {
        switch error {
        case let error as ScenarioError: !error.isInputOutput
        case let error as TraceError: !error.isInputOutput
        case let error as ExperimentError:
            switch error {
            case .scenario(let error): !error.isInputOutput
            case .profile(let error): !error.isInputOutput
            case .arm, .unknownModel, .foreignProfile: true
            case .checkpoint, .pricing, .brokenLaw: false
            }
        default: false
        }
    }

    /// Searches in one cell.
    ///
    /// - Parameter report: told of every trial.
    public func run(
        in cell: SweepPoint, report: (Trial) -> Void, shouldStop: @escaping () -> Bool
    ) throws -> Outcome {
        var trail: [Trial] = []
        func meets(_ value: Double) throws -> Bool {
            let trial = try self.trial(value, cell, shouldStop)
            trail.append(trial)
            report(trial)
            return trial.meets
        }
        func outcome(_ highest: Double?, _ failing: Double?) -> Outcome {
            Outcome(
                coordinates: Self.dictionary(cell), highest: highest, text: highest.map(request.text(of:)),
                lowestFailing: failing, lowestFailingText: failing.map(request.text(of:)), trail: trail)
        }
        var (low, high) = (request.from, request.to)
        guard try meets(low) else { return outcome(nil, low) }
        if try meets(high) { return outcome(high, nil) }
        while let middle = middle(low, high) {
            if try meets(middle) { low = middle } else { high = middle }
        }
        return outcome(low, high)
    }

    /// The value to try next; nil once both are close enough.
    private func middle(_ low: Double, _ high: Double) -> Double? {
        let middle = (low * high).squareRoot()
        guard !request.isWhole else {
            guard high - low > 1 else { return nil }
            return min(max(middle.rounded(), low + 1), high - 1)
        }
        guard high / low > 1 + request.tolerance else { return nil }
        // As it is written, so that what is run is what is compared.
        let value = Double(request.text(of: middle).dropLast(request.unit.count)) ?? middle
        return value > low && value < high ? value : nil
    }

    private func trial(_ value: Double, _ cell: SweepPoint, _ shouldStop: @escaping () -> Bool) throws -> Trial {
        let text = request.text(of: value)
        let resolved = try resolver.resolve(cell.cell, setting: (request.field, text))
        let found = try inspector.find(resolved.point)
        var record = found.record
        // What does not fit the simulated memory meets no objective; anything else is a mistake.
        var problem: String?
        if case .failed = found.stage {
            problem = FailureLog.lackOfMemory(at: folder.log(of: resolved.point.id), found: program)
        }
        let wasKnown = record != nil || problem != nil
        if !wasKnown {
            do {
                record = try runner.run(resolved, shouldStop: shouldStop)
            } catch {
                guard PointRunner.isLackOfMemory(error) else { throw error }
                problem = "\(error)"
            }
        }
        let figures = record?.figures ?? []
        var named: [String: Double?] = [:]
        for objective in request.objectives {
            for name in objective.condition.names { named[name] = .some(figure(name, figures)) }
            guard problem == nil else { continue }
            let holds: Bool
            do throws(ValueProblem) {
                holds = try objective.condition.holds { name in
                    self.subject(of: name).map { _ in self.figure(name, figures).map(Expression.Value.number) ?? .absent
                    }
                }
            } catch {
                throw mistake(objective, error)
            }
            if !holds { problem = objective.condition.text }
        }
        return Trial(
            coordinates: Self.dictionary(cell), field: request.field, text: text, value: value, meets: problem == nil,
            reason: problem, figures: named,
            units: Dictionary(uniqueKeysWithValues: named.keys.map { ($0, unit(of: $0)?.rawValue ?? "") }),
            point: resolved.point.id, wasKnown: wasKnown)
    }

    private static func dictionary(_ point: SweepPoint) -> [String: String] {
        Dictionary(point.coordinates.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
    }

    private func mistake(_ objective: SweepExperiment.Constraint, _ problem: ValueProblem) -> ScenarioError {
        ScenarioError(
            origin: .file(path, line: objective.line), field: "objectives",
            problem: "found `\(objective.condition.text.safeExcerpt)`, expected \(problem.expected)")
    }

    /// The unit of the figure that a name stands for; nil if it stands for none.
    private func unit(of name: String) -> MetricUnit? {
        guard let subject = subject(of: name) else { return nil }
        return subject.arm == nil
            ? Comparison.metrics.first { $0.name == subject.figure }?.unit
            : ArmSummary.metrics.first { $0.name == subject.figure }?.unit
    }

    /// What a name stands for: an arm's figure or a comparison's.
    private func subject(of name: String) -> (arm: String?, figure: String)? {
        let isArmFigure = { (figure: String) in ArmSummary.metrics.contains { $0.name == figure } }
        if isArmFigure(name) { return (request.arm ?? arms.last, name) }
        guard let dot = name.lastIndex(of: ".") else { return nil }
        let (owner, figure) = (String(name[..<dot]), String(name[name.index(after: dot)...]))
        if owner == "comparison" {
            return Comparison.metrics.contains { $0.name == figure } ? (nil, figure) : nil
        }
        return arms.contains(owner) && isArmFigure(figure) ? (owner, figure) : nil
    }

    private func figure(_ name: String, _ groups: [PointRecord.Figures]) -> Double? {
        guard let (arm, figure) = subject(of: name) else { return nil }
        let group = groups.first { group in
            switch group.subject {
            case .arm(let name): name == arm
            case .comparison: arm == nil
            case .paired: false
            }
        }
        return group?.value(of: figure)
    }

    /// Writes what was found beside the points: `search.json`, and `search.h5` with the trail as a table.
    public func write(_ outcomes: [Outcome]) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try SweepFolder.write(String(decoding: try encoder.encode(outcomes), as: UTF8.self) + "\n", to: jsonPath)
        let axes = resolver.experiment.axes.map(\.name)
        let rows = outcomes.flatMap(\.trail).map { trial in
            SearchTrail.Row(
                coordinates: axes.map { trial.coordinates[$0] ?? "" }, value: trial.value, text: trial.text,
                meets: trial.meets, reason: trial.reason ?? "", point: trial.point)
        }
        let found = outcomes.map { outcome in
            SearchTrail.Found(
                coordinates: axes.map { outcome.coordinates[$0] ?? "" }, highest: outcome.highest ?? .nan,
                lowestFailing: outcome.lowestFailing ?? .nan)
        }
        try SearchTrail(
            field: request.field, unit: request.unit, objectives: request.objectives.map(\.condition.text), axes: axes,
            trail: rows, found: found, experiment: resolver.experiment.text,
            program: "\(Build.version) (\(Build.commit))"
        ).write(to: folder.path + "/search.h5")
    }

    public var jsonPath: String { folder.path + "/search.json" }
}
