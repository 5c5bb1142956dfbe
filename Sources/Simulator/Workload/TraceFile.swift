internal import Glibc

/// One line of a trace file, without its newline. The bytes live until the next line is asked for.
struct TraceLine {
    let bytes: UnsafeRawBufferPointer
    /// From 1.
    let number: Int
    /// Whether a newline ended it; only a file's last line may lack one.
    let isTerminated: Bool
}

/// A trace file read by blocks and handed out by lines.
struct TraceFile: ~Copyable {
    private let path: String
    private let descriptor: Int32
    private let maxLineBytes: Int
    private var buffer: UnsafeMutableRawBufferPointer
    /// The bytes read and not yet handed out: `buffer[start..<end]`.
    private var start = 0
    private var end = 0
    private var lineNumber = 0
    private var isAtEnd = false

    private static let blockBytes = 1 << 20

    init(path: String, maxLineBytes: Int) throws(TraceError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw TraceError(path: path, problem: .system(action: "open the trace", code: errno))
        }
        var status = stat()
        if fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
            close(descriptor)
            throw TraceError(path: path, problem: .isDirectory)
        }
        self.path = path
        self.descriptor = descriptor
        self.maxLineBytes = maxLineBytes
        buffer = .allocate(byteCount: Self.blockBytes, alignment: 16)
    }

    deinit {
        close(descriptor)
        buffer.deallocate()
    }

    /// The next line, `nil` at the end. Each block of the file goes to `observing` as it is read.
    mutating func nextLine(observing: (UnsafeRawBufferPointer) -> Void) throws(TraceError) -> TraceLine? {
        lineNumber += 1
        var searched = 0
        while true {
            if let newline = newlineIndex(from: start + searched) {
                defer { start = newline + 1 }
                return TraceLine(bytes: unread(upTo: newline), number: lineNumber, isTerminated: true)
            }
            searched = end - start
            guard searched <= maxLineBytes else {
                throw TraceError(path: path, line: lineNumber, problem: .tooLong(maxBytes: maxLineBytes))
            }
            if isAtEnd {
                defer { start = end }
                guard searched > 0 else { return nil }
                return TraceLine(bytes: unread(upTo: end), number: lineNumber, isTerminated: false)
            }
            try readBlock(observing)
        }
    }

    private func newlineIndex(from index: Int) -> Int? {
        guard index < end, let base = buffer.baseAddress, let found = memchr(base + index, 0x0a, end - index) else {
            return nil
        }
        return UnsafeRawPointer(found) - UnsafeRawPointer(base)
    }

    private func unread(upTo limit: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[start..<limit])
    }

    /// Reads more behind the unread bytes, which move to the front of a buffer with room for a block.
    private mutating func readBlock(_ observing: (UnsafeRawBufferPointer) -> Void) throws(TraceError) {
        let rest = unread(upTo: end)
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
        var count = Glibc.read(descriptor, room.baseAddress, room.count)
        while count < 0, errno == EINTR { count = Glibc.read(descriptor, room.baseAddress, room.count) }
        guard count >= 0 else {
            throw TraceError(path: path, problem: .system(action: "read the trace", code: errno))
        }
        isAtEnd = count == 0
        end += count
        if count > 0 { observing(UnsafeRawBufferPointer(rebasing: room.prefix(count))) }
    }
}
