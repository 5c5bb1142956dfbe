/// Whole numbers of some columns of one table, read in batches as its rows are walked.
struct ColumnBatches {
    private static let size = 1 << 16

    private let paths: [String]
    let rows: Int
    private var batch: [[Int64]] = []
    private var range = 0..<0
    /// The row that `subscript` reads.
    private(set) var row = -1

    init(_ columns: [String], of group: String, in results: borrowing ResultsFile) throws(ResultsError) {
        paths = columns.map { group + "/" + $0 }
        rows = try paths.first.map { path throws(ResultsError) in try results.count(of: path) ?? 0 } ?? 0
    }

    /// Goes on to the next row; false at the end.
    mutating func next(in results: borrowing ResultsFile) throws(ResultsError) -> Bool {
        row += 1
        guard row < rows else { return false }
        if !range.contains(row) {
            range = row..<min(row + Self.size, rows)
            batch.removeAll(keepingCapacity: true)
            for path in paths { batch.append(try results.integers(path, rows: range)) }
        }
        return true
    }

    /// The value of the n-th column in the present row.
    subscript(column: Int) -> Int64 { batch[column][row - range.lowerBound] }
}
