internal import CHDF5
internal import Glibc

extension HDF5File {
    /// Arrays above this many bytes are chunked and compressed.
    private static let contiguousLimit = 64 << 10

    /// Writes an array of any number of dimensions, in row-major order; no dimension makes a scalar.
    ///
    /// - Precondition: `shape` holds as many elements as there are values.
    package func writeArray<Number: HDF5Number>(
        _ values: [Number], shape: [Int], at path: String
    ) throws(HDF5Error) {
        precondition(values.count == shape.reduce(1, *), "\(path): \(values.count) values do not fill \(shape)")
        var bytes: [UInt8] = []
        bytes.reserveCapacity(values.count * Number.elementType.size)
        for value in values { value.encode(into: &bytes) }
        let context = context(path)
        let type = try Number.elementType.makeType(context)
        let dataset = try makeArray(path, type: type, bytesPerElement: Number.elementType.size, shape, context)
        guard !values.isEmpty else { return }
        let whole = chdf5_whole_dataspace()
        try context.check("write") {
            H5Dwrite(dataset.id, type.id, whole, whole, chdf5_default_properties(), bytes)
        }
    }

    /// Writes texts of variable length, which readers of netCDF show as text and not as bytes.
    ///
    /// - Precondition: `shape` holds as many elements as there are texts.
    package func writeArray(texts: [String], shape: [Int], at path: String) throws(HDF5Error) {
        precondition(texts.count == shape.reduce(1, *), "\(path): \(texts.count) texts do not fill \(shape)")
        let context = context(path)
        let type = try context.open("make a type for") { H5Tcopy(chdf5_string()) }
        try context.check("size the text of") { H5Tset_size(type.id, chdf5_variable_length()) }
        try context.check("mark the text of") { H5Tset_cset(type.id, H5T_CSET_UTF8) }
        let dataset = try makeArray(path, type: type, bytesPerElement: 16, shape, context)
        guard !texts.isEmpty else { return }
        let pointers = texts.map { strdup($0) }
        defer { for pointer in pointers { free(pointer) } }
        let whole = chdf5_whole_dataspace()
        try context.check("write") {
            H5Dwrite(dataset.id, type.id, whole, whole, chdf5_default_properties(), pointers)
        }
    }

    /// A link to an object of another file, whose path is taken from this file's folder.
    package func link(_ path: String, toObject object: String, ofFile file: String) throws(HDF5Error) {
        let context = context(path)
        let links = try Self.namesInUTF8(context)
        try context.check("link") {
            H5Lcreate_external(file, object, id, path, links.id, chdf5_default_properties())
        }
    }

    private func makeArray(
        _ path: String, type: borrowing HDF5Handle, bytesPerElement: Int, _ shape: [Int], _ context: HDF5Context
    ) throws(HDF5Error) -> HDF5Handle {
        let space = try Self.space(of: shape, context)
        let links = try Self.namesInUTF8(context)
        let creation = try Self.untimed(chdf5_dataset_creation(), context)
        if shape.reduce(bytesPerElement, *) > Self.contiguousLimit {
            let chunk = Self.chunk(of: shape, bytesPerElement: bytesPerElement).map { hsize_t($0) }
            try context.check("create") { H5Pset_chunk(creation.id, Int32(chunk.count), chunk) }
            try context.check("create") { H5Pset_shuffle(creation.id) }
            try context.check("create") { H5Pset_deflate(creation.id, HDF5Dataset.deflateLevel) }
        }
        let (file, type) = (id, type.id)
        return try context.open("create") {
            H5Dcreate2(file, path, type, space.id, links.id, creation.id, chdf5_default_properties())
        }
    }

    private static func space(of shape: [Int], _ context: HDF5Context) throws(HDF5Error) -> HDF5Handle {
        if shape.isEmpty { return try context.open("create") { H5Screate(H5S_SCALAR) } }
        let sizes = shape.map { hsize_t($0) }
        return try context.open("create") { H5Screate_simple(Int32(sizes.count), sizes, nil) }
    }

    /// The shape halved along its longest side until it is small enough for a chunk.
    private static func chunk(of shape: [Int], bytesPerElement: Int) -> [Int] {
        var chunk = shape
        while chunk.reduce(bytesPerElement, *) > HDF5Dataset.chunkBytes,
            let longest = chunk.indices.max(by: { chunk[$0] < chunk[$1] }), chunk[longest] > 1
        {
            chunk[longest] = (chunk[longest] + 1) / 2
        }
        return chunk
    }
}
