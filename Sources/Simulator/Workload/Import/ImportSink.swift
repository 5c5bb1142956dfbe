/// Where imported requests go: numbers them, gives them their arrivals, counts and writes them.
struct ImportSink: ~Copyable {
    private let source: String
    private let options: TraceImporter.Options
    private var output: TraceOutput
    private var arrivals: RandomStream
    /// The made-up arrival of the next request.
    private(set) var nextArrival = SimTime.zero
    /// The source's time of the first request, and its latest one.
    private var origin: Int64?
    private var latest: Int64?
    var report: ImportReport

    /// `drawArrival` brings the first made-up arrival.
    init(
        source: String, target: String, format: ImportFormat, options: TraceImporter.Options
    ) throws(TraceError) {
        self.source = source
        self.options = options
        report = ImportReport(format: format)
        arrivals = RandomStream(seed: options.seed, name: "arrivals")
        output = try TraceOutput(for: target)
    }

    /// Whether no more requests are wanted; notes that the limit ended the import.
    var isFull: Bool {
        mutating get {
            guard let limit = options.limit, report.requests >= limit else { return false }
            report.isCut = true
            return true
        }
    }

    /// Writes a table's row, or counts why not.
    mutating func take(
        _ row: TableRow, _ map: ColumnMap, _ table: borrowing TableFile, _ line: Int
    ) throws(TraceError) {
        guard row.promptTokens > 0 else { return report.drop(.emptyPrompt) }
        guard row.outputTokens > 0 else { return report.drop(.emptyOutput) }
        if let count = row.blockCount {
            let needed = (row.promptTokens - 1) / map.blockTokens + 1
            guard count == needed else {
                let field = table.name { if case .blocks = $0 { true } else { false } }
                throw TraceError(
                    path: source, line: line,
                    problem: .field(
                        field.neutralised(), found: "`\(count)` blocks",
                        expected: "\(needed) of \(map.blockTokens) tokens, which hold the prompt's \(row.promptTokens)")
                )
            }
        }
        if let maxContext = options.maxContext, row.promptTokens + row.outputTokens > maxContext {
            return report.drop(.tooLong)
        }
        let arrival: SimTime
        if let time = row.arrival {
            try check(time, table, line)
            arrival = SimTime(nanoseconds: time - (origin ?? time))
        } else {
            arrival = nextArrival
            try drawArrival()
        }
        let request = LoggedRequest(
            number: report.requests, arrival: arrival, promptTokens: row.promptTokens, outputTokens: row.outputTokens,
            blockTokens: row.blockCount == nil ? nil : map.blockTokens)
        report.count(promptTokens: request.promptTokens, outputTokens: request.outputTokens)
        try output.append(request, blocks: table.blocks)
    }

    /// Writes a request that has its arrival.
    mutating func write(_ request: consuming Request) throws(TraceError) {
        request.id = "r\(report.requests)"
        report.count(promptTokens: request.promptTokens, outputTokens: request.outputTokens)
        try output.append(request)
    }

    /// Moves on to the next made-up arrival.
    mutating func drawArrival() throws(TraceError) {
        let gap = SimDuration(seconds: arrivals.exponential(mean: 1 / options.rate))
        let room = TraceLimits.maxNanoseconds - nextArrival.nanoseconds
        guard let gap, gap.nanoseconds <= room else {
            throw TraceError(
                path: source,
                problem: .field(
                    TraceField.arrival.name, found: "made-up arrivals at \(options.rate) requests a second",
                    expected: "a --rate at which all arrive within \(TraceLimits.maxSeconds) s"))
        }
        nextArrival = nextArrival + gap
    }

    consuming func commit() throws(TraceError) -> ImportReport {
        guard report.requests > 0 else { throw TraceError(path: source, problem: .nothingLeft) }
        let report = report
        try output.commit()
        return report
    }

    /// Takes a time of the source in; the first one is the trace's start.
    private mutating func check(_ time: Int64, _ table: borrowing TableFile, _ line: Int) throws(TraceError) {
        let first = origin ?? time
        let (span, overflowed) = time.subtractingReportingOverflow(first)
        let problem: (found: String, expected: String)? =
            if let latest, time < latest {
                ("a time before the row above", "rows in the order of time: sort the file by it first")
            } else if overflowed || span > TraceLimits.maxNanoseconds {
                ("a time far from the first row's", "at most \(TraceLimits.maxSeconds) s after it")
            } else {
                nil
            }
        if let problem {
            let field = table.name { if case .arrival = $0 { true } else { false } }
            throw TraceError(
                path: source, line: line,
                problem: .field(field.neutralised(), found: problem.found, expected: problem.expected))
        }
        origin = first
        latest = time
    }
}
