/// The simulator asked for bytes that are not there: a bug in one of the two, never a user's mistake.
public enum MeasuredBackendError: Error, Sendable, Equatable, CustomStringConvertible {
    case missing(String)

    public var description: String {
        switch self {
        case .missing(let what): "\(what) is not where the books say"
        }
    }
}
