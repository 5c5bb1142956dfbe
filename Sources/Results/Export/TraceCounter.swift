/// Levels over time as events of one counter: one where they change, and one where the last of them ends, so that it has a
/// width like the others.
struct TraceCounter {
    private let name: String
    private let process: Int
    private var levels: [(String, Int64)] = []
    private var end: Int64?

    init(_ name: String, process: Int) {
        self.name = name
        self.process = process
    }

    /// The levels from `start` on, known up to `end`. Times go forward; the names are the same in every call.
    mutating func set(
        _ levels: [(String, Int64)], from start: Int64, to end: Int64, _ file: inout TraceEventFile
    ) throws(ResultsError) {
        self.end = end
        if self.levels.count == levels.count, zip(self.levels, levels).allSatisfy({ $0.1 == $1.1 }) { return }
        self.levels = levels
        try file.counter(name, process: process, at: start, levels)
    }

    /// The end of what is known.
    func close(_ file: inout TraceEventFile) throws(ResultsError) {
        if let end { try file.counter(name, process: process, at: end, levels) }
    }
}

extension Int64 {
    /// Nanoseconds as a length in words: whole milliseconds, or seconds from one on.
    var asWidth: String {
        self % 1_000_000_000 == 0 ? "\(self / 1_000_000_000) s" : "\(Double(self) / 1e6) ms".replacing(".0 ", with: " ")
    }
}
