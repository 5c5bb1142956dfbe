internal import Foundation

/// Keeps two sweeps out of one folder: `flock` on `.lock` in it, which ends with the process that holds it, however it
/// ends.
///
/// A sweep holds it alone; workers that somebody else starts (Slurm, GNU parallel) share it among them.
public final class FolderLock {
    public enum Mode: Sendable { case alone, shared }

    private let descriptor: Int32
    private let path: String
    /// Whether the file system can not lock, so that nothing is held.
    public private(set) var isUnsupported = false

    /// - Parameter holder: what others are told: `process 12 on node3, since ...`.
    public convenience init(_ folder: SweepFolder, _ mode: Mode, holder: String) throws(SweepError) {
        try self.init(Self.file(in: folder), in: folder, mode, holder: holder)
    }

    /// The lock of measured points on one machine, which another worker of the same sweep waits for in vain.
    public convenience init(
        measuringIn folder: SweepFolder, on machine: String, holder: String
    ) throws(SweepError) {
        do {
            try self.init(folder.path + "/.measured-" + machine, in: folder, .alone, holder: holder)
        } catch .locked(_, let other) {
            throw .sharing(holder: other)
        }
    }

    private init(_ path: String, in folder: SweepFolder, _ mode: Mode, holder: String) throws(SweepError) {
        self.path = path
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw .system(action: "write in this folder", path: folder.path, code: errno) }
        while flock(descriptor, (mode == .alone ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0 {
            switch errno {
            case EINTR: continue
            case EWOULDBLOCK:
                let found = Self.text(descriptor)
                close(descriptor)
                throw .locked(path: folder.path, holder: found.isEmpty ? "which one is not known" : found)
            case ENOLCK, ENOSYS, EOPNOTSUPP:
                isUnsupported = true
                return
            default:
                let code = errno
                close(descriptor)
                throw .system(action: "lock", path: path, code: code)
            }
        }
        // Who holds it is said as well as the disk allows.
        _ = ftruncate(descriptor, 0)
        let text = Array((mode == .alone ? holder : "workers, the last of them " + holder).utf8)
        _ = text.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
    }

    deinit { close(descriptor) }

    /// The file in a folder that is at work.
    static func file(in folder: SweepFolder) -> String { folder.path + "/.lock" }

    /// Whether the folder is still the one that was locked: it may have been removed, or its disk taken away.
    public var isThere: Bool {
        var (held, found) = (stat(), stat())
        return fstat(descriptor, &held) == 0 && stat(path, &found) == 0 && held.st_ino == found.st_ino
            && held.st_dev == found.st_dev
    }

    private static func text(_ descriptor: Int32) -> String {
        var bytes = [UInt8](repeating: 0, count: 512)
        let count = bytes.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, $0.count, 0) }
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self).safeExcerpt(200)
    }

    /// Waits for the lock on a file, and holds it while `work` is done.
    static func holding<Result>(_ path: String, _ work: () throws -> Result) throws -> Result {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw SweepError.system(action: "write here", path: path, code: errno) }
        defer { close(descriptor) }
        while flock(descriptor, LOCK_EX) != 0, errno == EINTR {}
        return try work()
    }
}

extension String {
    fileprivate func safeExcerpt(_ limit: Int) -> String {
        String(String.UnicodeScalarView(unicodeScalars.prefix(limit).filter { $0.value >= 0x20 }))
    }
}
