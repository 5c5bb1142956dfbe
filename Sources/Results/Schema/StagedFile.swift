internal import Glibc

/// A file that appears under its name only when it is whole.
///
/// It is written as `.NAME.partial-HOST-PID` beside its target and renamed by `commit`. Unless committed it is removed; what
/// a killed process leaves behind is recognised by that name.
package struct StagedFile: ~Copyable {
    package let target: String
    package let temporary: String
    private let directory: String
    private var committed = false

    /// Makes the target's directory if it is missing. Nothing is written yet.
    package init(for path: String) throws(ResultsError) {
        var target = path
        if let mode = Self.mode(of: path) {
            guard mode & S_IFMT == S_IFREG else { throw .notRegularFile(path: path) }
            // A link stays one: what it points to is replaced.
            if let resolved = realpath(path, nil) {
                target = String(cString: resolved)
                free(resolved)
            }
        }
        let slash = target.lastIndex(of: "/")
        let name = slash.map { target[target.index(after: $0)...] } ?? target[...]
        guard !name.isEmpty else { throw .notRegularFile(path: path) }
        let directory = slash.map { $0 == target.startIndex ? "/" : String(target[..<$0]) } ?? "."
        try Self.makeDirectory(directory)
        self.target = target
        self.directory = directory
        temporary = Self.temporary(directory, name)
    }

    /// Brings the file to the disk and gives it its name.
    package consuming func commit() throws(ResultsError) {
        try Self.synchronise(temporary)
        guard rename(temporary, target) == 0 else {
            throw .system(action: "give the finished file this name", path: target, code: errno)
        }
        committed = true
        try Self.synchronise(directory)
    }

    private static func temporary(_ directory: String, _ name: Substring) -> String {
        directory + "/.\(name).partial-\(writer)"
    }

    /// Removes what this process has written so far of a file, if anything, where it can not be given up in order.
    package static func removeTemporary(of path: String) {
        let resolved = realpath(path, nil)
        defer { free(resolved) }
        let target = resolved.map { String(cString: $0) } ?? path
        let slash = target.lastIndex(of: "/")
        let name = slash.map { target[target.index(after: $0)...] } ?? target[...]
        unlink(temporary(slash.map { $0 == target.startIndex ? "" : String(target[..<$0]) } ?? ".", name))
    }

    /// What tells the temporary files of one process from those of another, also on another machine: host and process.
    package static let writer: String = {
        var name = utsname()
        uname(&name)
        let host = withUnsafeBytes(of: name.nodename) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        return "\(host)-\(getpid())"
    }()

    deinit {
        if !committed { unlink(temporary) }
    }

    private static func mode(of path: String) -> mode_t? {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_mode : nil
    }

    private static func makeDirectory(_ path: String) throws(ResultsError) {
        guard mode(of: path) == nil else { return }
        if let slash = path.lastIndex(of: "/"), slash > path.startIndex { try makeDirectory(String(path[..<slash])) }
        guard mkdir(path, 0o777) == 0 || errno == EEXIST else {
            throw .system(action: "make this directory", path: path, code: errno)
        }
    }

    private static func synchronise(_ path: String) throws(ResultsError) {
        let descriptor = open(path, O_RDONLY)
        guard descriptor >= 0 else { throw .system(action: "open this", path: path, code: errno) }
        defer { close(descriptor) }
        // EINVAL: some file systems have nothing to synchronise for a directory.
        guard fsync(descriptor) == 0 || errno == EINVAL else {
            throw .system(action: "bring this to the disk", path: path, code: errno)
        }
    }
}
