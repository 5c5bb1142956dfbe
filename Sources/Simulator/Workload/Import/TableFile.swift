/// The rows of a table: a CSV file with a header, or JSON lines, told apart by the first byte.
struct TableFile: ~Copyable {
    private let path: String
    private let map: ColumnMap
    private var lines: LineFile
    private var columns: [Column] = []
    private var isCSV = false
    /// Columns of a CSV file's header, and fields of each of its rows.
    private var width = 0
    private var hasBegun = false
    private var fields = CSVFields()
    /// The names of the blocks of the last row, if it has them.
    private(set) var blocks = DecimalList()

    private struct Column {
        let name: String
        let key: [UInt8]
        let role: ColumnMap.Role
        /// Its place in this file's header.
        var place = 0
    }

    init(path: String, map: ColumnMap, maxLineBytes: Int) throws(TraceError) {
        self.path = path
        self.map = map
        lines = try LineFile(path: path, maxLineBytes: maxLineBytes)
    }

    /// Whether the table tells when requests arrive; known after the first row.
    var hasArrivals: Bool {
        columns.contains { if case .arrival = $0.role { true } else { false } }
    }

    /// The name of the column of this role, for messages.
    func name(of isMeant: (ColumnMap.Role) -> Bool) -> String { columns.first { isMeant($0.role) }?.name ?? "" }

    /// The next row and its line, `nil` after the last. Blank lines are passed over.
    mutating func next() throws(TraceError) -> (row: TableRow, line: Int)? {
        while let line = try lines.nextLine() {
            let text = line.text
            var json = JSONReader(text)
            guard let first = json.skipSpace() else { continue }
            if !hasBegun {
                hasBegun = true
                isCSV = first != UInt8(ascii: "{")
                try readNames(line)
                if isCSV { continue }
                json = JSONReader(text)
            }
            return (try isCSV ? csvRow(line) : jsonRow(&json, line), line.number)
        }
        guard hasBegun else { throw TraceError(path: path, problem: .noRequests) }
        return nil
    }

    // MARK: Names

    private mutating func readNames(_ line: TraceLine) throws(TraceError) {
        let names = try isCSV ? Self.header(line, path, &fields) : Self.keys(line, path)
        width = names.count
        switch map.resolved(among: names) {
        case .success(let found):
            columns = found.map { Column(name: $0.name, key: Array($0.name.utf8), role: $0.role) }
        case .failure(let missing):
            let wanted = missing.names.map { "`\($0.neutralised())`" }.joined(separator: " or ")
            let shown = names.prefix(20).map { $0.neutralised() }.joined(separator: ", ")
            throw TraceError(
                path: path, line: line.number,
                problem: .missing(
                    missing.names.first?.neutralised() ?? "",
                    expected: "\(isCSV ? "a column" : "a field") \(wanted) among: \(shown)"))
        }
        for index in columns.indices { columns[index].place = names.firstIndex(of: columns[index].name) ?? 0 }
    }

    /// The names of a CSV file's columns.
    static func header(_ line: TraceLine, _ path: String, _ fields: inout CSVFields) throws(TraceError) -> [String] {
        let text = line.text
        guard !text.contains(0), String(validating: text, as: UTF8.self) != nil else {
            throw TraceError(path: path, line: line.number, problem: .notText)
        }
        guard fields.split(text) else { throw Self.openQuote(path, line) }
        let names = (0..<fields.count).map { fields.text($0, of: text) }
        if let index = names.indices.first(where: { names[..<$0].contains(names[$0]) }) {
            throw TraceError(path: path, line: line.number, problem: .repeated(names[index].neutralised()))
        }
        return names
    }

    /// The names of an object's fields.
    static func keys(_ line: TraceLine, _ path: String) throws(TraceError) -> [String] {
        var json = JSONReader(line.text)
        do throws(JSONError) {
            return try json.memberNames()
        } catch {
            throw TraceError(
                path: path, line: line.number,
                problem: .init(error, in: line.text, isTerminated: line.isTerminated))
        }
    }

    // MARK: Rows

    private mutating func csvRow(_ line: TraceLine) throws(TraceError) -> TableRow {
        let text = line.text
        guard !text.contains(0) else { throw TraceError(path: path, line: line.number, problem: .notText) }
        guard fields.split(text) else { throw Self.openQuote(path, line) }
        // A quote that is missing moves every field after it: nothing of such a row can be trusted.
        guard fields.count == width else {
            throw TraceError(
                path: path, line: line.number,
                problem: .field(
                    "row", found: "\(fields.count) fields", expected: "\(width), as many as the header names"))
        }
        var row = TableRow()
        for column in columns {
            let value = fields.bytes(column.place, of: text)
            guard Self.take(value, column.role, into: &row) else {
                throw TraceError(path: path, line: line.number, problem: Self.problem(column, found: value.shown))
            }
        }
        return row
    }

    private mutating func jsonRow(_ json: inout JSONReader, _ line: TraceLine) throws(TraceError) -> TableRow {
        var row = TableRow()
        let problem: TraceError.Problem?
        do throws(JSONError) {
            problem = try readObject(&json, into: &row)
        } catch {
            problem = .init(error, in: line.text, isTerminated: line.isTerminated)
        }
        if let problem { throw TraceError(path: path, line: line.number, problem: problem) }
        return row
    }

    /// Reads the object that stands here; what is wrong with its values.
    private mutating func readObject(
        _ json: inout JSONReader, into row: inout TableRow
    ) throws(JSONError) -> TraceError.Problem? {
        guard json.enterObject() else { throw json.error("a JSON object") }
        var problem: TraceError.Problem?
        var seen = 0
        var index = -1
        while let key = try json.nextKey() {
            guard let found = self.index(of: key, after: index) else {
                try json.skipValue()
                continue
            }
            index = found
            guard seen & 1 << index == 0 else { return .repeated(columns[index].name.neutralised()) }
            seen |= 1 << index
            let role = columns[index].role
            if case .blocks = role {
                let found = try readBlocks(&json, columns[index], into: &row)
                problem = problem ?? found
                continue
            }
            if let value = json.integer() {
                // What most values are; anything else about them is looked at below.
                if Self.take(value, role, into: &row) { continue }
                problem = problem ?? Self.problem(columns[index], found: "`\(value)`")
                continue
            }
            json.skipSpace()
            // Numbers and dates may stand within quotes.
            let value: UnsafeRawBufferPointer
            if let text = try json.string() {
                value = text.bytes
            } else {
                value = try json.skipValue()
            }
            if !Self.take(value, role, into: &row) {
                problem = problem ?? Self.problem(columns[index], found: value.shown)
            }
        }
        try json.finish()
        if problem == nil, let index = columns.indices.first(where: { seen & 1 << $0 == 0 }) {
            return .missing(columns[index].name.neutralised(), expected: Self.rule(columns[index].role))
        }
        return problem
    }

    /// The column that a key names, most likely the one after that of the key before.
    private func index(of key: JSONString, after previous: Int) -> Int? {
        let next = previous + 1
        if next < columns.count, key.equals(columns[next].key) { return next }
        return columns.firstIndex { key.equals($0.key) }
    }

    private mutating func readBlocks(
        _ json: inout JSONReader, _ column: Column, into row: inout TableRow
    ) throws(JSONError) -> TraceError.Problem? {
        json.skipSpace()
        guard json.enterArray() else {
            return Self.problem(column, found: try json.skipValue().shown)
        }
        blocks.removeAll()
        guard try json.wholeNumbers(into: &blocks) else {
            let found = json.found
            try json.skipValue()
            while try json.nextElement() { try json.skipValue() }
            return .field(
                "\(column.name.neutralised())[\(blocks.count)]", found: found,
                expected: "a whole number from 0 to \(Int.max)")
        }
        row.blockCount = blocks.count
        return nil
    }

    // MARK: Values

    /// Takes a value in; false if it is none for this column.
    private static func take(_ value: UnsafeRawBufferPointer, _ role: ColumnMap.Role, into row: inout TableRow) -> Bool
    {
        switch role {
        case .arrival(let unit):
            guard let time = TableValue.time(value, unit) else { return false }
            row.arrival = time
        case .prompt:
            guard let count = TableValue.count(value) else { return false }
            row.promptTokens = count
        case .output:
            guard let count = TableValue.count(value) else { return false }
            row.outputTokens = count
        case .blocks: return false
        }
        return true
    }

    private static func take(_ value: Int, _ role: ColumnMap.Role, into row: inout TableRow) -> Bool {
        switch role {
        case .arrival(.date), .blocks: return false
        case .arrival(let unit):
            let (time, overflowed) = Int64(value).multipliedReportingOverflow(by: unit.nanoseconds)
            row.arrival = time
            return !overflowed
        case .prompt:
            row.promptTokens = value
            return 0...TraceLimits.maxCount ~= value
        case .output:
            row.outputTokens = value
            return 0...TraceLimits.maxCount ~= value
        }
    }

    private static func problem(_ column: Column, found: String) -> TraceError.Problem {
        .field(column.name.neutralised(), found: found, expected: rule(column.role))
    }

    private static func rule(_ role: ColumnMap.Role) -> String {
        switch role {
        case .arrival(.date): "a time such as 2023-11-16 18:15:46.68"
        case .arrival(let unit): "a number of \(unit.rawValue)"
        case .prompt, .output: "a whole number from 0 to \(TraceLimits.maxCount)"
        case .blocks: "an array of whole numbers"
        }
    }

    private static func openQuote(_ path: String, _ line: TraceLine) -> TraceError {
        TraceError(
            path: path, line: line.number,
            problem: .malformed(
                column: 1, found: "a quote that is not closed before the line's end or the next comma",
                expected: "fields as in RFC 4180, without line breaks"))
    }
}
