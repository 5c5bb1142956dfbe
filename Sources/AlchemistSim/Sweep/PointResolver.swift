internal import Engine
public import Results
internal import Simulator

/// A cell of the grid that is to be run.
public struct SweepPoint: Sendable, Equatable {
    /// Twelve hexadecimal digits: the start of the SHA-256 of all that decides what the point finds.
    public let id: String
    /// Its place in row-major order of the axes.
    public let cell: Int
    /// The value on each axis.
    public let coordinates: [PointRecord.Coordinate]
    /// Threads of a point that is measured, 0 if its scenario leaves them open; nil if its times come from a model.
    public var measuredThreads: Int?

    /// `trace_rate=2 seed=1`.
    public var name: String {
        coordinates.isEmpty ? "the only point" : coordinates.map { "\($0.name)=\($0.value)" }.joined(separator: " ")
    }
}

/// A point with its settings in place.
struct ResolvedPoint {
    let point: SweepPoint
    let scenario: Scenario
    let trace: SweepTrace
    /// What the id is the hash of.
    let identity: String
}

/// Puts the settings of points in place. What several points have in common is read once.
public final class PointResolver {
    let experiment: SweepExperiment
    private var hardware: [String: Hardware] = [:]
    let hashes: FileHashes

    /// - Parameters:
    ///   - folder: the sweep's, where hashes of large files are kept; nil keeps none.
    ///   - now: seconds since 1970, by which a hash is kept only of a file that was left alone for a while.
    public init(
        _ experiment: SweepExperiment, in folder: SweepFolder? = nil, now: @escaping () -> Double = { .infinity }
    ) {
        self.experiment = experiment
        hashes = FileHashes(in: folder, now: now)
    }

    /// Keeps in the sweep's folder what was found of large files, so that workers need not read them again. The folder's
    /// lock must be held.
    public func keepHashes() { hashes.save() }

    /// Every point of the grid, in row-major order, without the cells that constraints leave out.
    ///
    /// - Throws: what is wrong with the first point that can not be; two points that are the same are wrong, too.
    public func points() throws -> [SweepPoint] {
        var points: [SweepPoint] = []
        var places: [String: Int] = [:]
        for cell in 0..<experiment.cells {
            guard try isIncluded(cell) else { continue }
            let point = try resolve(cell).point
            if let other = places.updateValue(points.count, forKey: point.id) {
                throw ScenarioError(
                    origin: .file(experiment.path, line: nil), field: "axes",
                    problem: "the points \(points[other].name) and \(point.name) are the same")
            }
            points.append(point)
        }
        guard !points.isEmpty else {
            throw ScenarioError(
                origin: .file(experiment.path, line: experiment.constraints.first?.line), field: "constraints",
                problem: "every point is left out")
        }
        return points
    }

    /// Whether the constraints hold in a cell.
    private func isIncluded(_ cell: Int) throws -> Bool {
        let place = experiment.place(of: cell)
        func value(_ name: String) -> Expression.Value? {
            for (axis, position) in zip(experiment.axes, place) {
                if let field = axis.fields.firstIndex(of: name) { return .init(of: axis.rows[position][field]) }
                if axis.name == name { return .init(of: axis.labels[position]) }
            }
            return nil
        }
        for constraint in experiment.constraints {
            do throws(ValueProblem) {
                guard try constraint.condition.holds(value) else { return false }
            } catch {
                throw ScenarioError(
                    origin: .file(experiment.path, line: constraint.line), field: "constraints",
                    problem: "found `\(constraint.condition.text.safeExcerpt)`, expected \(error.expected)")
            }
        }
        return true
    }

    /// A cell with its settings in place.
    ///
    /// - Parameter extra: what is set on top of the axes.
    func resolve(_ cell: Int, setting extra: (field: String, value: String)? = nil) throws -> ResolvedPoint {
        var (scenario, trace) = (experiment.base, experiment.trace)
        var coordinates: [PointRecord.Coordinate] = []
        for (axis, position) in zip(experiment.axes, experiment.place(of: cell)) {
            let origin = ScenarioError.Origin.file(experiment.path, line: axis.line)
            for (field, value) in zip(axis.fields, axis.rows[position]) {
                if axis.kind == .seeds {
                    try SweepExperiment.setSeed(value, in: &scenario, &trace, at: origin)
                } else {
                    try SweepExperiment.set(field, to: value, in: &scenario, &trace, at: origin)
                }
            }
            coordinates.append(.init(name: axis.name, value: axis.labels[position]))
        }
        if let extra {
            let origin = ScenarioError.Origin.file(experiment.path, line: experiment.search?.line)
            try SweepExperiment.set(extra.field, to: extra.value, in: &scenario, &trace, at: origin)
            coordinates.append(.init(name: SweepAxis.dimension(of: extra.field), value: extra.value))
        }
        let identity = try identity(of: scenario, trace)
        let point = SweepPoint(
            id: String(FileHash.sha256(ofText: identity).prefix(12)), cell: cell, coordinates: coordinates,
            measuredThreads: scenario.backend == Scenario.measuredBackend ? scenario.threads : nil)
        return ResolvedPoint(point: point, scenario: scenario, trace: trace, identity: identity)
    }

    /// The resolved scenario, the trace's settings or its hash, and fingerprints of the other files that matter.
    private func identity(of scenario: Scenario, _ trace: SweepTrace) throws -> String {
        var lines: [String] = []
        switch trace {
        case .file(let path):
            lines.append("trace_sha256: \(try hashes.sha256(of: path))")
        case .generated(let recipe):
            try recipe.requireEffect(in: experiment.path)
            lines.append("trace:")
            lines += try recipe.identity(hashes, in: experiment.path).split(separator: "\n").map { "  " + $0 }
        }
        for (name, path) in [("model", scenario.model), ("backend", scenario.backend), ("adapter", scenario.adapter)] {
            guard let path, path != Scenario.measuredBackend else { continue }
            if name == "model", Presets.names.contains(path) { continue }
            if name == "backend", HardwareRegistry.names.contains(path) { continue }
            if let print = try hashes.fingerprint(of: path) { lines.append("\(name)_fingerprint: \(print)") }
        }
        return lines.joined(separator: "\n") + "\n" + (try adopted(scenario)).yaml
    }

    /// The scenario with what the hardware decides.
    private func adopted(_ scenario: Scenario) throws -> Scenario {
        guard scenario.backend != Scenario.measuredBackend else { return scenario }
        let key = "\(scenario.backend)\t\(scenario.hardware)"
        if let known = hardware[key] { return scenario.adopting(known) }
        do throws(ProfileError) {
            let found = try Hardware(named: scenario.backend, scenario.hardware)
            hardware[key] = found
            return scenario.adopting(found)
        } catch {
            throw scenario.mistake(ofBackend: error) ?? error
        }
    }
}
