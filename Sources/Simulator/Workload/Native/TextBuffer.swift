internal import Glibc

/// Text put together piece by piece, in memory or on its way to a file: then a block at a time is written, however long a
/// line is, and the first error is kept for the caller to find.
struct TextBuffer: ~Copyable {
    private var base: UnsafeMutableRawPointer
    private var capacity: Int
    private var count = 0
    private let descriptor: Int32?
    /// The `errno` of the first write that failed; what came after it is lost.
    private(set) var failure: Int32?

    private static let blockBytes = 1 << 18

    /// - Parameter descriptor: of the file that the text goes to, if it does.
    init(to descriptor: Int32? = nil) {
        self.descriptor = descriptor
        capacity = descriptor == nil ? 256 : Self.blockBytes
        base = .allocate(byteCount: capacity, alignment: 16)
    }

    deinit { base.deallocate() }

    /// What was put together and not written yet.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    var text: String { String(decoding: bytes, as: UTF8.self) }

    /// Lets `fill` write at most `room` bytes, whose number it returns.
    @inline(__always)
    mutating func append(atMost room: Int, _ fill: (inout TextCursor) -> Void) {
        if capacity - count < room { makeRoom(room) }
        var cursor = TextCursor(next: base + count)
        fill(&cursor)
        count = cursor.next - base
    }

    mutating func append(_ text: StaticString) {
        append(atMost: text.utf8CodeUnitCount) { $0.put(text) }
    }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = rest.prefix(Self.blockBytes)
            append(atMost: piece.count) { $0.put(UnsafeRawBufferPointer(rebasing: piece)) }
            rest = rest.dropFirst(piece.count)
        }
    }

    private mutating func makeRoom(_ room: Int) {
        drain()
        guard capacity - count < room else { return }
        let larger = max(capacity + capacity / 2, count + room)
        let place = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 16)
        place.copyMemory(from: base, byteCount: count)
        base.deallocate()
        (base, capacity) = (place, larger)
    }

    /// Writes what there is to the file, if there is one.
    mutating func drain() {
        guard let descriptor else { return }
        var written = 0
        while written < count, failure == nil {
            let result = write(descriptor, base + written, count - written)
            if result >= 0 { written += result } else if errno != EINTR { failure = errno }
        }
        count = 0
    }
}

/// A place in a buffer with room enough for what is put there.
struct TextCursor {
    fileprivate(set) var next: UnsafeMutableRawPointer

    @inline(__always)
    mutating func put(_ text: StaticString) {
        next.copyMemory(from: text.utf8Start, byteCount: text.utf8CodeUnitCount)
        next += text.utf8CodeUnitCount
    }

    @inline(__always)
    mutating func put(_ byte: UInt8) {
        next.storeBytes(of: byte, as: UInt8.self)
        next += 1
    }

    mutating func put(_ bytes: UnsafeRawBufferPointer) {
        guard let start = bytes.baseAddress else { return }
        next.copyMemory(from: start, byteCount: bytes.count)
        next += bytes.count
    }

    /// At most 20 bytes.
    @inline(__always)
    mutating func put(decimal value: UInt64) { next += DecimalDigits.write(value, at: next) }

    /// Nanoseconds as seconds in plain decimals, all that count and no more: `1.5`, `0.000000001`, `12`. At most 21 bytes.
    mutating func put(seconds nanoseconds: Int64) {
        if nanoseconds < 0 { put(UInt8(ascii: "-")) }
        put(decimal: nanoseconds.magnitude / 1_000_000_000)
        var rest = nanoseconds.magnitude % 1_000_000_000
        guard rest != 0 else { return }
        put(UInt8(ascii: "."))
        var scale: UInt64 = 100_000_000
        while rest > 0 {
            put(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest / scale))
            rest %= scale
            scale /= 10
        }
    }
}

extension Int64 {
    /// Nanoseconds as seconds in plain decimals.
    var decimalSeconds: String {
        var buffer = TextBuffer()
        buffer.append(seconds: self)
        return buffer.text
    }
}
