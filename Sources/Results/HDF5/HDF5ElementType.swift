internal import CHDF5

/// What one element of a column is in the file. Numbers are little-endian on every machine.
package enum HDF5ElementType: Equatable, Sendable {
    case int32, int64, uint64, float64
    /// UTF-8, filled up with zero bytes to `width` bytes.
    case text(width: Int)

    /// numpy's name of the type; it stands in the digest too.
    package var dtype: String {
        switch self {
        case .int32: "<i4"
        case .int64: "<i8"
        case .uint64: "<u8"
        case .float64: "<f8"
        case .text(let width): "|S\(width)"
        }
    }

    /// Bytes of one element.
    package var size: Int {
        switch self {
        case .int32: 4
        case .int64, .uint64, .float64: 8
        case .text(let width): width
        }
    }

    /// The library's type. Reading and writing pass it for memory as well: bytes are put in order on this side.
    func makeType(_ context: HDF5Context) throws(HDF5Error) -> HDF5Handle {
        let base =
            switch self {
            case .int32: chdf5_int32()
            case .int64: chdf5_int64()
            case .uint64: chdf5_uint64()
            case .float64: chdf5_float64()
            case .text: chdf5_string()
            }
        let type = try context.open("make a type for") { H5Tcopy(base) }
        if case .text(let width) = self {
            try context.check("size the text of") { H5Tset_size(type.id, width) }
            try context.check("mark the text of") { H5Tset_cset(type.id, H5T_CSET_UTF8) }
            try context.check("mark the text of") { H5Tset_strpad(type.id, H5T_STR_NULLPAD) }
        }
        return type
    }

    /// The element type of a library's type, or `nil` if it is none of ours.
    init?(type: borrowing HDF5Handle) {
        let id = type.id
        let size = H5Tget_size(id)
        func equals(_ other: hid_t) -> Bool { H5Tequal(id, other) > 0 }
        switch H5Tget_class(id) {
        case H5T_STRING where H5Tis_variable_str(id) == 0 && size > 0: self = .text(width: size)
        case H5T_INTEGER where equals(chdf5_int32()): self = .int32
        case H5T_INTEGER where equals(chdf5_int64()): self = .int64
        case H5T_INTEGER where equals(chdf5_uint64()): self = .uint64
        case H5T_FLOAT where equals(chdf5_float64()): self = .float64
        default: return nil
        }
    }
}

/// A number that columns and attributes can hold.
package protocol HDF5Number: Sendable {
    associatedtype Bits: FixedWidthInteger

    static var elementType: HDF5ElementType { get }
    var bits: Bits { get }
    init(bits: Bits)
}

extension HDF5Number {
    /// Appends the little-endian bytes of the number.
    package func encode(into bytes: inout [UInt8]) {
        withUnsafeBytes(of: bits.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// The numbers whose little-endian bytes are given; a rest shorter than a number is left out.
    package static func decode(_ bytes: [UInt8]) -> [Self] {
        let size = MemoryLayout<Bits>.size
        return bytes.withUnsafeBytes { raw in
            (0..<raw.count / size).map { index in
                Self(bits: Bits(littleEndian: raw.loadUnaligned(fromByteOffset: index * size, as: Bits.self)))
            }
        }
    }
}

extension Int32: HDF5Number {
    package static var elementType: HDF5ElementType { .int32 }
    package var bits: Int32 { self }
    package init(bits: Int32) { self = bits }
}

extension Int64: HDF5Number {
    package static var elementType: HDF5ElementType { .int64 }
    package var bits: Int64 { self }
    package init(bits: Int64) { self = bits }
}

extension UInt64: HDF5Number {
    package static var elementType: HDF5ElementType { .uint64 }
    package var bits: UInt64 { self }
    package init(bits: UInt64) { self = bits }
}

extension Double: HDF5Number {
    package static var elementType: HDF5ElementType { .float64 }
    package var bits: UInt64 { bitPattern }
    package init(bits: UInt64) { self.init(bitPattern: bits) }
}
