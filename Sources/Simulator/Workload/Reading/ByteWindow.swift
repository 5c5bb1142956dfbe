internal import Glibc

/// A view of a file that moves from its start to its end: the bytes read and not yet passed over.
struct ByteWindow: ~Copyable {
    private let path: String
    private var source: ByteSource
    private var buffer: UnsafeMutableRawBufferPointer
    private var start = 0
    private var end = 0

    /// Small enough that what was read is still near the processor when it is looked at.
    private static let blockBytes = 1 << 18

    init(path: String) throws(TraceError) {
        source = try ByteSource(path: path)
        self.path = path
        buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    }

    deinit { free(buffer.baseAddress) }

    /// The bytes in view. They live until the window is extended.
    var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[start..<end])
    }

    /// Passes over the first `count` bytes in view, which stay alive until the window is extended.
    mutating func advance(by count: Int) { start += count }

    /// Brings at most a block more into view, moving what is there to the front of a buffer with room for both; false
    /// at the end of the file. The new bytes go to `observing`.
    mutating func extend(observing: (UnsafeRawBufferPointer) -> Void = { _ in }) throws(TraceError) -> Bool {
        if end - start + Self.blockBytes > buffer.count {
            try grow(to: max(buffer.count + buffer.count / 2, end - start + Self.blockBytes))
        } else if start > 0 {
            buffer.copyMemory(from: bytes)
            (start, end) = (0, end - start)
        }
        let room = UnsafeMutableRawBufferPointer(rebasing: buffer[end..<end + Self.blockBytes])
        let count = try source.read(into: room)
        end += count
        if count > 0 { observing(UnsafeRawBufferPointer(rebasing: room.prefix(count))) }
        return count > 0
    }

    /// Makes the buffer larger, with what is in view at its front. The system moves the pages of a large one, so that
    /// the old and the new are not there side by side.
    private mutating func grow(to size: Int) throws(TraceError) {
        if start > 0 { buffer.copyMemory(from: bytes) }
        (start, end) = (0, end - start)
        guard let place = realloc(buffer.baseAddress, size) else {
            throw TraceError(path: path, problem: .system(action: "hold a line of the trace", code: ENOMEM))
        }
        buffer = UnsafeMutableRawBufferPointer(start: place, count: size)
    }
}
