/// What is kept of a log's rows, however many there are.
public protocol RowSums<Row>: Sendable {
    associatedtype Row: Sendable

    init()
    mutating func add(_ row: Row)
}

/// The rows of a log up to a limit, and sums over all of them.
///
/// A run of a million requests has tens of millions of iterations: beyond the limit the rows are given up and only their
/// sums are left. As a collection it is the rows that are kept: all, or none.
public struct BoundedLog<Sums: RowSums>: RandomAccessCollection, ExpressibleByArrayLiteral, Sendable {
    public typealias Row = Sums.Row

    /// Most rows that are kept.
    public var limit = 1_000_000
    public private(set) var sums = Sums()
    /// Rows ever added.
    public private(set) var total = 0
    @usableFromInline var rows = ChunkedArray<Row>()

    public init() {}

    public init(_ rows: some Swift.Sequence<Row>, limit: Int = 1_000_000) {
        self.limit = limit
        for row in rows { append(row) }
    }

    public init(arrayLiteral elements: Row...) { self.init(elements) }

    /// Whether every row is here.
    public var isWhole: Bool { rows.count == total }

    public var startIndex: Int { 0 }
    public var endIndex: Int { rows.count }
    @inlinable public subscript(index: Int) -> Row { rows[index] }

    public mutating func append(_ row: Row) {
        sums.add(row)
        if isWhole {
            if total < limit { rows.append(row) } else { rows = ChunkedArray() }
        }
        total += 1
    }
}
