internal import Synchronization

/// Laws that decisions keep at every change, where nothing could be decided any more if one did not hold.
///
/// A broken one ends the process: first whoever has asked for it is told, in words and with what happened last.
public enum Law {
    /// Told of a broken law, and of what happened before it.
    public typealias Report = @Sendable (_ law: String, _ history: String) -> Void

    private static let report = Mutex<Report?>(nil)
    private static let history = Mutex<(@Sendable () -> String)?>(nil)

    /// Has `report` told of a broken law; it may end the process in its own way.
    public static func onBreak(_ report: @escaping Report) { self.report.withLock { $0 = report } }

    /// What is happening now, in case a law is broken.
    static func record(_ history: @escaping @Sendable () -> String) { self.history.withLock { $0 = history } }

    /// Ends the process unless the law `holds`.
    @inline(__always)
    static func require(_ holds: Bool, _ law: @autoclosure () -> String) { if !holds { broken(law()) } }

    @inline(never)
    static func broken(_ law: String) -> Never {
        let history = history.withLock { $0 }?() ?? ""
        report.withLock { $0 }?(law, history)
        preconditionFailure(law)
    }
}
