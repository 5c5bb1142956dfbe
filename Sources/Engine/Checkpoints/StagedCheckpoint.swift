internal import Glibc

/// A file being written: `.NAME.partial-HOST-PID` in the target's folder, renamed by `commit`, removed otherwise.
struct StagedCheckpoint: ~Copyable {
    private let target: String
    private let folder: String
    private let temporary: String
    private let descriptor: Int32
    private var isCommitted = false

    /// Makes an empty file in `folder`, and the folder if it is missing.
    init(_ name: String, in folder: String) throws(CheckpointError) {
        let target = folder + "/" + name
        let temporary = "\(folder)/.\(name).partial-\(Self.writer)"
        try Self.makeFolder(folder)
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else {
            throw CheckpointError(target, .system(action: "write here", code: errno))
        }
        self.target = target
        self.folder = folder
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

    func write(_ bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let part = UnsafeRawBufferPointer(rebasing: rest)
            let count = Glibc.write(descriptor, part.baseAddress, part.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw failure("write this") }
            rest = rest.dropFirst(count)
        }
    }

    func write(_ bytes: [UInt8]) throws(CheckpointError) {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
        defer { copy.deallocate() }
        copy.copyBytes(from: bytes)
        try write(UnsafeRawBufferPointer(copy))
    }

    func write(_ text: String) throws(CheckpointError) { try write(Array(text.utf8)) }

    /// Brings the file to the disk and gives it its name.
    consuming func commit() throws(CheckpointError) {
        guard fsync(descriptor) == 0 else { throw failure("bring this to the disk") }
        guard rename(temporary, target) == 0 else { throw failure("give the finished file this name") }
        isCommitted = true
        // The name is brought to the disk where the file system can; the file is whole either way.
        let parent = open(folder, O_RDONLY | O_CLOEXEC)
        if parent >= 0 {
            fsync(parent)
            close(parent)
        }
    }

    private func failure(_ action: String) -> CheckpointError {
        CheckpointError(target, .system(action: action, code: errno))
    }

    private static func makeFolder(_ path: String) throws(CheckpointError) {
        var status = stat()
        guard stat(path, &status) != 0 else { return }
        if let slash = path.lastIndex(of: "/"), slash > path.startIndex { try makeFolder(String(path[..<slash])) }
        guard mkdir(path, 0o777) == 0 || errno == EEXIST else {
            throw CheckpointError(path, .system(action: "make this folder", code: errno))
        }
    }
}
