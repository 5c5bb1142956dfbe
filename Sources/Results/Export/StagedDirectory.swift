internal import Foundation
internal import Glibc

/// A directory that appears under its name only when everything in it is written.
///
/// It is made as `.NAME.partial-HOST-PID` beside its target and renamed by `commit`; without that it is removed.
struct StagedDirectory: ~Copyable {
    let target: String
    let temporary: String
    private let replaced: String
    private var isCommitted = false

    /// Makes the temporary directory, and the target's parent if it is missing.
    ///
    /// - Parameter mayReplace: says whether an existing directory may go; an empty one always may.
    init(for path: String, mayReplace: (String) -> Bool) throws(ResultsError) {
        var target = path
        while target.count > 1, target.last == "/" { target.removeLast() }
        var isDirectory = ObjCBool(false)
        if FileManager.default.fileExists(atPath: target, isDirectory: &isDirectory) {
            guard isDirectory.boolValue else { throw .notOurs(path: path, found: "this is a file, no directory,") }
            let names = (try? FileManager.default.contentsOfDirectory(atPath: target)) ?? []
            guard names.isEmpty || mayReplace(target) else {
                throw .notOurs(path: path, found: "this directory holds files that this command did not make, which")
            }
            // A link stays one: what it points to is replaced.
            if let resolved = realpath(target, nil) {
                target = String(cString: resolved)
                free(resolved)
            }
        }
        let slash = target.lastIndex(of: "/")
        let name = slash.map { target[target.index(after: $0)...] } ?? target[...]
        guard !name.isEmpty, name != ".", name != ".." else { throw .notOurs(path: path, found: "this is in use") }
        let parent = slash.map { $0 == target.startIndex ? "/" : String(target[..<$0]) } ?? "."
        let temporary = "\(parent)/.\(name).partial-\(StagedFile.writer)"
        try Self.makeDirectories(temporary)
        self.target = target
        self.temporary = temporary
        replaced = "\(parent)/.\(name).replaced-\(StagedFile.writer)"
    }

    /// Makes a directory below the temporary one; returns its path.
    func directory(_ name: String) throws(ResultsError) -> String {
        let path = name.isEmpty ? temporary : temporary + "/" + name
        try Self.makeDirectories(path)
        return path
    }

    /// Gives the directory its name; what stood under it before is removed then.
    consuming func commit() throws(ResultsError) {
        let hadOne = rename(target, replaced) == 0
        guard hadOne || errno == ENOENT else {
            throw .system(action: "replace this directory", path: target, code: errno)
        }
        guard rename(temporary, target) == 0 else {
            let code = errno
            if hadOne { rename(replaced, target) }
            throw .system(action: "give the finished directory this name", path: target, code: code)
        }
        isCommitted = true
        if hadOne { try? FileManager.default.removeItem(atPath: replaced) }
    }

    deinit {
        if !isCommitted { try? FileManager.default.removeItem(atPath: temporary) }
    }

    private static func makeDirectories(_ path: String) throws(ResultsError) {
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            let code = ((error as NSError).userInfo[NSUnderlyingErrorKey] as? NSError)?.code ?? (error as NSError).code
            throw .system(action: "make this directory", path: path, code: Int32(truncatingIfNeeded: code))
        }
    }
}
