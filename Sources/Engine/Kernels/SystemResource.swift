internal import Synchronization

/// What the engine needs of the system and may not get, as under `ulimit -v`. Nothing can be computed then: who asked to be
/// told is, and the process ends.
public enum SystemResource: Sendable {
    case memory(bytes: Int)
    case thread

    /// Told of what could not be had.
    public typealias Report = @Sendable (SystemResource) -> Void

    private static let report = Mutex<Report?>(nil)

    /// Has `report` told of what the system refuses; it may end the process in its own way.
    public static func onRefusal(_ report: @escaping Report) { self.report.withLock { $0 = report } }

    func isRefused() -> Never {
        Self.report.withLock { $0 }?(self)
        preconditionFailure("the system refuses \(self)")
    }
}
