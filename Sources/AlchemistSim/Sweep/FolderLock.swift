internal import Foundation

/// Keeps two sweeps out of one folder: `flock` on `.lock` in it, which ends with the process that holds it, however it
/// ends.
///
/// A sweep holds it alone; workers that somebody else starts (Slurm, GNU parallel) share it among them. Workers of a sweep
/// share `.workers`, which a sweep that begins waits for: workers of one that was killed may still be at work.
public final class FolderLock {
    public enum Mode: Sendable { case alone, shared }

    /// Between two tries.
    private static let pause: useconds_t = 20_000

    private let lock: FileLock

    /// Whether the file system can not lock, so that nothing is held.
    public var isUnsupported: Bool { lock.isUnsupported }

    /// Takes the folder.
    ///
    /// - Parameters:
    ///   - holder: what others are told: `process 12 on node3, since ...`.
    ///   - patience: seconds to wait for others that are there.
    ///   - waiting: told once whom it waits for.
    public convenience init(
        _ folder: SweepFolder, _ mode: Mode, holder: String, patience: Double = 0,
        waiting: (String) -> Void = { _ in }
    ) throws(SweepError) {
        try self.init(
            Self.file(in: folder), in: folder, mode,
            holder: mode == .alone ? holder : "workers, the last of them " + holder, patience: patience,
            waiting: waiting)
    }

    /// The lock of the workers that a sweep has started itself.
    public convenience init(workersOf folder: SweepFolder, holder: String) throws(SweepError) {
        try self.init(
            folder.path + "/.workers", in: folder, .shared, holder: holder, patience: 0, waiting: { _ in })
    }

    /// Waits until no worker of an earlier sweep is at work in the folder, which nobody else may begin to use meanwhile.
    public static func awaitWorkers(
        of folder: SweepFolder, patience: Double, waiting: (String) -> Void
    ) throws(SweepError) {
        _ = try FolderLock(
            folder.path + "/.workers", in: folder, .alone, holder: "", patience: patience,
            waiting: { waiting("a worker of an earlier sweep, " + $0) })
    }

    private init(
        _ path: String, in folder: SweepFolder, _ mode: Mode, holder: String, patience: Double,
        waiting: (String) -> Void
    ) throws(SweepError) {
        guard let lock = FileLock(opening: path) else {
            throw .system(action: "write in this folder", path: folder.path, code: errno)
        }
        self.lock = lock
        var waited = 0.0
        var isTold = false
        while !(try lock.take(mode == .alone ? .alone : .shared, holder: holder)) {
            guard waited < patience else { throw .locked(path: folder.path, holder: lock.holder) }
            // Most are gone at once, which is not worth a word.
            if !isTold, waited > 0.5 {
                isTold = true
                waiting(lock.holder)
            }
            usleep(Self.pause)
            waited += Double(Self.pause) * 1e-6
        }
    }

    /// The file in a folder that is at work.
    static func file(in folder: SweepFolder) -> String { folder.path + "/.lock" }

    /// Whether anybody ever took the folder.
    public static func isKnown(in folder: SweepFolder) -> Bool { access(file(in: folder), F_OK) == 0 }

    /// Whether the folder is still the one that was locked: it may have been removed, or its disk taken away.
    public var isThere: Bool { lock.isThere }

    /// Waits for the lock on a file, and holds it while `work` is done.
    public static func holding<Result>(_ path: String, _ work: () throws -> Result) throws -> Result {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw SweepError.system(action: "write here", path: path, code: errno) }
        defer { close(descriptor) }
        while flock(descriptor, LOCK_EX) != 0, errno == EINTR {}
        return try work()
    }
}
