internal import Crypto

/// Writes the figures of a sweep as one file that xarray, netCDF and h5py open: axes are dimension scales, figures arrays
/// over them, missing values NaN. `docs/sweeps.md` describes the layout.
public struct MergedSweepWriter: ~Copyable {
    /// Where the merged figures come from.
    public struct Origin: Sendable {
        public var toolVersion: String
        public var gitCommit: String
        /// The text of the experiment's file.
        public var experiment: String
        /// The folder of the points' results files, as seen from the merged file's.
        public var pointsFolder: String

        public init(toolVersion: String, gitCommit: String, experiment: String, pointsFolder: String) {
            self.toolVersion = toolVersion
            self.gitCommit = gitCommit
            self.experiment = experiment
            self.pointsFolder = pointsFolder
        }
    }

    private let file: HDF5File
    private let staged: StagedFile
    private let sweep: MergedSweep
    private var digest = ContentDigest()

    /// Opens the temporary file for figures at `path`.
    public init(creating path: String, _ sweep: MergedSweep) throws(ResultsError) {
        let staged = try StagedFile(for: path)
        file = try ResultsError.wrapping { () throws(HDF5Error) in try HDF5File(creating: staged.temporary) }
        self.staged = staged
        self.sweep = sweep
    }

    /// Writes everything, closes the file and gives it its name.
    ///
    /// - Returns: the digest of the figures and coordinates.
    @discardableResult
    public consuming func write(_ origin: Origin) throws(ResultsError) -> String {
        let value: String
        do throws(HDF5Error) {
            let all = Array(sweep.axes.indices)
            try writeLayer(sweep.arms, "arm", ArmSummary.metrics.map { Described($0) }, in: "")
            try writeState(all)
            let compared = Comparison.metrics.map { Described($0) }
            for (layer, group) in [(sweep.comparisons, "/comparison"), (sweep.paired, "/paired")]
            where !layer.members.isEmpty {
                try file.createGroup(group)
                try writeLayer(layer, "comparison", compared, in: group)
            }
            if let seeds = sweep.seedAxis {
                try file.createGroup("/over_seeds")
                try writeStatistics(sweep.arms, "arm", ArmSummary.metrics.map { Described($0) }, seeds, "/over_seeds")
                for (layer, group) in [
                    (sweep.comparisons, "/over_seeds_comparison"), (sweep.paired, "/over_seeds_paired"),
                ] where !layer.members.isEmpty {
                    try file.createGroup(group)
                    try writeStatistics(layer, "comparison", compared, seeds, group)
                }
            }
            try writeLinks(origin)
            value = digest.value
            try writeAttributes(origin, digest: value)
            try file.close()
        } catch {
            throw .hdf5(error)
        }
        try staged.commit()
        return value
    }
}

/// A metric of whatever subject.
private struct Described {
    let name: String
    let unit: MetricUnit
    let description: String

    init<Subject>(_ metric: Metric<Subject>) {
        (name, unit, description) = (metric.name, metric.unit, metric.description)
    }
}

extension MergedSweepWriter {
    /// A group's scales, and its figures over members and all axes.
    private mutating func writeLayer(
        _ layer: MergedSweep.Layer, _ memberAxis: String, _ metrics: [Described], in group: String
    ) throws(HDF5Error) {
        let scales = try writeScales(layer.members, memberAxis, axes: Array(sweep.axes.indices), in: group)
        let shape = [layer.members.count] + sweep.axes.map(\.count)
        let none = [Double](repeating: .nan, count: sweep.cells)
        for (place, metric) in metrics.enumerated() {
            let grids = layer.values.map { $0[place] }
            guard grids.contains(where: { $0 != nil }) else { continue }
            let path = "\(group)/\(metric.name)"
            try writeFigure(
                grids.flatMap { $0?.median ?? none }, shape, scales, at: path, metric.unit, metric.description)
            guard grids.contains(where: { $0?.extremes != nil }) else { continue }
            try writeFigure(
                grids.flatMap { $0.map { $0.extremes?.minimum ?? $0.median } ?? none }, shape, scales,
                at: path + "_min", metric.unit, metric.description + "; lowest of all repeats")
            try writeFigure(
                grids.flatMap { $0.map { $0.extremes?.maximum ?? $0.median } ?? none }, shape, scales,
                at: path + "_max", metric.unit, metric.description + "; highest of all repeats")
        }
    }

    /// Means and intervals over the seeds.
    private mutating func writeStatistics(
        _ layer: MergedSweep.Layer, _ memberAxis: String, _ metrics: [Described], _ seedAxis: Int, _ group: String
    ) throws(HDF5Error) {
        let axes = sweep.axes.indices.filter { $0 != seedAxis }
        let scales = try writeScales(layer.members, memberAxis, axes: axes, in: group)
        let shape = [layer.members.count] + axes.map { sweep.axes[$0].count }
        let groups = sweep.groupsOverSeeds(seedAxis)
        let absent = groups.map { _ in SeedStatistics([]) }
        for (place, metric) in metrics.enumerated() {
            let grids = layer.values.map { $0[place] }
            guard grids.contains(where: { $0 != nil }) else { continue }
            let statistics = grids.flatMap { grid in
                grid.map { grid in groups.map { SeedStatistics($0.lazy.map { grid.median[$0] }) } } ?? absent
            }
            let path = "\(group)/\(metric.name)"
            try writeFigure(
                statistics.map(\.mean), shape, scales, at: path + "_mean", metric.unit,
                metric.description + "; mean over seeds")
            try writeFigure(
                statistics.map(\.halfWidth), shape, scales, at: path + "_ci95", metric.unit,
                metric.description + "; half the 95 % confidence interval of the mean over seeds, Student's t")
            try writeIntegers(
                statistics.map { Int64($0.count) }, shape, scales, at: path + "_n",
                metric.description + "; seeds that have the figure")
        }
    }

    private mutating func writeFigure(
        _ values: [Double], _ shape: [Int], _ scales: [String], at path: String, _ unit: MetricUnit,
        _ description: String
    ) throws(HDF5Error) {
        try file.writeArray(values, shape: shape, at: path)
        digest.add(path: path, values)
        try file.describe(path, unit: unit, description)
        try file.setAttribute("_FillValue", of: path, to: .float64(.nan))
        try file.attach(scales: scales, to: path)
    }

    private mutating func writeIntegers(
        _ values: [Int64], _ shape: [Int], _ scales: [String], at path: String, _ description: String
    ) throws(HDF5Error) {
        try file.writeArray(values, shape: shape, at: path)
        digest.add(path: path, values)
        try file.describe(path, unit: .one, description)
        try file.attach(scales: scales, to: path)
    }

    // MARK: Coordinates

    /// The scales of a group; returns their paths in the order of dimensions: members, then axes.
    private mutating func writeScales(
        _ members: [String], _ memberAxis: String, axes: [Int], in group: String
    ) throws(HDF5Error) -> [String] {
        let memberScale = "\(group)/\(memberAxis)"
        try file.writeArray(texts: members, shape: [members.count], at: memberScale)
        try file.describe(memberScale, unit: .one, memberAxis == "arm" ? "the arms" : "candidate against baseline")
        try file.makeScale(memberScale)
        digest.add(path: memberScale, members)
        var scales = [memberScale]
        for axis in axes {
            let axis = sweep.axes[axis]
            let path = "\(group)/\(axis.scale.name)"
            try writeCoordinate(axis.scale, at: path)
            try file.makeScale(path)
            scales.append(path)
            for other in axis.others {
                let place = "\(group)/\(other.name)"
                try writeCoordinate(other, at: place)
                try file.attach(scales: [path], to: place)
            }
        }
        let others = axes.flatMap { sweep.axes[$0].others.map(\.name) }
        if !others.isEmpty {
            let object = group.isEmpty ? "/" : group
            try file.setAttribute("coordinates", of: object, to: .text(others.joined(separator: " ")))
        }
        return scales
    }

    private mutating func writeCoordinate(
        _ coordinate: MergedAxis.Coordinate, at path: String
    ) throws(HDF5Error) {
        let shape = [coordinate.values.count]
        switch coordinate.values {
        case .integers(let values):
            try file.writeArray(values, shape: shape, at: path)
            digest.add(path: path, values)
        case .numbers(let values):
            try file.writeArray(values, shape: shape, at: path)
            digest.add(path: path, values)
        case .texts(let values):
            try file.writeArray(texts: values, shape: shape, at: path)
            digest.add(path: path, values)
        }
        try file.describe(path, unit: coordinate.unit, coordinate.description)
    }

    // MARK: Points

    /// Which points there are, and what became of them.
    private mutating func writeState(_ axes: [Int]) throws(HDF5Error) {
        let shape = sweep.axes.map(\.count)
        let scales = axes.map { "/" + sweep.axes[$0].scale.name }
        let legend = PointStatus.allCases.map { "\($0.rawValue)=\($0.name)" }.joined(separator: ", ")
        try writeIntegers(sweep.status.map(\.rawValue), shape, scales, at: "/point_status", "what became of the point")
        try file.setAttribute("values", of: "/point_status", to: .text(legend))
        try file.writeArray(texts: sweep.ids, shape: shape, at: "/point_id")
        digest.add(path: "/point_id", sweep.ids)
        try file.describe("/point_id", unit: .one, "the point's id, empty where constraints leave it out")
        try file.attach(scales: scales, to: "/point_id")
    }

    /// One link by id to each results file that was kept.
    private func writeLinks(_ origin: Origin) throws(HDF5Error) {
        guard sweep.files.contains(where: { !$0.isEmpty }) else { return }
        try file.createGroup("/points")
        for (id, name) in zip(sweep.ids, sweep.files) where !name.isEmpty {
            try file.link("/points/" + id, toObject: "/", ofFile: origin.pointsFolder + "/" + name)
        }
    }

    private func writeAttributes(_ origin: Origin, digest: String) throws(HDF5Error) {
        let attributes: [(String, HDF5Attribute)] = [
            ("merged_schema_version", .int64(1)),
            ("tool_version", .text(origin.toolVersion)),
            ("git_commit", .text(origin.gitCommit)),
            ("experiment", .text(origin.experiment)),
            ("points_whole", .int64(Int64(sweep.count(of: .whole)))),
            ("points_missing", .int64(Int64(sweep.count(of: .missing)))),
            ("points_failed", .int64(Int64(sweep.count(of: .failed)))),
            ("points_outdated", .int64(Int64(sweep.count(of: .outdated)))),
            ("digest", .text(digest)),
        ]
        for (name, value) in attributes { try file.setAttribute(name, of: "/", to: value) }
    }
}

extension ContentDigest {
    fileprivate mutating func add<Number: HDF5Number>(path: String, _ values: [Number]) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(values.count * Number.elementType.size)
        for value in values { value.encode(into: &bytes) }
        add(path: path, HDF5Content(type: Number.elementType, count: values.count, bytes: bytes))
    }

    /// Texts of variable length go in with a line feed after each.
    fileprivate mutating func add(path: String, _ texts: [String]) {
        var hash = SHA256()
        for text in texts { hash.update(data: Array((text + "\n").utf8)) }
        add(path: path, type: .text(width: 0), count: texts.count, hash: hash)
    }
}
