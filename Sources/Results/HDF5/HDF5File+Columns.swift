internal import CHDF5

/// A whole column or scalar as it lies in the file.
package struct HDF5Content: Equatable, Sendable {
    package var type: HDF5ElementType
    package var count: Int
    /// `count` elements in little-endian order, text filled up with zero bytes.
    package var bytes: [UInt8]

    /// The texts, without the zeros that fill them up; none if these are numbers.
    var texts: [String] {
        guard case .text(let width) = type else { return [] }
        return stride(from: 0, to: bytes.count, by: width).map { start in
            let padded = bytes[start..<start + width]
            let end = padded.lastIndex { $0 != 0 }.map { $0 + 1 } ?? start
            return String(decoding: padded[start..<end], as: UTF8.self)
        }
    }
}

/// What a dataset holds: its elements, how many, and whether it is one value or a column.
package struct HDF5Form: Equatable, Sendable {
    package var type: HDF5ElementType
    package var count: Int
    package var isScalar: Bool
}

extension HDF5File {
    /// Reads all of a dataset.
    package func content(of path: String) throws(HDF5Error) -> HDF5Content {
        let context = context(path)
        let dataset = try context.open("open") { H5Dopen2(id, path, chdf5_default_properties()) }
        let form = try Self.form(of: dataset, context)
        let stored = try context.open("read") { H5Dget_type(dataset.id) }
        var bytes = [UInt8](repeating: 0, count: form.count * form.type.size)
        let whole = chdf5_whole_dataspace()
        try context.check("read") {
            H5Dread(dataset.id, stored.id, whole, whole, chdf5_default_properties(), &bytes)
        }
        return HDF5Content(type: form.type, count: form.count, bytes: bytes)
    }

    /// What a dataset holds, without reading it.
    package func form(of path: String) throws(HDF5Error) -> HDF5Form {
        let context = context(path)
        let dataset = try context.open("open") { H5Dopen2(id, path, chdf5_default_properties()) }
        return try Self.form(of: dataset, context)
    }

    /// zlib packs no more than 1032 bytes into one.
    private static let bestDeflation = 1032

    /// What a dataset says of itself, held against what the file has of it: a few bytes can claim to be more elements than
    /// memory has room for.
    private static func form(
        of dataset: borrowing HDF5Handle, _ context: HDF5Context
    ) throws(HDF5Error) -> HDF5Form {
        let dataset = dataset.id
        let stored = try context.open("read") { H5Dget_type(dataset) }
        guard let type = HDF5ElementType(type: stored) else {
            throw context.failure("read", "its elements have a type that this tool never writes")
        }
        let space = try context.open("read") { H5Dget_space(dataset) }
        let count = Int(try context.check("read") { H5Sget_simple_extent_npoints(space.id) })
        let (size, isTooLarge) = count.multipliedReportingOverflow(by: type.size)
        let kept = Int(clamping: H5Dget_storage_size(dataset))
        // What a file names may be any file of its reader's.
        let creation = try context.open("read") { H5Dget_create_plist(dataset) }
        guard H5Pget_layout(creation.id) != H5D_VIRTUAL,
            try context.check("read", { H5Pget_external_count(creation.id) }) == 0
        else { throw context.failure("read", "its elements are in another file") }
        guard !isTooLarge, size / bestDeflation <= kept else {
            throw context.failure("read", "it claims \(count) elements, of which the file has \(kept) bytes")
        }
        return HDF5Form(type: type, count: count, isScalar: H5Sget_simple_extent_type(space.id) == H5S_SCALAR)
    }

    /// Reads some rows of a column.
    ///
    /// - Precondition: the column has these rows, and there is at least one.
    package func content(of path: String, rows: Range<Int>) throws(HDF5Error) -> HDF5Content {
        precondition(!rows.isEmpty)
        let context = context(path)
        let dataset = try context.open("open") { H5Dopen2(id, path, chdf5_default_properties()) }
        let stored = try context.open("read") { H5Dget_type(dataset.id) }
        let form = try Self.form(of: dataset, context)
        guard rows.lowerBound >= 0, rows.upperBound <= form.count else {
            throw context.failure("read", "it has \(form.count) rows, fewer than its neighbours")
        }
        let space = try context.open("read") { H5Dget_space(dataset.id) }
        var (start, length) = (hsize_t(rows.lowerBound), hsize_t(rows.count))
        try context.check("read") { H5Sselect_hyperslab(space.id, H5S_SELECT_SET, &start, nil, &length, nil) }
        let target = try context.open("read") { H5Screate_simple(1, &length, nil) }
        var bytes = [UInt8](repeating: 0, count: rows.count * form.type.size)
        try context.check("read") {
            H5Dread(dataset.id, stored.id, target.id, space.id, chdf5_default_properties(), &bytes)
        }
        return HDF5Content(type: form.type, count: rows.count, bytes: bytes)
    }

    /// The numbers of a column, which must hold exactly this type.
    package func numbers<Number: HDF5Number>(
        _ path: String, as _: Number.Type = Number.self
    ) throws(HDF5Error) -> [Number] {
        let content = try content(of: path)
        guard content.type == Number.elementType else {
            throw context(path).failure("read", "it holds \(content.type.dtype), not \(Number.elementType.dtype)")
        }
        return Number.decode(content.bytes)
    }

    /// The texts of a column.
    package func texts(_ path: String) throws(HDF5Error) -> [String] {
        let content = try content(of: path)
        guard case .text = content.type else {
            throw context(path).failure("read", "it holds \(content.type.dtype), not text")
        }
        return content.texts
    }
}
