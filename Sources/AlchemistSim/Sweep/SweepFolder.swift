internal import Foundation
internal import Results

/// Where a sweep keeps what it makes: `points/` with a results file, a record and, after a failure, a log for each
/// point; `traces/` with those that were made; `merged.h5`.
public struct SweepFolder: Sendable {
    public let path: String

    public init(_ path: String) { self.path = path }

    public var merged: String { path + "/merged.h5" }
    var points: String { path + "/points" }
    var traces: String { path + "/traces" }
    /// SHA-256 of large files that points depend on.
    var hashes: String { path + "/hashes.tsv" }
    public var slurm: String { path + "/slurm" }
    /// The points of the grid, one a line: what workers are given, and a legend of the ids.
    public var pointsFile: String { path + "/points.tsv" }

    func record(of id: String) -> String { "\(points)/\(id)\(PointRecord.suffix)" }
    func results(of id: String) -> String { "\(points)/\(id).h5" }
    func log(of id: String) -> String { "\(points)/\(id).log" }
    /// Where the run of a point stood when a law was broken.
    func state(of id: String) -> String { BrokenLaw.path(beside: results(of: id)) }

    /// Makes the folders that are missing.
    public func make() throws(SweepError) {
        for folder in [path, points, traces] { try Self.makeFolder(folder) }
    }

    static func makeFolder(_ folder: String) throws(SweepError) {
        var status = stat()
        if stat(folder, &status) == 0 {
            guard status.st_mode & S_IFMT == S_IFDIR else {
                throw .system(action: "make this folder", path: folder, code: ENOTDIR)
            }
            return
        }
        guard errno == ENOENT else { throw .system(action: "make this folder", path: folder, code: errno) }
        let parent = URL(fileURLWithPath: folder).deletingLastPathComponent().path
        if parent != folder, !parent.isEmpty { try makeFolder(parent) }
        guard mkdir(folder, 0o777) == 0 || errno == EEXIST else {
            throw .system(action: "make this folder", path: folder, code: errno)
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

    /// Writes a small text as a whole. A folder that was taken away is not made anew.
    static func write(_ text: String, to path: String) throws(SweepError) {
        guard access(URL(fileURLWithPath: path).deletingLastPathComponent().path, F_OK) == 0 else {
            throw .system(action: "write here", path: path, code: errno)
        }
        do throws(ResultsError) {
            try StagedFile.write(Array(text.utf8), to: path)
        } catch {
            if case .system(let action, let path, let code) = error {
                throw .system(action: action, path: path, code: code)
            }
            throw .results(error)
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
