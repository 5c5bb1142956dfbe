/// A part of a trace: its first requests, those that fit a model's context, or both.
///
/// A turn's prompt holds the turns before it, so where one is left out all behind it in the conversation are.
public struct TraceCut: Sendable {
    /// The most tokens of a prompt with any of its answers; nil for any number.
    public var maxContext: Int?
    /// The most requests that are kept; nil for all.
    public var limit: Int?

    public init(maxContext: Int? = nil, limit: Int? = nil) {
        self.maxContext = maxContext
        self.limit = limit
    }

    /// How many requests were kept, and how many were left out for their length, or for that of a turn before them.
    public struct Report: Sendable, Equatable {
        public var kept = 0
        public var tooLong = 0
        public var behindTooLong = 0

        public init(kept: Int = 0) { self.kept = kept }
    }

    /// The part of `trace`, whose requests keep their order.
    ///
    /// - Throws: `TraceError` if nothing is left.
    public func cut(_ trace: Trace) throws(TraceError) -> (trace: Trace, report: Report) {
        var report = Report()
        var part = Trace(source: trace.source, requests: [])
        // The place of each request in the part; nil of those left out.
        var places: [Int?] = []
        places.reserveCapacity(trace.requests.count)
        for request in trace.requests {
            guard part.requests.count < limit ?? .max else { break }
            if let maxContext, request.contextTokens > maxContext {
                report.tooLong += 1
                places.append(nil)
            } else if let previous = request.previousTurn, places[previous] == nil {
                report.behindTooLong += 1
                places.append(nil)
            } else {
                var kept = request
                kept.previousTurn = request.previousTurn.flatMap { places[$0] }
                places.append(part.requests.count)
                part.requests.append(kept)
            }
        }
        report.kept = part.requests.count
        guard report.kept > 0 else { throw TraceError(path: trace.source, problem: .nothingLeft) }
        return (part, report)
    }
}
