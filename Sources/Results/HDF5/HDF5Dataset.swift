internal import CHDF5

/// A dataset open for writing: one column, or one scalar. Elements are appended as little-endian bytes.
package struct HDF5Dataset: ~Copyable {
    package enum Extent: Sendable {
        case scalar
        /// A column of known length.
        case rows(Int)
        /// A column that grows as it is appended to.
        case growing
    }

    /// Columns of at most this many bytes are kept beside their header: a chunk and its index would be larger.
    static let compactLimit = 2048
    /// Bytes of one chunk. An appender that hands over whole chunks has each compressed just once.
    static let chunkBytes = 128 << 10
    /// zlib's level: after the byte shuffle, higher ones cost much time for little.
    static let deflateLevel: UInt32 = 2

    package let path: String
    package let type: HDF5ElementType
    /// Elements written so far.
    package private(set) var count = 0
    private let extent: Extent
    private let file: String
    private let handle: HDF5Handle

    package init(
        creating path: String, type: HDF5ElementType, extent: Extent, in file: borrowing HDF5File
    ) throws(HDF5Error) {
        let context = file.context(path)
        let fileID = file.id
        let elementType = try type.makeType(context)
        let space = try Self.space(extent, context)
        let links = try HDF5File.namesInUTF8(context)
        let creation = try Self.creation(type, extent, context)
        let handle = try context.open("create") {
            H5Dcreate2(fileID, path, elementType.id, space.id, links.id, creation.id, chdf5_default_properties())
        }
        self.handle = handle
        self.path = path
        self.type = type
        self.extent = extent
        self.file = file.path
    }

    /// Appends whole elements.
    ///
    /// - Precondition: `bytes` is a whole number of elements, and a column of known length does not overflow.
    package mutating func append(_ bytes: [UInt8]) throws(HDF5Error) {
        precondition(bytes.count % type.size == 0, "\(path): \(bytes.count) bytes are no whole number of elements")
        let added = bytes.count / type.size
        guard added > 0 else { return }
        let context = HDF5Context(file: file, object: path)
        let elementType = try type.makeType(context)
        switch extent {
        case .scalar:
            precondition(count + added == 1, "\(path): a scalar has one element")
            try context.check("write") {
                H5Dwrite(
                    handle.id, elementType.id, chdf5_whole_dataspace(), chdf5_whole_dataspace(),
                    chdf5_default_properties(), bytes)
            }
        case .rows(let rows):
            precondition(count + added <= rows, "\(path): more than the \(rows) rows announced")
            try write(bytes, rows: added, elementType, context)
        case .growing:
            var size = hsize_t(count + added)
            try context.check("extend") { H5Dset_extent(handle.id, &size) }
            try write(bytes, rows: added, elementType, context)
        }
        count += added
    }

    private func write(
        _ bytes: [UInt8], rows: Int, _ elementType: borrowing HDF5Handle, _ context: HDF5Context
    ) throws(HDF5Error) {
        let target = try context.open("write") { H5Dget_space(handle.id) }
        var (start, length) = (hsize_t(count), hsize_t(rows))
        try context.check("write") { H5Sselect_hyperslab(target.id, H5S_SELECT_SET, &start, nil, &length, nil) }
        let source = try context.open("write") { H5Screate_simple(1, &length, nil) }
        let typeID = elementType.id
        try context.check("write") {
            H5Dwrite(handle.id, typeID, source.id, target.id, chdf5_default_properties(), bytes)
        }
    }

    private static func space(_ extent: Extent, _ context: HDF5Context) throws(HDF5Error) -> HDF5Handle {
        switch extent {
        case .scalar:
            return try context.open("create") { H5Screate(H5S_SCALAR) }
        case .rows(let rows):
            var size = hsize_t(rows)
            return try context.open("create") { H5Screate_simple(1, &size, nil) }
        case .growing:
            var (size, limit) = (hsize_t(0), chdf5_unlimited())
            return try context.open("create") { H5Screate_simple(1, &size, &limit) }
        }
    }

    /// Small columns lie beside their header; others are chunked, shuffled and deflated.
    private static func creation(
        _ type: HDF5ElementType, _ extent: Extent, _ context: HDF5Context
    ) throws(HDF5Error) -> HDF5Handle {
        let creation = try HDF5File.untimed(chdf5_dataset_creation(), context)
        let rows: Int
        switch extent {
        case .scalar:
            if type.size <= compactLimit {
                try context.check("create") { H5Pset_layout(creation.id, H5D_COMPACT) }
            }
            return creation
        case .rows(let count) where count * type.size <= compactLimit:
            try context.check("create") { H5Pset_layout(creation.id, H5D_COMPACT) }
            return creation
        case .rows(let count): rows = count
        case .growing: rows = .max
        }
        var chunk = hsize_t(min(rows, chunkRows(of: type)))
        try context.check("create") { H5Pset_chunk(creation.id, 1, &chunk) }
        try context.check("create") { H5Pset_shuffle(creation.id) }
        try context.check("create") { H5Pset_deflate(creation.id, deflateLevel) }
        return creation
    }

    /// Rows in one chunk of a column of this type.
    static func chunkRows(of type: HDF5ElementType) -> Int { max(1, chunkBytes / type.size) }
}
