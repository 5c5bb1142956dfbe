/// When requests arrive.
public enum ArrivalModel: Sendable, Equatable {
    /// Independent of each other, `rate` a second on average.
    case poisson(rate: Double)

    /// The gap before the next request in seconds.
    func gap(using stream: inout RandomStream) -> Double {
        switch self {
        case .poisson(let rate): stream.exponential(mean: 1 / rate)
        }
    }
}
