/// The fields of one line of a CSV file, by RFC 4180, without line breaks within fields.
struct CSVFields {
    private var ends: [(start: Int, end: Int, isQuoted: Bool)] = []

    var count: Int { ends.count }

    /// Takes a line apart; false if a quote is not closed or something follows it.
    mutating func split(_ line: UnsafeRawBufferPointer) -> Bool {
        ends.removeAll(keepingCapacity: true)
        var limit = line.count
        if limit > 0, line[limit - 1] == UInt8(ascii: "\r") { limit -= 1 }
        var index = 0
        while true {
            if index < limit, line[index] == UInt8(ascii: "\"") {
                let start = index + 1
                index = start
                while index < limit {
                    if line[index] != UInt8(ascii: "\"") {
                        index += 1
                    } else if index + 1 < limit, line[index + 1] == UInt8(ascii: "\"") {
                        index += 2
                    } else {
                        break
                    }
                }
                guard index < limit else { return false }
                ends.append((start, index, true))
                index += 1
                guard index == limit || line[index] == UInt8(ascii: ",") else { return false }
            } else {
                let start = index
                while index < limit, line[index] != UInt8(ascii: ",") { index += 1 }
                ends.append((start, index, false))
            }
            guard index < limit else { return true }
            index += 1
        }
    }

    /// The bytes of a field, doubled quotes left as they are.
    func bytes(_ index: Int, of line: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        var (start, end, isQuoted) = ends[index]
        if !isQuoted {
            while start < end, line[start] == UInt8(ascii: " ") { start += 1 }
            while start < end, line[end - 1] == UInt8(ascii: " ") { end -= 1 }
        }
        return UnsafeRawBufferPointer(rebasing: line[start..<end])
    }

    /// A field's text.
    func text(_ index: Int, of line: UnsafeRawBufferPointer) -> String {
        let text = String(decoding: bytes(index, of: line), as: UTF8.self)
        return ends[index].isQuoted ? text.split(separator: "\"\"", omittingEmptySubsequences: false).joined(separator: "\"") : text
    }
}
