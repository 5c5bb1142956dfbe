/// A view of a file that moves from its start to its end: the bytes read and not yet passed over.
struct ByteWindow: ~Copyable {
    private var source: ByteSource
    private var buffer: UnsafeMutableRawBufferPointer
    private var start = 0
    private var end = 0

    private static let blockBytes = 1 << 20

    init(path: String) throws(TraceError) {
        source = try ByteSource(path: path)
        buffer = .allocate(byteCount: Self.blockBytes, alignment: 16)
    }

    deinit { buffer.deallocate() }

    /// The bytes in view. They live until the window is extended.
    var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[start..<end])
    }

    /// Passes over the first `count` bytes in view, which stay alive until the window is extended.
    mutating func advance(by count: Int) { start += count }

    /// Brings at most a block more into view, moving what is there to the front of a buffer with room for both; false
    /// at the end of the file. The new bytes go to `observing`.
    mutating func extend(observing: (UnsafeRawBufferPointer) -> Void = { _ in }) throws(TraceError) -> Bool {
        let rest = bytes
        if rest.count + Self.blockBytes > buffer.count {
            let larger = UnsafeMutableRawBufferPointer.allocate(
                byteCount: max(2 * buffer.count, rest.count + Self.blockBytes), alignment: 16)
            larger.copyMemory(from: rest)
            buffer.deallocate()
            buffer = larger
        } else if start > 0 {
            buffer.copyMemory(from: rest)
        }
        (start, end) = (0, rest.count)
        let room = UnsafeMutableRawBufferPointer(rebasing: buffer[end..<end + Self.blockBytes])
        let count = try source.read(into: room)
        end += count
        if count > 0 { observing(UnsafeRawBufferPointer(rebasing: room.prefix(count))) }
        return count > 0
    }
}
