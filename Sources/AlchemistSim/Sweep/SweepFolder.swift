internal import Foundation
public import Results
internal import Simulator

/// Where a sweep keeps what it makes: `points/` with a results file, a record and, after a failure, a log for each
/// point; `traces/` with those that were made; `merged.h5`.
public struct SweepFolder: Sendable {
    public let path: String

    public init(_ path: String) { self.path = path }

    public var merged: String { path + "/merged.h5" }
    var points: String { path + "/points" }
    var traces: String { path + "/traces" }
    public var slurm: String { path + "/slurm" }
    /// The points of the grid, one a line: what workers are given, and a legend of the ids.
    public var pointsFile: String { path + "/points.tsv" }

    func record(of id: String) -> String { "\(points)/\(id)\(PointRecord.suffix)" }
    func results(of id: String) -> String { "\(points)/\(id).h5" }
    func log(of id: String) -> String { "\(points)/\(id).log" }

    /// Makes the folders that are missing.
    public func make() throws(SweepError) {
        for folder in [path, points, traces] { try Self.makeFolder(folder) }
    }

    static func makeFolder(_ folder: String) throws(SweepError) {
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        } catch {
            throw .system(action: "make this folder", path: folder, code: Self.code(of: error))
        }
    }

    /// Removes what killed processes left half-written. Only the holder of the exclusive lock may call it.
    public func removeRemains() {
        for folder in [path, points, traces] {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
            for name in names where name.hasPrefix(".worker-") || name.hasPrefix(".") && name.contains(".partial-") {
                try? FileManager.default.removeItem(atPath: folder + "/" + name)
            }
        }
    }

    /// Writes a small text as a whole.
    static func write(_ text: String, to path: String) throws(SweepError) {
        let place = URL(fileURLWithPath: path)
        let temporary =
            place.deletingLastPathComponent().path + "/.\(place.lastPathComponent).partial-\(StagedFile.writer)"
        do {
            try Data(text.utf8).write(to: URL(fileURLWithPath: temporary))
        } catch {
            unlink(temporary)
            throw .system(action: "write here", path: path, code: code(of: error))
        }
        guard rename(temporary, path) == 0 else {
            throw .system(action: "give the finished file this name", path: path, code: errno)
        }
    }

    static func code(of error: any Error) -> Int32 {
        var error: NSError? = error as NSError
        while let known = error {
            if known.domain == NSPOSIXErrorDomain { return Int32(known.code) }
            error = known.userInfo[NSUnderlyingErrorKey] as? NSError
        }
        return EIO
    }
}

/// How far a sweep is.
public struct SweepState: Sendable {
    public enum Stage: Sendable, Equatable {
        case missing
        case whole(seconds: Double)
        /// It was run by another build.
        case outdated(program: String)
        /// It was measured under other conditions.
        case measuredOtherwise(String)
        /// It ended with this message.
        case failed(String)
    }

    public let points: [SweepPoint]
    public private(set) var stages: [Stage] = []
    /// What measured points must have been run under; what the caller did not know is as most of the points have it.
    public private(set) var conditions: MeasuredConditions

    /// Looks at what is in a folder.
    ///
    /// - Parameters:
    ///   - program: the one whose points count; nil for those of any build.
    ///   - conditions: those that measured points must have been run under.
    public init(
        of points: [SweepPoint], in folder: SweepFolder, keepsFiles: Bool, program: PointRecord.Program?,
        conditions: MeasuredConditions = .init()
    ) throws {
        self.points = points
        self.conditions = conditions
        stages.reserveCapacity(points.count)
        let names = Set((try? FileManager.default.contentsOfDirectory(atPath: folder.points)) ?? [])
        var measured: [(index: Int, record: PointRecord)] = []
        for (index, point) in points.enumerated() {
            let (stage, record) = try Self.stage(of: point, names, folder, keepsFiles: keepsFiles, program: program)
            stages.append(stage)
            if let record, point.measuredThreads != nil { measured.append((index, record)) }
        }
        self.conditions = conditions.completed(by: measured.map { (points[$0.index], $0.record) })
        for (index, record) in measured {
            if let difference = self.conditions.difference(from: record, of: points[index]) {
                stages[index] = .measuredOtherwise(difference)
            }
        }
    }

    /// The stage, with the record if it is whole.
    private static func stage(
        of point: SweepPoint, _ names: Set<String>, _ folder: SweepFolder, keepsFiles: Bool,
        program: PointRecord.Program?
    ) throws -> (Stage, PointRecord?) {
        if names.contains(point.id + PointRecord.suffix),
            let record = try PointRecord(reading: folder.record(of: point.id), .head),
            !keepsFiles || names.contains(point.id + ".h5")
        {
            if let program, record.program.sha256 != program.sha256 {
                return (.outdated(program: record.program.name), nil)
            }
            return (.whole(seconds: record.seconds), record)
        }
        if names.contains(point.id + ".log") {
            let text = (try? String(contentsOfFile: folder.log(of: point.id), encoding: .utf8)) ?? ""
            return (.failed(text.split(separator: "\n").first.map(String.init) ?? ""), nil)
        }
        return (.missing, nil)
    }

    /// What became of one point, without looking at all others.
    public static func stage(
        of point: SweepPoint, in folder: SweepFolder, keepsFiles: Bool, program: PointRecord.Program?,
        conditions: MeasuredConditions = .init()
    ) throws -> Stage {
        let names = [PointRecord.suffix, ".h5", ".log"].map { point.id + $0 }
        let (stage, record) = try stage(
            of: point, Set(names.filter { access(folder.points + "/" + $0, F_OK) == 0 }), folder,
            keepsFiles: keepsFiles, program: program)
        if let record, let difference = conditions.difference(from: record, of: point) {
            return .measuredOtherwise(difference)
        }
        return stage
    }

    public var whole: Int { stages.count { if case .whole = $0 { true } else { false } } }
    public var failed: Int { stages.count { if case .failed = $0 { true } else { false } } }
    public var outdated: Int {
        stages.count {
            switch $0 {
            case .outdated, .measuredOtherwise: true
            default: false
            }
        }
    }

    /// The points that are still to be run, in the grid's order.
    public var remaining: [SweepPoint] {
        zip(points, stages).compactMap { point, stage in if case .whole = stage { nil } else { point } }
    }

    /// Seconds that whole points took.
    public var times: [Double] {
        stages.compactMap { if case .whole(let seconds) = $0, seconds.isFinite { seconds } else { nil } }
    }

    public mutating func set(_ stage: Stage, at index: Int) { stages[index] = stage }

    /// What was measured under other conditions, and how many points of each.
    public var otherConditions: [(difference: String, points: Int)] {
        var counts: [String: Int] = [:]
        for case .measuredOtherwise(let difference) in stages { counts[difference, default: 0] += 1 }
        return counts.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    /// What was found by other builds, and how many points of each.
    public var otherPrograms: [(program: String, points: Int)] {
        var counts: [String: Int] = [:]
        for case .outdated(let program) in stages { counts[program, default: 0] += 1 }
        return counts.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }
}

/// Points in a folder that the experiment does not have any more.
public struct StrangePoints: Sendable {
    public private(set) var count = 0
    /// What changed, in words, and for how many points.
    public private(set) var changes: [(text: String, points: Int)] = []

    private static let mostCompared = 2000

    /// Compares what stands in the folder with the points of the grid, by their places on the axes.
    public init(in folder: SweepFolder, besides points: [SweepPoint], _ resolver: PointResolver) throws {
        let known = Set(points.map(\.id))
        let names = ((try? FileManager.default.contentsOfDirectory(atPath: folder.points)) ?? []).sorted()
        let strange = names.filter { $0.hasSuffix(PointRecord.suffix) }.map {
            String($0.dropLast(PointRecord.suffix.count))
        }
        .filter { !known.contains($0) }
        count = strange.count
        guard count > 0 else { return }
        let places = Dictionary(points.map { ($0.name, $0.cell) }, uniquingKeysWith: { first, _ in first })
        var counts: [String: Int] = [:]
        for id in strange.prefix(Self.mostCompared) {
            guard let record = try? PointRecord(reading: folder.record(of: id)) else { continue }
            let name = SweepPoint(id: id, cell: 0, coordinates: record.coordinates).name
            guard let cell = places[name] else {
                counts["no point stands at its place on the axes", default: 0] += 1
                continue
            }
            let now = try resolver.resolve(cell).identity
            for change in Self.changes(from: record.identity, to: now) { counts[change, default: 0] += 1 }
        }
        changes = counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { ($0.key, $0.value) }
    }

    /// The lines that differ, as `training.learning_rate: was 0.001, is 0.002`.
    static func changes(from old: String, to new: String) -> [String] {
        let (before, after) = (fields(old), fields(new))
        return Set(before.keys).union(after.keys).sorted().compactMap { field in
            let (was, isNow) = (before[field] ?? "absent", after[field] ?? "absent")
            return was == isNow ? nil : "\(field): was \(was), is \(isNow)"
        }
    }

    private static func fields(_ identity: String) -> [String: String] {
        var fields: [String: String] = [:]
        var section: [String] = []
        for line in identity.split(separator: "\n") {
            let indent = line.prefix { $0 == " " }.count / 2
            let parts = line.dropFirst(indent * 2).split(maxSplits: 1, omittingEmptySubsequences: false) {
                ":=".contains($0)
            }
            let name = String(parts[0])
            let value = parts.count > 1 ? parts[1].trimmed : ""
            section = Array(section.prefix(indent))
            if value.isEmpty { section.append(name) } else { fields[(section + [name]).joined(separator: ".")] = value }
        }
        return fields
    }
}
