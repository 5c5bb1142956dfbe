internal import Glibc

/// The bytes of a file from the first to the last; of a gzip file, what it holds.
struct ByteSource: ~Copyable {
    private let path: String
    private let descriptor: Int32
    /// What was read of the file and not yet handed on: the file's first bytes, and packed ones.
    private var pending: UnsafeMutableRawBufferPointer
    private var start = 0
    private var end = 0
    private var inflater: Inflater?
    private var hasBegun = false
    private var isDrained = false

    private static let packedBytes = 1 << 18

    init(path: String) throws(TraceError) {
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
        pending = .allocate(byteCount: Self.packedBytes, alignment: 16)
        inflater = nil
    }

    private mutating func recogniseCompression() throws(TraceError) {
        // Two bytes tell a gzip file; a pipe may bring them one by one.
        while end < 2, try refill() {}
        if end >= 2, pending[0] == 0x1f, pending[1] == 0x8b {
            do {
                inflater = try Inflater()
            } catch {
                throw Self.failure(error, path)
            }
        }
    }

    deinit {
        close(descriptor)
        pending.deallocate()
    }

    /// Fills `room` from its start with at least one byte; how many, 0 at the end.
    mutating func read(into room: UnsafeMutableRawBufferPointer) throws(TraceError) -> Int {
        if !hasBegun {
            hasBegun = true
            try recogniseCompression()
        }
        if inflater != nil { return try unpack(into: room) }
        if start < end {
            let count = min(end - start, room.count)
            room.copyMemory(from: UnsafeRawBufferPointer(rebasing: pending[start..<start + count]))
            start += count
            return count
        }
        return try readFile(into: room)
    }

    private mutating func unpack(into room: UnsafeMutableRawBufferPointer) throws(TraceError) -> Int {
        while true {
            let input = UnsafeRawBufferPointer(rebasing: pending[start..<end])
            do {
                guard let (consumed, produced) = try inflater?.unpack(input, into: room) else { return 0 }
                start += consumed
                if produced > 0 { return produced }
            } catch {
                throw Self.failure(error, path)
            }
            (start, end) = (0, 0)
            if try !refill() {
                guard inflater?.isWithinMember != true else {
                    throw TraceError(path: path, problem: .compression("a member that breaks off"))
                }
                return 0
            }
        }
    }

    /// Reads more of the file behind the pending bytes; false at its end.
    private mutating func refill() throws(TraceError) -> Bool {
        let count = try readFile(into: UnsafeMutableRawBufferPointer(rebasing: pending[end...]))
        end += count
        return count > 0
    }

    private mutating func readFile(into room: UnsafeMutableRawBufferPointer) throws(TraceError) -> Int {
        if isDrained { return 0 }
        var count = Glibc.read(descriptor, room.baseAddress, room.count)
        while count < 0, errno == EINTR { count = Glibc.read(descriptor, room.baseAddress, room.count) }
        guard count >= 0 else {
            throw TraceError(path: path, problem: .system(action: "read the trace", code: errno))
        }
        isDrained = count == 0
        return count
    }

    private static func failure(_ error: Inflater.Failure, _ path: String) -> TraceError {
        switch error {
        case .damaged: TraceError(path: path, problem: .compression("damaged content"))
        case .outOfMemory: TraceError(path: path, problem: .system(action: "unpack the trace", code: ENOMEM))
        }
    }
}
