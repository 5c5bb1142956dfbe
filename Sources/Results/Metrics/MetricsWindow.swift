public import Simulator

/// Which requests the figures of serving are drawn from: those that are left when the start of a run is cut off, and the
/// end, so that what remains is as though the load had always been there.
public struct MetricsWindow: Sendable, Equatable {
    /// A length of a run.
    public enum Span: Sendable, Equatable {
        /// A share of the requests, in order of effective arrival.
        case share(Double)
        /// A length of time from the first effective arrival.
        case time(SimDuration)
    }

    /// What is cut off at the start.
    public var warmup: Span
    /// What is kept after it; nil for all.
    public var length: Span?

    public init(warmup: Span = .share(0), length: Span? = nil) {
        self.warmup = warmup
        self.length = length
    }

    /// The whole run.
    public static let whole = MetricsWindow()

    /// What it leaves out, in words; nil of the whole run.
    var note: String? {
        guard self != .whole else { return nil }
        func text(_ span: Span) -> String {
            switch span {
            case .share(let share): "\((share * 100).formatted(decimals: 1)) % of the requests"
            case .time(let length): "\(length.seconds.formatted(decimals: 1)) s"
            }
        }
        let kept = length.map { ", then \(text($0)) are kept" } ?? ""
        return "serving's figures leave out a warm-up of \(text(warmup))\(kept); by order of arrival"
    }

    /// The requests in the window, by index in the trace, in order of effective arrival; those that never arrived are in
    /// the whole run only.
    func requests(of log: ArmLog) -> [Int] {
        guard self != .whole else { return Array(log.requests.indices) }
        let arrived = log.requests.indices.compactMap { index in
            log.requests[index].effectiveArrival.map { (index: index, arrival: $0) }
        }.sorted { ($0.arrival, $0.index) < ($1.arrival, $1.index) }
        guard let start = arrived.first?.arrival else { return [] }
        func place(after first: Int, _ span: Span, from time: SimTime) -> Int {
            switch span {
            case .share(let share):
                min(arrived.count, first + Int((share * Double(arrived.count)).rounded()))
            case .time(let length):
                arrived[first...].firstIndex { $0.arrival >= time + length } ?? arrived.count
            }
        }
        let first = place(after: 0, warmup, from: start)
        guard first < arrived.count, let length else { return arrived[first...].map(\.index) }
        // A window in time begins where the warm-up ends, whether or not a request arrives just then.
        let from: SimTime = if case .time(let cut) = warmup { start + cut } else { arrived[first].arrival }
        return arrived[first..<place(after: first, length, from: from)].map(\.index)
    }
}
