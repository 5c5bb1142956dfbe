/// Reads traces in the project's own format, one JSON object a line; `traces/README.md` describes it.
public enum TraceReader {
    /// Reads and checks a trace, or throws the first mistake in it.
    ///
    /// The file is read by blocks, each of which goes to `observing`, so that a caller can hash the bytes on their
    /// way; all of them if a trace is returned. `Trace.sha256` is left empty.
    public static func read(
        path: String, limits: TraceLimits = .init(), observing: (UnsafeRawBufferPointer) -> Void = { _ in }
    ) throws(TraceError) -> Trace {
        var reading = try TraceReading(path: path, limits: limits)
        while let problems = try reading.next(observing: observing) {
            if let first = problems.first { throw first }
        }
        return Trace(source: path, requests: reading.requests)
    }

    /// Every mistake in a trace, at most `limit` of them, in the order of their lines; none if it is sound.
    ///
    /// Throws only if the file cannot be read.
    public static func problems(
        path: String, limits: TraceLimits = .init(), limit: Int = 100
    ) throws(TraceError) -> [TraceError] {
        var found: [TraceError] = []
        do {
            var reading = try TraceReading(path: path, limits: limits)
            while found.count < limit, let problems = try reading.next(observing: { _ in }) { found += problems }
        } catch {
            guard !error.isInputOutput else { throw error }
            found.append(error)
        }
        return Array(found.prefix(limit))
    }
}

/// A trace being read: from the file to its lines, to what they say, to the requests.
private struct TraceReading: ~Copyable {
    private let path: String
    private var file: TraceFile
    private var lines: TraceLineReader
    private var checker = TraceChecker()
    private var isEmpty = true

    init(path: String, limits: TraceLimits) throws(TraceError) {
        self.path = path
        file = try TraceFile(path: path, maxLineBytes: limits.maxLineBytes)
        lines = TraceLineReader(limits: limits)
    }

    var requests: [Request] { checker.requests }

    /// Takes in the next line; what is wrong with it, `nil` at the end of the file.
    mutating func next(observing: (UnsafeRawBufferPointer) -> Void) throws(TraceError) -> [TraceError]? {
        guard let line = try file.nextLine(observing: observing) else {
            guard !isEmpty else { throw TraceError(path: path, problem: .noRequests) }
            return nil
        }
        guard let record = lines.read(line) else { return [] }
        isEmpty = false
        return checker.add(record, line: line.number).map {
            TraceError(path: path, line: line.number, problem: $0)
        }
    }
}
