internal import Foundation
internal import Simulator

/// Writes a results file as CSV: a file for every table, and `schema.csv`, which says what each column is.
///
/// Paths are those of the HDF5 file: `arms/reuse/repeat_000/requests.csv`. Values that stand alone in a group are the rows
/// `name,value,units,description` of a file of the group's name, attributes of the root those of `provenance.csv`. Codes
/// of enumerations are spelled out, and what is missing is empty. Long tables pass through in batches of rows.
public struct CSVExport {
    /// The file that describes all others, and by which an earlier export is known.
    static let schemaName = "schema.csv"
    static let schemaHeader = "file,column,type,units,description"
    private static let provenanceName = "provenance.csv"
    private static let scalarHeader = "name,value,units,description\n"
    private static let batch = 1 << 16

    /// Writes all of `results` into the directory `path`, which appears when it is whole.
    ///
    /// - Returns: how many files were written.
    /// - Throws: `ResultsError.notOurs` if `path` holds anything that an export did not make.
    public static func write(_ results: borrowing ResultsFile, to path: String) throws(ResultsError) -> Int {
        let staged = try StagedDirectory(for: path, mayReplace: isExport)
        var export = CSVExport(root: try staged.directory(""))
        try export.writeProvenance(results)
        try export.writeGroup(at: "/", of: results, staged)
        try export.writeSchema()
        let count = export.files
        try staged.commit()
        return count
    }

    private let root: String
    /// Lines of the schema.
    private var schema: [[String]] = []
    private var files = 1

    private init(root: String) { self.root = root }

    // MARK: Groups

    private mutating func writeGroup(
        at path: String, of results: borrowing ResultsFile, _ staged: borrowing StagedDirectory
    ) throws(ResultsError) {
        let group = try results.group(at: path)
        let place = String(path.dropFirst())
        if path != "/", !group.columns.isEmpty || !group.scalars.isEmpty {
            let parent = place.lastIndex(of: "/").map { String(place[..<$0]) } ?? ""
            _ = try staged.directory(parent)
        }
        if !group.columns.isEmpty {
            try writeTable(group, of: results, to: place + ".csv")
        }
        // Texts of some length, the scenario and the profiles, are files of their own.
        let texts = group.scalars.filter { $0.dtype.hasPrefix("|S") }
        for text in texts {
            _ = try staged.directory(place)
            try writeText(text, of: results)
        }
        let numbers = group.scalars.filter { !$0.dtype.hasPrefix("|S") }
        if !numbers.isEmpty {
            // A group with columns and single values: the values have the name of the group and a word.
            try writeScalars(numbers, of: results, to: place + (group.columns.isEmpty ? "" : ".values") + ".csv")
        }
        for child in group.groups {
            try writeGroup(at: path == "/" ? "/" + child : path + "/" + child, of: results, staged)
        }
    }

    private mutating func writeTable(
        _ table: GroupDescription, of results: borrowing ResultsFile, to name: String
    ) throws(ResultsError) {
        var output = try OutputStream(creating: root + "/" + name)
        files += 1
        for column in table.columns {
            schema.append([name, column.name, Self.type(of: column), column.units, column.description])
        }
        try output.write(table.columns.map { Self.field($0.name) }.joined(separator: ",") + "\n")
        var start = 0
        while start < table.rows {
            let rows = start..<min(start + Self.batch, table.rows)
            var columns: [CSVCells] = []
            for column in table.columns {
                columns.append(CSVCells(try results.values(at: column.path, rows: rows), of: column))
            }
            for row in 0..<rows.count {
                try output.write { bytes in
                    for (index, cells) in columns.enumerated() {
                        if index > 0 { bytes.append(UInt8(ascii: ",")) }
                        cells.append(row, to: &bytes)
                    }
                    bytes.append(UInt8(ascii: "\n"))
                }
            }
            start = rows.upperBound
        }
        try output.flush()
    }

    private mutating func writeScalars(
        _ scalars: [ColumnDescription], of results: borrowing ResultsFile, to name: String
    ) throws(ResultsError) {
        var output = try OutputStream(creating: root + "/" + name)
        files += 1
        for column in ["name", "value", "units", "description"] {
            schema.append([name, column, "text", "1", "a value that stands alone, and what it is"])
        }
        try output.write(Self.scalarHeader)
        for scalar in scalars {
            var value: [UInt8] = []
            CSVCells(try results.values(at: scalar.path), of: scalar).append(0, to: &value)
            let cells = [scalar.name, String(decoding: value, as: UTF8.self), scalar.units, scalar.description]
            try output.write(cells.map(Self.field).joined(separator: ",") + "\n")
        }
        try output.flush()
    }

    private mutating func writeText(
        _ text: ColumnDescription, of results: borrowing ResultsFile
    ) throws(ResultsError) {
        let name = text.path.dropFirst() + ".yaml"
        schema.append([String(name), "", "yaml", "1", text.description])
        var output = try OutputStream(creating: root + "/" + name)
        files += 1
        if case .text(let lines) = try results.values(at: text.path) { try output.write(lines.joined()) }
        try output.flush()
    }

    // MARK: What describes them

    private mutating func writeProvenance(_ results: borrowing ResultsFile) throws(ResultsError) {
        var output = try OutputStream(creating: root + "/" + Self.provenanceName)
        files += 1
        try output.write("name,value\n")
        for (name, value) in try results.rootAttributes {
            try output.write(Self.field(name) + "," + Self.field(value) + "\n")
        }
        try output.flush()
        for column in ["name", "value"] {
            schema.append([Self.provenanceName, column, "text", "1", "attributes of the results file"])
        }
    }

    private mutating func writeSchema() throws(ResultsError) {
        var output = try OutputStream(creating: root + "/" + Self.schemaName)
        try output.write(Self.schemaHeader + "\n")
        for line in schema {
            try output.write(line.map(Self.field).joined(separator: ",") + "\n")
        }
        try output.flush()
    }

    /// `integer`, `real`, `text` or `one of: finished, refused`.
    private static func type(of column: ColumnDescription) -> String {
        if !column.codes.isEmpty {
            return "one of: " + column.codes.sorted { $0.key < $1.key }.map(\.value).joined(separator: ", ")
        }
        return column.dtype.hasPrefix("|S") ? "text" : column.dtype.hasPrefix("<f") ? "real" : "integer"
    }

    /// A text as one field (RFC 4180): in quotes where a comma, a quote or the end of a line asks for them.
    static func field(_ text: String) -> String {
        guard text.utf8.contains(where: { [0x22, 0x2c, 0x0a, 0x0d].contains($0) }) else { return text }
        return "\"" + text.replacing("\"", with: "\"\"") + "\""
    }

    /// Whether all files in the directory are those that its own `schema.csv` lists.
    private static func isExport(_ directory: String) -> Bool {
        guard let data = FileManager.default.contents(atPath: directory + "/" + schemaName) else { return false }
        let lines = String(decoding: data, as: UTF8.self).split(separator: "\n")
        guard lines.first.map(String.init) == schemaHeader else { return false }
        var known: Set = [schemaName]
        for line in lines.dropFirst() {
            // The file's name is the first field; in quotes where an arm's name has a comma or quote in it.
            if line.first == "\"" {
                let rest = line.dropFirst().replacing("\"\"", with: "\u{0}")
                known.insert(String(rest.prefix { $0 != "\"" }.replacing("\u{0}", with: "\"")))
            } else {
                known.insert(String(line.prefix { $0 != "," }))
            }
        }
        guard let all = FileManager.default.enumerator(atPath: directory) else { return false }
        for case let name as String in all {
            var isDirectory = ObjCBool(false)
            _ = FileManager.default.fileExists(atPath: directory + "/" + name, isDirectory: &isDirectory)
            if !isDirectory.boolValue, !known.contains(name) { return false }
        }
        return true
    }
}

/// Rows of one column as they are written to CSV.
struct CSVCells {
    private enum Cells {
        case integers([Int64])
        case unsigned([UInt64])
        case reals([Double])
        case texts([String])
    }

    private let cells: Cells
    private let codes: [Int64: String]
    private let missing: ColumnDescription.Missing?

    init(_ values: ResultsFile.Values, of column: ColumnDescription) {
        cells =
            switch values {
            case .int32(let values): .integers(values.map(Int64.init))
            case .int64(let values): .integers(values)
            case .uint64(let values): .unsigned(values)
            case .float64(let values): .reals(values)
            case .text(let values): .texts(values)
            }
        codes = column.codes
        missing = column.missing
    }

    func append(_ row: Int, to bytes: inout [UInt8]) {
        switch cells {
        case .integers(let values):
            let value = values[row]
            if let missing, missing == .integer(value) { return }
            if !codes.isEmpty, let name = codes[value] {
                bytes.append(contentsOf: CSVExport.field(name).utf8)
            } else {
                bytes.append(decimal: value)
            }
        case .unsigned(let values): bytes.append(contentsOf: "\(values[row])".utf8)
        case .reals(let values):
            let value = values[row]
            if case .real = missing, value.isNaN { return }
            bytes.append(contentsOf: "\(value)".utf8)
        case .texts(let values): bytes.append(contentsOf: CSVExport.field(values[row]).utf8)
        }
    }
}
