internal import Crypto

extension HDF5File {
    /// Writes a table: one dataset per column below the group. Memory is bounded by a chunk, however many rows there are.
    func writeTable<Row>(
        _ rows: some Collection<Row>, as columns: [Column<Row>], at group: String, digest: inout ContentDigest
    ) throws(HDF5Error) {
        try createGroup(group)
        for column in columns {
            let path = group + "/" + column.name
            try writeColumn(column, of: rows, at: path, digest: &digest)
            try describe(path, unit: column.unit, column.description)
            for attribute in column.attributes { try setAttribute(attribute.name, of: path, to: attribute.value) }
        }
    }

    private func writeColumn<Row>(
        _ column: Column<Row>, of rows: some Collection<Row>, at path: String, digest: inout ContentDigest
    ) throws(HDF5Error) {
        let (type, encode) = column.encoding(of: rows)
        var dataset = try HDF5Dataset(creating: path, type: type, extent: .rows(rows.count), in: self)
        var hash = SHA256()
        let chunk = HDF5Dataset.chunkRows(of: type)
        var bytes: [UInt8] = []
        var rest = rows[...]
        while !rest.isEmpty {
            bytes.removeAll(keepingCapacity: true)
            for row in rest.prefix(chunk) { encode(row, &bytes) }
            hash.update(data: bytes)
            try dataset.append(bytes)
            rest = rest.dropFirst(chunk)
        }
        digest.add(path: path, type: type, count: dataset.count, hash: hash)
    }

    /// Writes one number as a scalar dataset.
    func writeScalar(
        _ value: some HDF5Number, at path: String, unit: MetricUnit, _ description: String, digest: inout ContentDigest
    ) throws(HDF5Error) {
        var bytes: [UInt8] = []
        value.encode(into: &bytes)
        let type = type(of: value).elementType
        var dataset = try HDF5Dataset(creating: path, type: type, extent: .scalar, in: self)
        try dataset.append(bytes)
        try describe(path, unit: unit, description)
        digest.add(path: path, HDF5Content(type: type, count: 1, bytes: bytes))
    }

    /// The two attributes that every dataset has.
    func describe(_ path: String, unit: MetricUnit, _ description: String) throws(HDF5Error) {
        try setAttribute("units", of: path, to: .text(unit.rawValue))
        try setAttribute("description", of: path, to: .text(description))
    }
}

extension Column {
    /// What the column's elements are, given all rows, and how to append a row's bytes. Texts take the longest's width.
    fileprivate func encoding(
        of rows: some Collection<Row>
    ) -> (type: HDF5ElementType, encode: (Row, inout [UInt8]) -> Void) {
        switch source {
        case .number(let type, let encode): return (type, encode)
        case .text(let value):
            let width = max(1, rows.lazy.map { value($0).utf8.count }.max() ?? 1)
            return (
                .text(width: width),
                { row, bytes in
                    let text = value(row).utf8
                    bytes.append(contentsOf: text)
                    bytes.append(contentsOf: repeatElement(0, count: width - text.count))
                }
            )
        }
    }
}
