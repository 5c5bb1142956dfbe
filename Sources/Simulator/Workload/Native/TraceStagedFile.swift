internal import Glibc

/// A trace being written: a file `.NAME.partial-HOST-PID` beside its target, renamed by `commit`, removed otherwise.
struct TraceStagedFile: ~Copyable {
    private let target: String
    private let directory: String
    private let temporary: String
    /// Of the file to write.
    let descriptor: Int32
    private var isCommitted = false

    /// Makes the target's directory if it is missing, and an empty file in it.
    init(for path: String) throws(TraceError) {
        let target = try Self.target(of: path)
        let slash = target.lastIndex(of: "/")
        let name = slash.map { target[target.index(after: $0)...] } ?? target[...]
        guard !name.isEmpty else { throw TraceError(path: path, problem: .notRegular) }
        let directory = slash.map { $0 == target.startIndex ? "/" : String(target[..<$0]) } ?? "."
        let temporary = "\(directory)/.\(name).partial-\(Self.writer)"
        try Self.makeDirectory(directory)
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw Self.failure("write here", path: path) }
        self.target = target
        self.directory = directory
        self.temporary = temporary
        self.descriptor = descriptor
    }

    /// Host and process: processes of two machines, whose numbers may be the same, write beside each other.
    private static let writer: String = {
        var name = utsname()
        uname(&name)
        let host = withUnsafeBytes(of: name.nodename) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        return "\(host)-\(getpid())"
    }()

    deinit {
        close(descriptor)
        if !isCommitted { unlink(temporary) }
    }

    /// The error of a write to it that failed.
    func failure(writing code: Int32) -> TraceError {
        TraceError(path: target, problem: .system(action: "write the trace", code: code))
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

    /// Whether there is a regular file under this name, which can be read more than once.
    static func isRegular(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) != 0 || status.st_mode & S_IFMT == S_IFREG
    }

    static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// Where the bytes shall go: a link stays one, and what it points to is replaced. Only a regular file is.
    private static func target(of path: String) throws(TraceError) -> String {
        var status = stat()
        guard stat(path, &status) == 0 else { return path }
        guard status.st_mode & S_IFMT == S_IFREG else { throw TraceError(path: path, problem: .notRegular) }
        guard let resolved = realpath(path, nil) else { return path }
        defer { free(resolved) }
        return String(cString: resolved)
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
