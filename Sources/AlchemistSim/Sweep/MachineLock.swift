internal import Foundation

/// Lets one point at a time be measured on a machine, whatever sweep or search it belongs to: others would slow it down,
/// and time that. Points take turns.
public final class MachineLock {
    private static let pause: useconds_t = 50_000

    private let lock: FileLock

    private init(_ lock: FileLock) { self.lock = lock }

    /// One file for all users: in `/run/lock`, or in `/tmp` where not everybody may write there. Not in `TMPDIR`, which
    /// schedulers set to a folder of the job's own.
    public static let path: String = {
        var status = stat()
        let isOpen =
            stat("/run/lock", &status) == 0 && status.st_mode & S_IFMT == S_IFDIR && status.st_mode & 0o002 != 0
        return (isOpen ? "/run/lock" : "/tmp") + "/alchemist-sim.measuring"
    }()

    /// Waits for the lock.
    ///
    /// - Parameters:
    ///   - holder: what others are told: `process 12 on node3, since ...`.
    ///   - shouldStop: asked while it waits.
    ///   - waiting: told once who has it.
    /// - Returns: nil if it was to stop.
    static func wait(
        holder: String, shouldStop: () -> Bool, waiting: (String) -> Void
    ) throws(SweepError) -> MachineLock? {
        let lock = try file()
        var isTold = false
        while !(try lock.take(.alone, holder: holder)) {
            if shouldStop() { return nil }
            if !isTold { waiting(lock.holder) }
            isTold = true
            usleep(pause)
        }
        return MachineLock(lock)
    }

    /// Who measures on this machine now; nil if nobody does.
    public static func holder() throws(SweepError) -> String? {
        let lock = try file()
        return try lock.take(.alone, holder: "") ? nil : lock.holder
    }

    private static func file() throws(SweepError) -> FileLock {
        // In a folder with the sticky bit, another user's file can be opened but not with O_CREAT; to lock it, reading will do.
        for flags in [O_RDWR, O_RDONLY, O_RDWR | O_CREAT | O_EXCL, O_RDWR] {
            let descriptor = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0o666)
            guard descriptor >= 0 else { continue }
            // Whatever the mask of whoever comes first.
            if flags & O_CREAT != 0 { fchmod(descriptor, 0o666) }
            return FileLock(descriptor, path: path)
        }
        throw .system(action: "open the lock of measured points, one at a time on a machine", path: path, code: errno)
    }
}
