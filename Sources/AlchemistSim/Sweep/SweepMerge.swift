internal import Foundation
public import Results

/// Brings the records of a sweep's points together in one file.
public enum SweepMerge {
    /// Reads what points left, and writes `merged.h5` in the folder.
    ///
    /// - Parameters:
    ///   - program: the one whose points count; nil for those of any build.
    ///   - conditions: those that measured points must have been run under.
    public static func merge(
        _ points: [SweepPoint], of experiment: SweepExperiment, in folder: SweepFolder, program: PointRecord.Program?,
        conditions: MeasuredConditions = .init()
    ) throws -> (sweep: MergedSweep, digest: String) {
        var sweep = MergedSweep(axes: experiment.mergedAxes)
        for cell in 0..<sweep.cells { sweep.mark(cell, .excluded) }
        for point in points {
            // A record names the results file that it comes with; one without is not whole if it should be kept.
            guard let record = try PointRecord(reading: folder.record(of: point.id), .figures),
                experiment.kept == .summary || record.file != nil
            else {
                let failed = access(folder.log(of: point.id), F_OK) == 0
                sweep.mark(point.cell, failed ? .failed : .missing, id: point.id)
                continue
            }
            let isOld = program.map { record.program.sha256 != $0.sha256 } ?? false
            if isOld || conditions.difference(from: record, of: point) != nil {
                sweep.mark(point.cell, .outdated, id: point.id)
            } else {
                sweep.add(record, at: point.cell)
            }
        }
        let writer = try MergedSweepWriter(creating: folder.merged, sweep)
        let digest = try writer.write(
            .init(
                toolVersion: Build.version, gitCommit: Build.commit, experiment: experiment.text,
                pointsFolder: "points"))
        return (sweep, digest)
    }
}
