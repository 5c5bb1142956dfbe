internal import Glibc

/// The places in a file where HDF5 keeps texts of variable length, looked through before the library reads them.
///
/// A heap of texts ("global heap collection", HDF5 File Format Specification 3.0, III.E) has no checksum, unlike all other
/// metadata of the files written here, and HDF5 1.10 believes the sizes that stand in it: one damaged bit makes it read
/// beyond its memory, which ends the process.
enum HDF5TextHeaps {
    private static let signature: [UInt8] = Array("GCOL".utf8)
    private static let version: UInt8 = 1
    /// Bytes of a heap before its first text: signature, version, three unused ones, the heap's size.
    private static let header = 16
    /// Bytes before each text: its number, its count of references, four unused ones, its length.
    private static let textHeader = 16
    private static let alignment = 8

    /// Refuses a file with a heap that is not filled exactly by what stands in it.
    static func check(_ context: HDF5Context) throws(HDF5Error) {
        let file = open(context.file, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw context.failure("open", String(cString: strerror(errno))) }
        defer { Glibc.close(file) }
        var status = stat()
        guard fstat(file, &status) == 0 else { throw context.failure("open", String(cString: strerror(errno))) }
        let size = Int(status.st_size)
        guard size > 0 else { return }
        guard let start = mmap(nil, size, PROT_READ, MAP_PRIVATE, file, 0), start != MAP_FAILED else {
            throw context.failure("open", String(cString: strerror(errno)))
        }
        defer { munmap(start, size) }
        if let place = firstDamaged(in: UnsafeRawBufferPointer(start: start, count: size)) {
            throw context.failure("open", "the texts from byte \(place) on are damaged")
        }
    }

    /// Where the first heap begins that holds other than whole texts and one rest; nil if there is none.
    static func firstDamaged(in bytes: UnsafeRawBufferPointer) -> Int? {
        guard let base = bytes.baseAddress else { return nil }
        var place = 0
        while let found = memchr(base + place, Int32(signature[0]), bytes.count - place) {
            place = UnsafeRawPointer(found) - base
            if isHeap(at: place, in: bytes), !isSound(at: place, in: bytes) { return place }
            place += 1
        }
        return nil
    }

    private static func isHeap(at place: Int, in bytes: UnsafeRawBufferPointer) -> Bool {
        let behind = place + signature.count
        guard behind + 4 <= bytes.count, bytes[place..<behind].elementsEqual(signature), bytes[behind] == version else {
            return false
        }
        // Four bytes can be anything's; with the version and the unused ones behind them they are a heap's. One of the
        // unused ones may be what is damaged.
        return bytes[(behind + 1)..<(behind + 4)].count { $0 != 0 } <= 1
    }

    private static func isSound(at place: Int, in bytes: UnsafeRawBufferPointer) -> Bool {
        guard let size = length(at: place + 8, in: bytes), size >= header, size <= bytes.count - place else {
            return false
        }
        let end = place + size
        var next = place + header
        while end - next >= textHeader {
            guard let length = length(at: next + 8, in: bytes) else { return false }
            let number = UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: next, as: UInt16.self))
            // What is left over has the number 0 and counts its own header.
            if number == 0 { return length == end - next }
            guard length <= end - next - textHeader else { return false }
            next += textHeader + (length + alignment - 1) / alignment * alignment
        }
        return next <= end
    }

    private static func length(at place: Int, in bytes: UnsafeRawBufferPointer) -> Int? {
        guard place + 8 <= bytes.count else { return nil }
        return Int(exactly: UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self)))
    }
}
