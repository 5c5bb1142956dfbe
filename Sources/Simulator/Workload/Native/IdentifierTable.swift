/// The ids of a trace and the lines they were first seen in.
///
/// Logs number their requests, so ids such as `r0`, `r1`, `r2` in successive lines are kept as one run: a few bytes for
/// millions of them. Only ids out of such a row have an entry of their own.
struct IdentifierTable {
    /// Ids `prefix` + (first...last) of the lines `line`, `line` + 1 and so on.
    private struct Run {
        let first: Int
        var last: Int
        let line: Int

        func line(of number: Int) -> Int? { first...last ~= number ? line + number - first : nil }
    }

    private var runs: [String: [Run]] = [:]
    private var others: [String: Int] = [:]
    /// Beyond this many rows of one prefix its ids are no longer worth looking through.
    private static let maxRuns = 16

    /// Takes an id in; the line that had it before, if any.
    mutating func insert(_ id: String, line: Int) -> Int? {
        guard let (prefix, number) = Self.parts(of: id) else { return insertAlone(id, line: line) }
        guard var known = runs[prefix] else {
            runs[prefix] = [Run(first: number, last: number, line: line)]
            return nil
        }
        for run in known {
            if let first = run.line(of: number) { return first }
        }
        if let index = known.firstIndex(where: { $0.last + 1 == number && $0.line + number - $0.first == line }) {
            // A number that stands alone already must not be taken into a row.
            if let first = others[id] { return first }
            known[index].last = number
        } else if known.count < Self.maxRuns {
            if let first = others[id] { return first }
            known.append(Run(first: number, last: number, line: line))
        } else {
            return insertAlone(id, line: line)
        }
        runs[prefix] = known
        return nil
    }

    private mutating func insertAlone(_ id: String, line: Int) -> Int? {
        if let first = others[id] { return first }
        others[id] = line
        return nil
    }

    /// The id as a text and the number at its end, `nil` if it has none that is written in the one usual way.
    private static func parts(of id: String) -> (prefix: String, number: Int)? {
        let bytes = id.utf8
        var start = bytes.endIndex
        var digits = 0
        while start > bytes.startIndex, digits < 18 {
            let before = bytes.index(before: start)
            guard bytes[before].decimalDigit != nil else { break }
            start = before
            digits += 1
        }
        guard digits > 0, digits < 18 else { return nil }
        // `r01` is not `r1`: zeros in front belong to the text.
        while digits > 1, bytes[start] == UInt8(ascii: "0") {
            start = bytes.index(after: start)
            digits -= 1
        }
        var number = 0
        for byte in bytes[start...] { number = number * 10 + Int(byte &- 0x30) }
        return (String(id[..<start]), number)
    }
}
