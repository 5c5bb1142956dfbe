internal import Glibc

extension StagedFile {
    /// Writes a file as a whole: it appears under `path` when all its bytes are on the disk.
    package static func write(_ bytes: [UInt8], to path: String) throws(ResultsError) {
        let staged = try StagedFile(for: path)
        let descriptor = open(staged.temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw .system(action: "write here", path: path, code: errno) }
        var rest = bytes[...]
        var problem: Int32?
        while !rest.isEmpty, problem == nil {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count >= 0 { rest = rest.dropFirst(count) } else if errno != EINTR { problem = errno }
        }
        if close(descriptor) != 0, problem == nil { problem = errno }
        if let problem { throw .system(action: "write", path: path, code: problem) }
        try staged.commit()
    }
}
