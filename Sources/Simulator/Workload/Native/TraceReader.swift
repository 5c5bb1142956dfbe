/// Reads traces in the project's own format, one JSON object a line; `docs/traces.md` describes it.
public enum TraceReader {
    /// Reads and checks a trace, or throws the first mistake in it.
    ///
    /// The file is read by blocks, each of which goes to `observing`, so that a caller can hash the bytes on their
    /// way; all of them if a trace is returned. `Trace.sha256` is left empty.
    public static func read(
        path: String, limits: TraceLimits = .init(), observing: (UnsafeRawBufferPointer) -> Void = { _ in }
    ) throws(TraceError) -> Trace {
        var reading = try TraceReading(path: path, limits: limits, keepsRequests: true)
        while let problems = try reading.next(observing: observing) {
            if let first = problems.first { throw first }
        }
        return Trace(source: path, requests: reading.requests)
    }

    /// Reads a trace as `read` does, and hands its requests out one by one instead of keeping them; memory grows with
    /// the number of conversations only. `Request.previousTurn` counts the requests handed out before.
    public static func forEachRequest(
        path: String, limits: TraceLimits = .init(), _ body: (Request) -> Void
    ) throws(TraceError) {
        var reading = try TraceReading(path: path, limits: limits, keepsRequests: false)
        while let problems = try reading.next(observing: { _ in }, receiving: body) {
            if let first = problems.first { throw first }
        }
    }

    /// Every mistake in a trace, at most `limit` of them, in the order of their lines; none if it is sound.
    ///
    /// Throws only if the file cannot be read.
    public static func problems(
        path: String, limits: TraceLimits = .init(), limit: Int = 100
    ) throws(TraceError) -> [TraceError] {
        try check(path: path, limits: limits, limit: limit).problems
    }

    /// The mistakes as `problems` finds them, and how many lines hold a sound request.
    public static func check(
        path: String, limits: TraceLimits = .init(), limit: Int = 100
    ) throws(TraceError) -> (problems: [TraceError], requests: Int) {
        var found: [TraceError] = []
        var requests = 0
        var reading = try TraceReading(path: path, limits: limits, keepsRequests: false)
        while found.count < limit {
            do {
                guard let problems = try reading.next(observing: { _ in }, receiving: { _ in requests += 1 }) else {
                    break
                }
                found += problems
            } catch {
                guard !error.isInputOutput else { throw error }
                found.append(error)
                // Behind a line that is too long come others; behind all else that cannot be read comes nothing.
                guard case .tooLong = error.problem else { break }
                reading.passUnreadLine()
            }
        }
        return (Array(found.prefix(limit)), requests)
    }
}

/// A trace being read: from the file to its lines, to what they say, to the requests.
private struct TraceReading: ~Copyable {
    private let path: String
    private var file: LineFile
    private var lines: TraceLineReader
    private var checker: TraceChecker
    private var isEmpty = true

    init(path: String, limits: TraceLimits, keepsRequests: Bool) throws(TraceError) {
        self.path = path
        file = try LineFile(path: path, maxLineBytes: limits.maxLineBytes)
        lines = TraceLineReader(limits: limits)
        checker = TraceChecker(keepsRequests: keepsRequests)
    }

    var requests: [Request] { checker.requests }

    /// Goes on behind a line that could not be held.
    mutating func passUnreadLine() {
        isEmpty = false
        checker.hasUnreadLines = true
    }

    /// Takes in the next line; what is wrong with it, `nil` at the end of the file.
    mutating func next(
        observing: (UnsafeRawBufferPointer) -> Void, receiving: (Request) -> Void = { _ in }
    ) throws(TraceError) -> [TraceError]? {
        guard let line = try file.nextLine(observing: observing) else {
            guard !isEmpty else { throw TraceError(path: path, problem: .noRequests) }
            return nil
        }
        guard let record = lines.read(line) else { return [] }
        isEmpty = false
        let problems = checker.add(record, line: line.number, receiving: receiving)
        return problems.isEmpty
            ? [] : problems.map { TraceError(path: path, line: line.number, problem: $0) }
    }
}
