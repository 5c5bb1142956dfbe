/// The figures of all points of a sweep, laid out over its axes.
///
/// Values of a figure stand in row-major order of the axes; where a point is missing, or the figure does not apply, NaN.
public struct MergedSweep: Sendable {
    public let axes: [MergedAxis]
    public private(set) var status: [PointStatus]
    public private(set) var ids: [String]
    /// The results files' names in the folder of points; empty where only the record was kept.
    private(set) var files: [String]
    private(set) var arms = Layer(metrics: ArmSummary.metrics.map(\.name))
    private(set) var comparisons = Layer(metrics: Comparison.metrics.map(\.name))
    private(set) var paired = Layer(metrics: Comparison.metrics.map(\.name))

    /// Figures of one kind of subject: by member, metric and cell.
    struct Layer: Sendable {
        /// A figure over all cells.
        struct Grid: Sendable {
            var median: [Double]
            /// Lowest and highest of the repeats, where any point has more than one value.
            var extremes: (minimum: [Double], maximum: [Double])?
        }

        let metrics: [String]
        private let placeOfMetric: [String: Int]
        /// Names of arms, or of comparisons, in the order of their first appearance.
        private(set) var members: [String] = []
        private(set) var values: [[Grid?]] = []

        init(metrics: [String]) {
            self.metrics = metrics
            placeOfMetric = Dictionary(
                metrics.enumerated().map { ($0.element, $0.offset) }, uniquingKeysWith: { first, _ in first })
        }

        mutating func add(_ figures: [PointRecord.Figure], of member: String, at cell: Int, of cells: Int) {
            let place: Int
            if let known = members.firstIndex(of: member) {
                place = known
            } else {
                place = members.count
                members.append(member)
                values.append(Array(repeating: nil, count: metrics.count))
            }
            var next = 0
            for figure in figures {
                // They stand in order, with gaps.
                while next < metrics.count, metrics[next] != figure.name { next += 1 }
                if next == metrics.count {
                    guard let known = placeOfMetric[figure.name] else {
                        next = 0
                        continue
                    }
                    next = known
                }
                set(figure.spread, member: place, metric: next, cell: cell, cells: cells)
                next += 1
            }
        }

        private mutating func set(_ spread: Spread, member: Int, metric: Int, cell: Int, cells: Int) {
            if values[member][metric] == nil {
                values[member][metric] = Grid(median: Array(repeating: .nan, count: cells))
            }
            values[member][metric]?.median[cell] = spread.median
            let spreads = spread.minimum != spread.maximum
            if spreads, values[member][metric]?.extremes == nil {
                // Where nothing spread so far, the median is both.
                let median = values[member][metric]?.median ?? []
                values[member][metric]?.extremes = (median, median)
            }
            values[member][metric]?.extremes?.minimum[cell] = spread.minimum
            values[member][metric]?.extremes?.maximum[cell] = spread.maximum
        }
    }

    /// A grid without points. Axes without places make no cells; no axes make one.
    public init(axes: [MergedAxis]) {
        self.axes = axes
        let cells = axes.map(\.count).reduce(1, *)
        status = Array(repeating: .missing, count: cells)
        ids = Array(repeating: "", count: cells)
        files = Array(repeating: "", count: cells)
    }

    public var cells: Int { status.count }

    /// States what a cell without figures is.
    public mutating func mark(_ cell: Int, _ status: PointStatus, id: String = "") {
        self.status[cell] = status
        ids[cell] = id
    }

    /// Takes a point's figures in.
    public mutating func add(_ record: PointRecord, at cell: Int) {
        mark(cell, .whole, id: record.id)
        files[cell] = record.file ?? ""
        for group in record.figures {
            switch group.subject {
            case .arm(let name): arms.add(group.figures, of: name, at: cell, of: cells)
            case .comparison(let baseline, let candidate):
                comparisons.add(group.figures, of: "\(candidate) against \(baseline)", at: cell, of: cells)
            case .paired(let baseline, let candidate):
                paired.add(group.figures, of: "\(candidate) against \(baseline)", at: cell, of: cells)
            }
        }
    }

    public func count(of status: PointStatus) -> Int { self.status.count { $0 == status } }

    /// The median of a figure of an arm in every cell; nil if no point has it.
    public func values(of metric: String, arm: String) -> [Double]? {
        guard let member = arms.members.firstIndex(of: arm), let place = arms.metrics.firstIndex(of: metric) else {
            return nil
        }
        return arms.values[member][place]?.median
    }

    /// The axis of seeds, if there is one.
    var seedAxis: Int? { axes.firstIndex(where: \.isSeeds) }

    /// The cells of each group that differ in the seed alone, by row-major order of the other axes.
    func groupsOverSeeds(_ seedAxis: Int) -> [[Int]] {
        let seeds = axes[seedAxis].count
        let inner = axes[(seedAxis + 1)...].map(\.count).reduce(1, *)
        let outer = axes[..<seedAxis].map(\.count).reduce(1, *)
        return (0..<outer).flatMap { high in
            (0..<inner).map { low in (0..<seeds).map { (high * seeds + $0) * inner + low } }
        }
    }
}
