internal import Foundation
public import Results

/// What became of a point.
public enum PointStage: Sendable, Equatable {
    case missing
    case whole(seconds: Double)
    /// It was run by another build.
    case outdated(program: String)
    /// It was measured under other conditions: `was 2 threads, is 8`.
    case measuredOtherwise(String)
    /// It ended with this message.
    case failed(String)
    /// It was whole, but its record can not be read any more, for this reason.
    case damaged(String)
}

/// Says what became of points, by what they left in a sweep's folder. Listing, resuming, merging and searching all ask
/// here, so that they agree.
public struct PointInspector: Sendable {
    private let folder: SweepFolder
    private let keepsFiles: Bool
    private let program: PointRecord.Program?
    private var conditions: MeasuredConditions

    /// - Parameters:
    ///   - keepsFiles: whether a point is whole only with its results file.
    ///   - program: the one whose points count; nil for those of any build.
    ///   - conditions: those that measured points must have been run under, as far as they are known.
    public init(
        _ folder: SweepFolder, keepsFiles: Bool, program: PointRecord.Program?,
        conditions: MeasuredConditions = .init()
    ) {
        self.conditions = conditions
        self.folder = folder
        self.keepsFiles = keepsFiles
        self.program = program
    }

    public func stage(of point: SweepPoint) throws(ResultsError) -> PointStage { try find(point).stage }

    /// The same, holding points that were measured to the conditions of most of them where those are not known.
    func completed(by points: [SweepPoint]) throws(ResultsError) -> PointInspector {
        var found: [(point: SweepPoint, record: PointRecord)] = []
        for point in points where point.measuredThreads != nil {
            if let record = try find(point).record { found.append((point, record)) }
        }
        var completed = self
        completed.conditions = conditions.completed(by: found)
        return completed
    }

    /// Why a point failed, and the exit code that it stands for.
    public func failure(of point: SweepPoint) -> (message: String, code: Int32) {
        let path = folder.log(of: point.id)
        return (FailureLog.message(at: path), FailureLog.code(at: path))
    }

    /// What became of a point, and its record if it is whole.
    ///
    /// - Throws: `ResultsError` if the disk fails; a record that is no use is no error.
    func find(_ point: SweepPoint) throws(ResultsError) -> (stage: PointStage, record: PointRecord?) {
        let id = point.id
        let path = folder.record(of: id)
        let (written, failed) = (Self.time(of: path), Self.time(of: folder.log(of: id)))
        // A failure after it was whole, when it had to be run again, is the last word.
        if let failed, written.map({ $0 < failed }) ?? true {
            return (.failed(FailureLog.message(at: folder.log(of: id))), nil)
        }
        guard written != nil else { return (.missing, nil) }
        let found: PointRecord?
        do throws(ResultsError) {
            found = try PointRecord(reading: path, .figures)
        } catch {
            guard case .unreadableRecord = error else { throw error }
            return (.damaged(error.description), nil)
        }
        guard let record = found else { return (.missing, nil) }
        if keepsFiles {
            guard record.file != nil, let size = Self.size(of: folder.results(of: id)) else { return (.missing, nil) }
            guard size == record.fileBytes else {
                return (
                    .damaged(
                        "\(folder.results(of: id)): found \(size) bytes, expected \(record.fileBytes ?? 0), which its "
                            + "record says it was written with"), nil
                )
            }
        }
        if let program, record.program.sha256 != program.sha256 {
            return (.outdated(program: record.program.name), nil)
        }
        if let difference = conditions.difference(from: record, of: point) {
            return (.measuredOtherwise(difference), nil)
        }
        return (.whole(seconds: record.seconds), record)
    }

    /// Bytes of a file; nil if there is none.
    private static func size(of path: String) -> Int? {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : nil
    }

    private struct Time: Comparable {
        let seconds: Int
        let nanoseconds: Int

        static func < (a: Time, b: Time) -> Bool { (a.seconds, a.nanoseconds) < (b.seconds, b.nanoseconds) }
    }

    /// When a file was written; nil if there is none.
    private static func time(of path: String) -> Time? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return Time(seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec)
    }
}
