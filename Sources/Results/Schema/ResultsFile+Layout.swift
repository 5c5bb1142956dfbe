/// What the file says of one of its datasets.
public struct ColumnDescription: Sendable, Equatable {
    /// Its place in the file: `/arms/reuse/repeat_000/requests/finish`.
    public var path: String
    /// numpy's name of the element type, as `<i8`.
    public var dtype: String
    /// Elements.
    public var count: Int
    /// Whether it is one value and not a column.
    public var isScalar: Bool
    public var units: String
    public var description: String
    /// The names of an enumeration's codes; empty for anything else.
    public var codes: [Int64: String]
    /// What stands in for a value that is not there.
    public var missing: Missing?

    public enum Missing: Sendable, Equatable {
        case integer(Int64)
        case real(Double)
        case text(String)
    }

    /// The last part of the path.
    public var name: String { path.split(separator: "/").last.map(String.init) ?? path }
}

/// What a group of the file holds.
public struct GroupDescription: Sendable {
    /// `/` for the root.
    public var path: String
    /// Its datasets that are equally long columns, by name; empty if it is no table.
    public var columns: [ColumnDescription]
    /// Its datasets that are one value each, by name.
    public var scalars: [ColumnDescription]
    /// The names of the groups in it.
    public var groups: [String]

    /// Rows of its columns.
    public var rows: Int { columns.first?.count ?? 0 }
}

extension ResultsFile {
    /// What a group holds, as the file describes it.
    ///
    /// - Throws: a column that is longer or shorter than its neighbours.
    public func group(at path: String) throws(ResultsError) -> GroupDescription {
        try ResultsError.wrapping { () throws(HDF5Error) in
            var found = GroupDescription(path: path, columns: [], scalars: [], groups: [])
            for child in try file.children(of: path) {
                let place = path == "/" ? "/" + child : path + "/" + child
                switch try file.kind(of: place) {
                case .group: found.groups.append(child)
                case .dataset:
                    let column = try describe(place)
                    if column.isScalar {
                        found.scalars.append(column)
                    } else {
                        found.columns.append(column)
                    }
                case nil: break
                }
            }
            if let odd = found.columns.first(where: { $0.count != found.rows }) {
                throw file.context(odd.path).failure("read", "it is longer or shorter than its neighbours")
            }
            return found
        }
    }

    /// What is kept of a log: `raw` is every row; a log that was too long has its sums in other columns.
    func form(of group: String) throws(ResultsError) -> String {
        try ResultsError.wrapping { () throws(HDF5Error) in
            try file.hasAttribute("form", of: group) ? try file.text("form", of: group) : "raw"
        }
    }

    /// Rows of a column as whole numbers; of `nil`, all of them.
    func integers(_ path: String, rows: Range<Int>? = nil) throws(ResultsError) -> [Int64] {
        switch try values(at: path, rows: rows) {
        case .int64(let values): return values
        case .int32(let values): return values.map(Int64.init)
        case .uint64(let values): return values.map { Int64(clamping: $0) }
        case .float64, .text: throw .hdf5(file.context(path).failure("read", "it does not hold whole numbers"))
        }
    }

    /// All of a column, or one value, as real numbers.
    func reals(_ path: String) throws(ResultsError) -> [Double] {
        if case .float64(let values) = try values(at: path) { return values }
        return try integers(path).map(Double.init)
    }

    /// Rows of a column; of `nil`, all of them.
    func values(at path: String, rows: Range<Int>?) throws(ResultsError) -> Values {
        guard let rows else { return try values(at: path) }
        return try ResultsError.wrapping { () throws(HDF5Error) in
            Values(try file.content(of: path, rows: rows))
        }
    }

    /// How many elements a dataset has; `nil` if there is none of that name.
    func count(of path: String) throws(ResultsError) -> Int? {
        guard try contains(path) else { return nil }
        return try ResultsError.wrapping { () throws(HDF5Error) in try file.form(of: path).count }
    }

    /// Whether there is a dataset or group of this path, whose parent must exist.
    func contains(_ path: String) throws(ResultsError) -> Bool {
        guard let slash = path.lastIndex(of: "/") else { return false }
        let parent = slash == path.startIndex ? "/" : String(path[..<slash])
        return try ResultsError.wrapping { () throws(HDF5Error) in
            try file.children(of: parent).contains(String(path[path.index(after: slash)...]))
        }
    }

    private func describe(_ path: String) throws(HDF5Error) -> ColumnDescription {
        let form = try file.form(of: path)
        func text(_ name: String) throws(HDF5Error) -> String {
            try file.hasAttribute(name, of: path) ? try file.text(name, of: path) : ""
        }
        var missing: ColumnDescription.Missing?
        if try file.hasAttribute(MissingValue.attribute, of: path) {
            missing =
                switch try file.attribute(MissingValue.attribute, of: path) {
                case .int64(let value): .integer(value)
                case .uint64(let value): .integer(Int64(clamping: value))
                case .float64(let value): .real(value)
                case .text(let value): .text(value)
                }
        }
        return ColumnDescription(
            path: path, dtype: form.type.dtype, count: form.count, isScalar: form.isScalar, units: try text("units"),
            description: try text("description"), codes: Self.codes(in: try text("values")), missing: missing)
    }

    /// `0=finished, 1=refused` as codes and names.
    private static func codes(in legend: String) -> [Int64: String] {
        var codes: [Int64: String] = [:]
        for entry in legend.split(separator: ",") {
            let parts = entry.split(separator: "=", maxSplits: 1)
            guard parts.count == 2, let code = Int64(parts[0].trimmingPrefix { $0 == " " }) else { continue }
            codes[code] = String(parts[1])
        }
        return codes
    }
}
