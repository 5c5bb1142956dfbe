internal import Glibc

/// A file being written through a buffer.
struct OutputStream: ~Copyable {
    private static let capacity = 1 << 20

    let path: String
    private let descriptor: Int32
    private var buffer: [UInt8] = []

    /// Makes an empty file, in place of one that may be there.
    init(creating path: String) throws(ResultsError) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw .system(action: "write here", path: path, code: errno) }
        self.descriptor = descriptor
        self.path = path
        buffer.reserveCapacity(Self.capacity + 4096)
    }

    deinit { close(descriptor) }

    /// Appends what `body` puts at the end of the buffer.
    mutating func write(_ body: (inout [UInt8]) -> Void) throws(ResultsError) {
        body(&buffer)
        if buffer.count >= Self.capacity { try flush() }
    }

    mutating func write(_ text: String) throws(ResultsError) {
        try write { $0.append(contentsOf: text.utf8) }
    }

    /// Hands everything to the system.
    mutating func flush() throws(ResultsError) {
        var written = 0
        while written < buffer.count {
            let count = buffer[written...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw .system(action: "write this", path: path, code: errno) }
            written += count
        }
        buffer.removeAll(keepingCapacity: true)
    }
}

/// A text file that appears under its name when it is whole, and replaces only what was made so before.
struct TextOutput: ~Copyable {
    private let staged: StagedFile
    var stream: OutputStream

    /// - Parameter mark: how every file of this kind begins; what begins otherwise is not replaced.
    init(creating path: String, mark: String) throws(ResultsError) {
        guard Self.mayReplace(path, mark: mark) else {
            throw .notOurs(path: path, found: "this was not made by this command")
        }
        let staged = try StagedFile(for: path)
        var stream = try OutputStream(creating: staged.temporary)
        try stream.write(mark)
        self.staged = staged
        self.stream = stream
    }

    consuming func commit() throws(ResultsError) {
        try stream.flush()
        try staged.commit()
    }

    private static func mayReplace(_ path: String, mark: String) -> Bool {
        guard let file = fopen(path, "rb") else { return true }
        defer { fclose(file) }
        let expected = Array(mark.utf8)
        var start = [UInt8](repeating: 0, count: expected.count)
        let count = fread(&start, 1, start.count, file)
        return count == 0 || start == expected
    }
}

extension [UInt8] {
    mutating func append(decimal value: Int64) {
        var rest = value.magnitude
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
            var start = 20
            repeat {
                start -= 1
                digits[start] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
                rest /= 10
            } while rest > 0
            if value < 0 { append(UInt8(ascii: "-")) }
            append(contentsOf: digits[start...])
        }
    }
}
