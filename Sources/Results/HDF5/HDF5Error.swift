internal import CHDF5
internal import Glibc

/// One failed call of the HDF5 library, or one thing in a file that is not as it should be.
public struct HDF5Error: Error, Equatable, CustomStringConvertible {
    /// The file's path.
    public var file: String
    /// The object's path in the file; `/` is the file itself.
    public var object: String
    /// What was tried: "open", "read", ...
    public var action: String
    /// What stood in the way, in one line.
    public var reason: String

    package init(file: String, object: String, action: String, reason: String) {
        self.file = file
        self.object = object
        self.action = action
        self.reason = reason
    }

    public var description: String {
        let place = object == "/" ? "it" : Self.plain(object)
        return "\(file): cannot \(action) \(place): \(Self.plain(reason))"
    }

    /// A text out of a file as a part of one line: what could move a terminal's cursor, or be endless, is not shown.
    private static func plain(_ text: String) -> String {
        var plain = String.UnicodeScalarView()
        for scalar in text.unicodeScalars.prefix(300) {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned:
                plain.append("?")
            default: plain.append(scalar)
            }
        }
        return String(plain)
    }
}

/// Where calls of the library happen: what their errors name.
struct HDF5Context {
    let file: String
    let object: String

    /// Locks bring nothing here, because a file is written under a name of its own and read when it is whole; and file
    /// systems of clusters often can not lock. A user's own setting stands.
    private static let withoutLocks: Void = { setenv("HDF5_USE_FILE_LOCKING", "FALSE", 0) }()

    /// Runs one call of the library. A negative result becomes an error with the reason the library gives.
    @discardableResult
    func check<Result: SignedInteger>(_ action: String, _ call: () -> Result) throws(HDF5Error) -> Result {
        // The library prints errors unless told otherwise, and remembers being told for each thread apart.
        _ = Self.withoutLocks
        H5Eset_auto2(chdf5_default_error_stack(), nil, nil)
        let result = call()
        guard result >= 0 else { throw failure(action, Self.innermostReason()) }
        return result
    }

    /// Runs a call that makes an identifier, and owns what it made.
    func open(_ action: String, _ call: () -> hid_t) throws(HDF5Error) -> HDF5Handle {
        HDF5Handle(owning: try check(action, call))
    }

    func failure(_ action: String, _ reason: String) -> HDF5Error {
        HDF5Error(file: file, object: object, action: action, reason: reason)
    }

    /// The first description of the library's error stack that comes from where the failure began.
    private static func innermostReason() -> String {
        var reason = ""
        withUnsafeMutablePointer(to: &reason) { reason in
            _ = H5Ewalk2(
                chdf5_default_error_stack(), H5E_WALK_UPWARD,
                { _, entry, context in
                    let reason = context?.assumingMemoryBound(to: String.self)
                    if let reason, reason.pointee.isEmpty, let text = entry?.pointee.desc {
                        reason.pointee = String(cString: text)
                    }
                    return 0
                }, reason)
        }
        return reason.isEmpty ? "the HDF5 library gives no reason" : systemReason(in: reason) ?? reason
    }

    /// What the operating system said, out of a line such as `file write failed: time = ..., errno = 28, error message =
    /// 'No space left on device', buf = 0x55f2, ...`.
    private static func systemReason(in reason: String) -> String? {
        let parts = reason.split(separator: "error message = '", maxSplits: 1)
        guard parts.count == 2, let message = parts[1].split(separator: "'", maxSplits: 1).first,
            let action = reason.split(separator: ":", maxSplits: 1).first
        else { return nil }
        return "\(action): \(message)"
    }
}
