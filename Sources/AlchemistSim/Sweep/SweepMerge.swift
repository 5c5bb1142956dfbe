public import Results

/// The records of a sweep's points, brought together in one file.
public struct SweepMerge: Sendable {
    public let sweep: MergedSweep
    public let digest: String
    /// Why records could not be read; their points count as missing.
    public let damages: [String]

    /// Reads what points left, and writes `merged.h5` in the folder.
    public init(
        _ points: [SweepPoint], of experiment: SweepExperiment, in folder: SweepFolder, _ inspector: PointInspector
    ) throws {
        var sweep = MergedSweep(axes: experiment.mergedAxes)
        var damages: [String] = []
        let inspector = try inspector.completed(by: points)
        for cell in 0..<sweep.cells { sweep.mark(cell, .excluded) }
        for point in points {
            let (stage, record) = try inspector.find(point)
            switch stage {
            case .whole: if let record { sweep.add(record, at: point.cell) }
            case .missing: sweep.mark(point.cell, .missing, id: point.id)
            case .failed: sweep.mark(point.cell, .failed, id: point.id)
            case .outdated, .measuredOtherwise: sweep.mark(point.cell, .outdated, id: point.id)
            case .damaged(let reason):
                sweep.mark(point.cell, .missing, id: point.id)
                damages.append(reason)
            }
        }
        let writer = try MergedSweepWriter(creating: folder.merged, sweep)
        digest = try writer.write(
            .init(
                toolVersion: Build.version, gitCommit: Build.commit, experiment: experiment.text,
                pointsFolder: "points"))
        self.sweep = sweep
        self.damages = damages
    }
}
