internal import Foundation
internal import Results

/// A list of points as workers take it: a line for each, its id, then, between tabs, its cell and what it is called. A
/// line of `--list`, or an id alone, will do, too.
public enum PointsFile {
    /// Writes a list as a whole.
    public static func write(_ points: [SweepPoint], to path: String) throws(SweepError) {
        try SweepFolder.write(points.map { line($0) + "\n" }.joined(), to: path)
    }

    public static func line(_ point: SweepPoint) -> String {
        ([point.id, "\(point.cell)"] + point.coordinates.map { "\($0.name)=\($0.value)" }).joined(separator: "\t")
    }

    /// A line of `--list`: workers take it as well, for the cell at its end.
    public static func listed(_ point: SweepPoint, as stage: String) -> String {
        "\(point.id)\t\(stage)\t\(point.name)\t\(point.cell)"
    }

    /// The id and, if it is there, the cell of a line of either form.
    static func parts(of line: String) -> (id: String, cell: Int?) {
        let fields = line.split(separator: "\t").map(String.init)
        let cell = fields.count > 1 ? Int(fields[1]) ?? fields.last.flatMap { Int($0) } : nil
        return (fields.first?.trimmed ?? "", cell)
    }

    /// The lines of a file.
    public static func lines(of path: String) throws(SweepError) -> [String] {
        do {
            // A pipe will do: its length is not known.
            let handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
            defer { try? handle.close() }
            let text = String(decoding: try handle.readToEnd() ?? Data(), as: UTF8.self)
            return text.split(separator: "\n").map(String.init)
        } catch {
            throw .system(action: "read this", path: path, code: SweepFolder.code(of: error))
        }
    }

    /// Every `count`-th item from the `index`-th on: neighbours cost alike, so that chunks do, too.
    ///
    /// - Parameter text: `INDEX/COUNT`, from 0.
    public static func chunk(_ text: String, of lines: [String]) throws(SweepError) -> [String] {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
        guard parts.count == 2, let index = parts[0], let count = parts[1], count > 0, 0..<count ~= index else {
            throw .usage("--chunk \(text.safeExcerpt): expected INDEX/COUNT, the index from 0 to below the count")
        }
        return stride(from: index, to: lines.count, by: count).map { lines[$0] }
    }
}

/// Finds points by the lines of a list.
public final class PointFinder {
    private let resolver: PointResolver
    private let folder: SweepFolder
    private var listed: [String: Int]?
    private var all: [String: SweepPoint]?

    public init(_ resolver: PointResolver, in folder: SweepFolder) {
        self.resolver = resolver
        self.folder = folder
    }

    /// The point that a line names. The cell in it spares working out the whole grid; the id decides.
    public func point(_ line: String) throws -> SweepPoint {
        let (id, cell) = PointsFile.parts(of: line)
        guard !id.isEmpty else { throw SweepError.noSuchPoint(line) }
        if let cell, let point = try point(id, at: cell) { return point }
        if listed == nil {
            listed = [:]
            for line in (try? PointsFile.lines(of: folder.pointsFile)) ?? [] {
                let (id, cell) = PointsFile.parts(of: line)
                if let cell { listed?[id] = cell }
            }
        }
        if let cell = listed?[id], let point = try point(id, at: cell) { return point }
        if all == nil {
            all = Dictionary(try resolver.points().map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        }
        guard let point = all?[id] else { throw SweepError.noSuchPoint(id) }
        return point
    }

    private func point(_ id: String, at cell: Int) throws -> SweepPoint? {
        guard 0..<resolver.experiment.cells ~= cell else { return nil }
        let point = try resolver.resolve(cell).point
        return point.id == id ? point : nil
    }
}
