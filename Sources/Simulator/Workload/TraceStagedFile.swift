internal import Glibc

/// A trace being written: a file `.NAME.partial-PID` beside its target, renamed by `commit`, removed otherwise.
struct TraceStagedFile: ~Copyable {
    private let target: String
    private let directory: String
    private let temporary: String
    private let descriptor: Int32
    private var isCommitted = false

    /// Makes the target's directory if it is missing, and an empty file in it.
    init(for path: String) throws(TraceError) {
        target = path
        let slash = path.lastIndex(of: "/")
        let name = slash.map { path[path.index(after: $0)...] } ?? path[...]
        directory = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        temporary = "\(directory)/.\(name).partial-\(getpid())"
        var status = stat()
        let isDirectory = stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
        guard !isDirectory, !name.isEmpty else { throw TraceError(path: path, problem: .notFile) }
        try Self.makeDirectory(directory)
        descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else {
            // Nothing to remove: the deinitializer must leave alone what could not be made.
            isCommitted = true
            throw Self.failure("write here", path: path)
        }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
        if !isCommitted { unlink(temporary) }
    }

    func write(_ bytes: [UInt8]) throws(TraceError) {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress.map { $0 + written }, $0.count - written) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw Self.failure("write the trace", path: target) }
            written += count
        }
    }

    /// Brings the file to the disk and gives it its name.
    consuming func commit() throws(TraceError) {
        guard fsync(descriptor) == 0 else { throw Self.failure("bring the trace to the disk", path: target) }
        guard rename(temporary, target) == 0 else {
            throw Self.failure("give the finished trace this name", path: target)
        }
        isCommitted = true
        // The name is brought to the disk where the file system can; the trace is whole either way.
        let parent = open(directory, O_RDONLY | O_CLOEXEC)
        if parent >= 0 {
            fsync(parent)
            close(parent)
        }
    }

    private static func makeDirectory(_ path: String) throws(TraceError) {
        var status = stat()
        guard stat(path, &status) != 0 else { return }
        if let slash = path.lastIndex(of: "/"), slash > path.startIndex { try makeDirectory(String(path[..<slash])) }
        guard mkdir(path, 0o777) == 0 || errno == EEXIST else { throw failure("make this directory", path: path) }
    }

    private static func failure(_ action: String, path: String) -> TraceError {
        TraceError(path: path, problem: .system(action: action, code: errno))
    }
}
