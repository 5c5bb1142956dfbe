/// A dimension of a sweep: its scale and what else changes along it.
public struct MergedAxis: Sendable, Equatable {
    /// Values at the places of an axis.
    public struct Coordinate: Sendable, Equatable {
        public enum Values: Sendable, Equatable {
            case integers([Int64])
            case numbers([Double])
            case texts([String])

            var count: Int {
                switch self {
                case .integers(let values): values.count
                case .numbers(let values): values.count
                case .texts(let values): values.count
                }
            }
        }

        public var name: String
        public var unit: MetricUnit
        public var description: String
        public var values: Values

        public init(name: String, unit: MetricUnit, description: String, values: Values) {
            self.name = name
            self.unit = unit
            self.description = description
            self.values = values
        }
    }

    /// The dimension's own coordinate, of the dimension's name.
    public var scale: Coordinate
    /// Further coordinates along it: the fields of a zipped group.
    public var others: [Coordinate]
    /// Whether the places are repetitions with other seeds.
    public var isSeeds: Bool

    public init(scale: Coordinate, others: [Coordinate] = [], isSeeds: Bool = false) {
        self.scale = scale
        self.others = others
        self.isSeeds = isSeeds
    }

    public var count: Int { scale.values.count }
}

/// What became of a cell of the grid.
public enum PointStatus: Int64, Sendable, CaseIterable {
    case missing, whole, failed, excluded, outdated

    var name: String { "\(self)" }
}
