internal import Crypto

/// Writes a table, one dataset per column below one group, as its rows come.
///
/// Rows are gathered into whole chunks, so that every chunk is compressed once and memory stays bounded however long
/// the table grows. `finish` writes the rest.
package struct TableWriter<Row>: ~Copyable {
    /// Rows handed to the file at once: whole chunks of 8-byte columns, and of 4-byte ones every other time.
    static var batch: Int { HDF5Dataset.chunkBytes / 8 }

    private let columns: [OpenColumn<Row>]

    /// A table of known rows, which are written.
    static func write(
        _ rows: some Collection<Row>, as columns: [Column<Row>], at group: String, in file: borrowing HDF5File,
        digest: inout ContentDigest
    ) throws(HDF5Error) {
        let writer = try TableWriter(columns, at: group, in: file, rows: rows)
        try writer.append(rows)
        try writer.finish(digest: &digest)
    }

    /// A table that grows.
    ///
    /// - Precondition: no column holds text, whose width has to be known before its first row.
    init(growing columns: [Column<Row>], at group: String, in file: borrowing HDF5File) throws(HDF5Error) {
        try file.createGroup(group)
        var open: [OpenColumn<Row>] = []
        for column in columns {
            guard case .number(let type, _) = column.source else {
                preconditionFailure("\(column.name): a growing table can not hold text")
            }
            open.append(try OpenColumn(column, type: type, extent: .growing, at: group, in: file))
        }
        self.columns = open
    }

    private init(
        _ columns: [Column<Row>], at group: String, in file: borrowing HDF5File, rows: some Collection<Row>
    ) throws(HDF5Error) {
        try file.createGroup(group)
        var open: [OpenColumn<Row>] = []
        for column in columns {
            let type: HDF5ElementType =
                switch column.source {
                case .number(let type, _): type
                case .text(let value): .text(width: max(1, rows.lazy.map { value($0).utf8.count }.max() ?? 1))
                }
            open.append(try OpenColumn(column, type: type, extent: .rows(rows.count), at: group, in: file))
        }
        self.columns = open
    }

    func append(_ rows: some Collection<Row>) throws(HDF5Error) {
        var rest = rows[...]
        while !rest.isEmpty {
            let batch = rest.prefix(Self.batch)
            for column in columns { try column.append(batch) }
            rest = rest.dropFirst(Self.batch)
        }
    }

    consuming func finish(digest: inout ContentDigest) throws(HDF5Error) {
        for column in columns { try column.finish(digest: &digest) }
    }
}

/// A column being written, with the hash of what went into it.
private final class OpenColumn<Row> {
    private let source: Column<Row>.Source
    private var dataset: HDF5Dataset
    private var hash = SHA256()
    private var pending: [UInt8] = []
    private let chunkBytes: Int

    init(
        _ column: Column<Row>, type: HDF5ElementType, extent: HDF5Dataset.Extent, at group: String,
        in file: borrowing HDF5File
    ) throws(HDF5Error) {
        let path = group + "/" + column.name
        let dataset = try HDF5Dataset(creating: path, type: type, extent: extent, in: file)
        try file.describe(path, unit: column.unit, column.description)
        for attribute in column.attributes { try file.setAttribute(attribute.name, of: path, to: attribute.value) }
        self.source = column.source
        self.dataset = dataset
        chunkBytes = HDF5Dataset.chunkRows(of: type) * type.size
    }

    func append(_ rows: some Collection<Row>) throws(HDF5Error) {
        switch source {
        case .number(_, let encode):
            for row in rows { encode(row, &pending) }
        case .text(let value):
            guard case .text(let width) = dataset.type else { preconditionFailure("a text column holds numbers") }
            for row in rows {
                let text = value(row).utf8
                pending.append(contentsOf: text)
                pending.append(contentsOf: repeatElement(0, count: width - text.count))
                try flush(keeping: chunkBytes)
            }
        }
        try flush(keeping: chunkBytes)
    }

    /// Writes what is gathered once it exceeds `limit` bytes, and then all whole chunks of it.
    private func flush(keeping limit: Int) throws(HDF5Error) {
        guard pending.count >= limit else { return }
        try write(pending.count / chunkBytes * chunkBytes)
    }

    private func write(_ count: Int) throws(HDF5Error) {
        let bytes = Array(pending.prefix(count))
        pending.removeFirst(count)
        hash.update(data: bytes)
        try dataset.append(bytes)
    }

    func finish(digest: inout ContentDigest) throws(HDF5Error) {
        try write(pending.count)
        digest.add(path: dataset.path, type: dataset.type, count: dataset.count, hash: hash)
    }
}

extension HDF5File {
    /// The two attributes that every dataset has.
    func describe(_ path: String, unit: Unit, _ description: String) throws(HDF5Error) {
        try setAttribute("units", of: path, to: .text(unit.rawValue))
        try setAttribute("description", of: path, to: .text(description))
    }

    /// Writes one number as a scalar dataset.
    func writeScalar(
        _ value: some HDF5Number, at path: String, unit: Unit, _ description: String, digest: inout ContentDigest
    ) throws(HDF5Error) {
        var bytes: [UInt8] = []
        value.encode(into: &bytes)
        let type = type(of: value).elementType
        var dataset = try HDF5Dataset(creating: path, type: type, extent: .scalar, in: self)
        try dataset.append(bytes)
        try describe(path, unit: unit, description)
        digest.add(path: path, HDF5Content(type: type, count: 1, bytes: bytes))
    }
}
