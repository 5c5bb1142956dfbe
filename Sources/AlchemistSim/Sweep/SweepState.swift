public import Results

/// How far a sweep is.
public struct SweepState: Sendable {
    public let points: [SweepPoint]
    public private(set) var stages: [PointStage] = []

    /// Looks at what is in a folder.
    public init(of points: [SweepPoint], _ inspector: PointInspector) throws(ResultsError) {
        self.points = points
        stages.reserveCapacity(points.count)
        let inspector = try inspector.completed(by: points)
        for point in points { stages.append(try inspector.stage(of: point)) }
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

    /// Why records can not be read.
    public var damages: [String] { stages.compactMap { if case .damaged(let reason) = $0 { reason } else { nil } } }

    /// The points that are still to be run, in the grid's order.
    public var remaining: [SweepPoint] {
        zip(points, stages).compactMap { point, stage in if case .whole = stage { nil } else { point } }
    }

    /// Seconds that whole points took.
    public var times: [Double] {
        stages.compactMap { if case .whole(let seconds) = $0, seconds.isFinite { seconds } else { nil } }
    }

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
