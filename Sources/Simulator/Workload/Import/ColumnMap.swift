/// Where a table keeps what a trace needs: the names of its columns, or of its objects' fields. Never their places.
///
/// Where several names are given, the first that the table has counts.
public struct ColumnMap: Sendable, Equatable {
    public enum TimeUnit: String, Sendable, CaseIterable {
        case seconds = "s"
        case milliseconds = "ms"
        case microseconds = "us"
        case nanoseconds = "ns"
        /// `2023-11-16 18:15:46.6805900`, with a zone or not.
        case date

        var nanoseconds: Int64 { [1, 1_000, 1_000_000, 1_000_000_000][exponent / 3] }

        /// The power of ten that makes nanoseconds of it.
        var exponent: Int {
            switch self {
            case .seconds: 9
            case .milliseconds: 6
            case .microseconds: 3
            case .nanoseconds, .date: 0
            }
        }
    }

    public struct TimeColumn: Sendable, Equatable {
        public var name: String
        public var unit: TimeUnit

        public init(_ name: String, _ unit: TimeUnit) { (self.name, self.unit) = (name, unit) }
    }

    /// When requests arrive; without any, arrivals are made up.
    public var arrival: [TimeColumn] = []
    /// Whether arrivals are made up for a table that has none of these columns, too.
    public var arrivalIsOptional = false
    public var promptTokens: [String]
    public var outputTokens: [String]
    /// Names of the prompt's blocks, an array in a field of an object, and the tokens of each.
    public var blocks: String?
    public var blockTokens = 512

    public init(arrival: [TimeColumn] = [], promptTokens: [String], outputTokens: [String], blocks: String? = nil) {
        self.arrival = arrival
        self.promptTokens = promptTokens
        self.outputTokens = outputTokens
        self.blocks = blocks
    }

    /// What a column is read for.
    enum Role { case arrival(TimeUnit), prompt, output, blocks }

    /// The columns to read of a table with these names, or the first kind of column that it lacks.
    func resolved(among names: [String]) -> Result<[(name: String, role: Role)], MissingColumn> {
        var columns: [(String, Role)] = []
        if let time = arrival.first(where: { names.contains($0.name) }) {
            columns.append((time.name, .arrival(time.unit)))
        } else if !arrival.isEmpty, !arrivalIsOptional {
            return .failure(.init(names: arrival.map(\.name)))
        }
        guard let prompt = promptTokens.first(where: names.contains) else {
            return .failure(.init(names: promptTokens))
        }
        columns.append((prompt, .prompt))
        guard let output = outputTokens.first(where: names.contains) else {
            return .failure(.init(names: outputTokens))
        }
        columns.append((output, .output))
        if let blocks {
            guard names.contains(blocks) else { return .failure(.init(names: [blocks])) }
            columns.append((blocks, .blocks))
        }
        return .success(columns)
    }

    /// The names of which a table has none.
    struct MissingColumn: Error { let names: [String] }
}
