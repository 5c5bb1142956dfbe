internal import Foundation

/// The hashes of files that points depend on. A process reads each file once; of large files a sweep's folder keeps what
/// was found, so that its workers need not read a checkpoint's gigabytes again.
///
/// What is kept holds for a file of the same path, size, inode and times of writing and of change.
final class FileHashes {
    /// Bytes from which on a file's hash is kept.
    private static let largeSize = 1 << 20
    /// Seconds that a file must have been left alone for its times to tell it from a later one: more than any file
    /// system's clock is coarse.
    private static let settled = 2.0

    private struct Kept {
        let stamp: String
        let hash: String
    }

    private let folder: SweepFolder?
    private let now: () -> Double
    /// What this process has read, by path.
    private var known: [String: String] = [:]
    private var kept: [String: Kept]
    private var isChanged = false

    /// - Parameters:
    ///   - folder: where hashes of large files are kept; nil keeps none.
    ///   - now: seconds since 1970.
    init(in folder: SweepFolder?, now: @escaping () -> Double) {
        self.folder = folder
        self.now = now
        kept = folder.map(Self.read) ?? [:]
    }

    /// Of a file's bytes.
    func sha256(of path: String) throws(ScenarioError) -> String {
        if let hash = known[path] { return hash }
        let place = URL(fileURLWithPath: path).standardizedFileURL.path
        var status = stat()
        guard stat(path, &status) == 0, Int(status.st_size) >= Self.largeSize,
            !place.contains(where: { $0.isNewline || $0 == "\t" })
        else {
            let hash = try FileHash.sha256(of: path)
            known[path] = hash
            return hash
        }
        let stamp = Self.stamp(status)
        if let kept = kept[place], kept.stamp == stamp {
            known[path] = kept.hash
            return kept.hash
        }
        let hash = try FileHash.sha256(of: path)
        known[path] = hash
        let changed = max(Self.seconds(status.st_mtim), Self.seconds(status.st_ctim))
        // Not what was written while it was read, or may be written again within the same tick of the clock.
        var after = stat()
        if stat(path, &after) == 0, Self.stamp(after) == stamp, now() - changed >= Self.settled {
            kept[place] = Kept(stamp: stamp, hash: hash)
            isChanged = true
        }
        return hash
    }

    /// What tells one file, or one folder with a checkpoint, from another: the contents of its files. Folders and hidden
    /// files within it do not count. Nil if there is nothing under the path.
    func fingerprint(of path: String) throws(ScenarioError) -> String? {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else { return nil }
        guard isFolder.boolValue else { return try sha256(of: path) }
        if let hash = known[path] { return hash }
        let names = ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
        var lines = ""
        for name in names where !name.hasPrefix(".") {
            let file = path + "/" + name
            var status = stat()
            guard stat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { continue }
            lines += "\(name) \(try sha256(of: file))\n"
        }
        let hash = FileHash.sha256(ofText: lines)
        known[path] = hash
        return hash
    }

    /// Keeps what was found for other processes. Whoever calls it holds the folder's lock; that nothing can be written is
    /// no error, for nothing is lost.
    func save() {
        guard isChanged, let folder else { return }
        isChanged = false
        try? FolderLock.holding(folder.path + "/.hashes.lock") {
            let all = Self.read(folder).merging(kept) { _, own in own }
            let lines = all.sorted { $0.key < $1.key }.map { "\($0.value.hash)\t\($0.value.stamp)\t\($0.key)\n" }
            try SweepFolder.write(lines.joined(), to: folder.hashes)
        }
    }

    private static func read(_ folder: SweepFolder) -> [String: Kept] {
        let text = (try? String(contentsOfFile: folder.hashes, encoding: .utf8)) ?? ""
        var kept: [String: Kept] = [:]
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: "\t").map(String.init)
            if fields.count == 3, fields[0].count == 64 { kept[fields[2]] = Kept(stamp: fields[1], hash: fields[0]) }
        }
        return kept
    }

    private static func stamp(_ status: stat) -> String {
        let times = [status.st_mtim, status.st_ctim].map { "\($0.tv_sec).\($0.tv_nsec)" }
        return "\(status.st_size) \(status.st_ino) " + times.joined(separator: " ")
    }

    private static func seconds(_ time: timespec) -> Double { Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9 }
}
