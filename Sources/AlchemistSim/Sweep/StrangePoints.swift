internal import Foundation
internal import Results

/// Points in a folder that the experiment does not have any more.
public struct StrangePoints: Sendable {
    public private(set) var count = 0
    /// What changed, in words, and for how many points.
    public private(set) var changes: [(text: String, points: Int)] = []

    /// How many were compared: not all, where there are thousands.
    public private(set) var compared = 0

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
            compared += 1
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
