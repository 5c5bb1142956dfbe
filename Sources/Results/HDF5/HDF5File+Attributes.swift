internal import CHDF5

/// The value of an attribute.
package enum HDF5Attribute: Equatable, Sendable {
    /// Without zero characters: attributes are C strings, of any length.
    case text(String)
    case int64(Int64)
    case uint64(UInt64)
    case float64(Double)
}

extension HDF5File {
    package func setAttribute(_ name: String, of object: String, to value: HDF5Attribute) throws(HDF5Error) {
        let context = context(object + "@" + name)
        let type = try value.makeType(context)
        let space = try context.open("create") { H5Screate(H5S_SCALAR) }
        let none = chdf5_default_properties()
        let attribute = try context.open("create") {
            H5Acreate_by_name(id, object, name, type.id, space.id, none, none, none)
        }
        switch value {
        case .text(let text):
            try context.check("write") {
                text.withCString { text in withUnsafePointer(to: text) { H5Awrite(attribute.id, type.id, $0) } }
            }
        case .int64(let number): try context.write(number, to: attribute, type: type)
        case .uint64(let number): try context.write(number, to: attribute, type: type)
        case .float64(let number): try context.write(number, to: attribute, type: type)
        }
    }

    package func hasAttribute(_ name: String, of object: String) throws(HDF5Error) -> Bool {
        try context(object + "@" + name).check("look for") {
            H5Aexists_by_name(id, object, name, chdf5_default_properties())
        } > 0
    }

    package func attribute(_ name: String, of object: String) throws(HDF5Error) -> HDF5Attribute {
        let context = context(object + "@" + name)
        let none = chdf5_default_properties()
        let attribute = try context.open("open") { H5Aopen_by_name(id, object, name, none, none) }
        let type = try context.open("read") { H5Aget_type(attribute.id) }
        if H5Tget_class(type.id) == H5T_STRING, H5Tis_variable_str(type.id) > 0 {
            var text: UnsafeMutablePointer<CChar>?
            try context.check("read") { H5Aread(attribute.id, type.id, &text) }
            defer { H5free_memory(text) }
            return .text(text.map { String(cString: $0) } ?? "")
        }
        switch HDF5ElementType(type: type) {
        case .int64: return .int64(try context.read(attribute, type: type))
        case .uint64: return .uint64(try context.read(attribute, type: type))
        case .float64: return .float64(try context.read(attribute, type: type))
        case .int32, .text, nil: throw context.failure("read", "it has a type that this tool never writes")
        }
    }

    package func text(_ name: String, of object: String) throws(HDF5Error) -> String {
        guard case .text(let text) = try attribute(name, of: object) else {
            throw context(object + "@" + name).failure("read", "it is a number, not text")
        }
        return text
    }

    package func integer(_ name: String, of object: String) throws(HDF5Error) -> Int64 {
        guard case .int64(let number) = try attribute(name, of: object) else {
            throw context(object + "@" + name).failure("read", "it is not a signed integer")
        }
        return number
    }
}

extension HDF5Attribute {
    fileprivate func makeType(_ context: HDF5Context) throws(HDF5Error) -> HDF5Handle {
        switch self {
        case .text:
            // Of variable length: h5py gives these as `str`, and they may exceed an object header's 64 KiB.
            let type = try context.open("make a type for") { H5Tcopy(chdf5_string()) }
            try context.check("size the text of") { H5Tset_size(type.id, chdf5_variable_length()) }
            try context.check("mark the text of") { H5Tset_cset(type.id, H5T_CSET_UTF8) }
            return type
        case .int64: return try HDF5ElementType.int64.makeType(context)
        case .uint64: return try HDF5ElementType.uint64.makeType(context)
        case .float64: return try HDF5ElementType.float64.makeType(context)
        }
    }
}

extension HDF5Context {
    fileprivate func write(
        _ number: some HDF5Number, to attribute: borrowing HDF5Handle, type: borrowing HDF5Handle
    ) throws(HDF5Error) {
        var bytes: [UInt8] = []
        number.encode(into: &bytes)
        let (attribute, type) = (attribute.id, type.id)
        try check("write") { H5Awrite(attribute, type, bytes) }
    }

    fileprivate func read<Number: HDF5Number>(
        _ attribute: borrowing HDF5Handle, type: borrowing HDF5Handle
    ) throws(HDF5Error) -> Number {
        var bits = Number.Bits.zero
        let (attribute, type) = (attribute.id, type.id)
        try check("read") { H5Aread(attribute, type, &bits) }
        return Number(bits: Number.Bits(littleEndian: bits))
    }
}
