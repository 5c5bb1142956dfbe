internal import Foundation

/// `flock` on a file, which ends with the process that holds it, however it ends. The file says who took it last.
final class FileLock {
    enum Mode { case alone, shared }

    private let descriptor: Int32
    let path: String
    /// Whether the file system can not lock, so that nothing is held.
    private(set) var isUnsupported = false

    /// Takes a descriptor over, which nothing is locked by yet.
    init(_ descriptor: Int32, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    /// Opens a file, and makes it if it is missing; nil with `errno` if that fails.
    convenience init?(opening path: String) {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { return nil }
        self.init(descriptor, path: path)
    }

    deinit { close(descriptor) }

    /// Tries to take the lock.
    ///
    /// - Parameter holder: what others are told.
    /// - Returns: whether it is held now, or can not be on this file system.
    func take(_ mode: Mode, holder: String) throws(SweepError) -> Bool {
        while flock(descriptor, (mode == .alone ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0 {
            switch errno {
            case EINTR: continue
            case EWOULDBLOCK: return false
            case ENOLCK, ENOSYS, EOPNOTSUPP:
                isUnsupported = true
                return true
            default: throw .system(action: "lock", path: path, code: errno)
            }
        }
        // Who holds it is said as well as the disk allows.
        _ = ftruncate(descriptor, 0)
        let text = Array(holder.utf8)
        _ = text.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
        return true
    }

    /// Who took it last, in that process's words.
    var holder: String {
        var bytes = [UInt8](repeating: 0, count: 512)
        let count = bytes.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, $0.count, 0) }
        let text = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
        let plain = String(String.UnicodeScalarView(text.unicodeScalars.prefix(200).filter { $0.value >= 0x20 }))
        return plain.isEmpty ? "which one is not known" : plain
    }

    /// Whether the file under this path is still the one that was opened.
    var isThere: Bool {
        var (held, found) = (stat(), stat())
        return fstat(descriptor, &held) == 0 && stat(path, &found) == 0 && held.st_ino == found.st_ino
            && held.st_dev == found.st_dev
    }
}
