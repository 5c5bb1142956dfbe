/// Reads what the field's tools write, and writes the native format, holding little more than a line at a time.
public enum TraceImporter {
    public struct Options: Sendable, Equatable {
        public enum Turns: String, Sendable, CaseIterable {
            /// The first question and answer of each conversation.
            case first
            /// Every turn, its prompt holding those before.
            case all
        }

        /// `nil` tells it by the names in the file.
        public var format: ImportFormat?
        /// For `ImportFormat.columns`.
        public var columns: ColumnMap?
        /// The most requests to write.
        public var limit: Int?
        /// Requests a second, Poisson, where the source has no arrivals.
        public var rate = 1.0
        public var seed: UInt64 = 0
        /// Longer requests are left out.
        public var maxContext: Int?
        public var turns = Turns.all
        /// Mean seconds between a turn and the next of made-up arrivals, exponential.
        public var meanThinkTime = 10.0
        /// Whether texts become ids or only their number.
        public var content = TraceContent.ids
        /// The answer's length where vLLM's rows do not say it.
        public var outputTokens: Int?
        public var maxLineBytes = TraceLimits().maxLineBytes

        public init() {}
    }

    /// Reads `source` and writes the trace under `target`, which appears when it is whole; an error leaves what was
    /// there before.
    ///
    /// - Parameter tokenizer: makes tokens of texts.
    public static func run(
        from source: String, to target: String, options: Options, tokenizer: inout some TextTokenizer
    ) throws(TraceError) -> ImportReport {
        let format =
            if let format = options.format { format } else {
                try recognised(source, maxLineBytes: options.maxLineBytes)
            }
        var sink = try ImportSink(source: source, target: target, format: format, options: options)
        try sink.drawArrival()
        if let map = format == .columns ? options.columns : format.columns {
            try importTable(source, map, options, into: &sink)
        } else {
            var dialogues = DialogueImport(options: options, tokenizer: tokenizer)
            try dialogues.run(source, format, into: &sink)
            tokenizer = dialogues.tokenizer
        }
        return try sink.commit()
    }

    /// What kind of file it is, by the names in it.
    public static func recognised(_ path: String, maxLineBytes: Int) throws(TraceError) -> ImportFormat {
        let unknown = TraceError(path: path, problem: .unknownFormat)
        // Names are looked at before the file is read from its start.
        guard TraceStagedFile.isRegular(path) else {
            throw TraceError(path: path, problem: TraceStagedFile.isDirectory(path) ? .isDirectory : .notSeekable)
        }
        var lines = try LineFile(path: path, maxLineBytes: maxLineBytes)
        var isJSON = false
        do throws(TraceError) {
            while let line = try lines.nextLine() {
                var json = JSONReader(line.text)
                guard let first = json.skipSpace() else { continue }
                isJSON = first == UInt8(ascii: "{") || first == UInt8(ascii: "[")
                guard !isJSON else { break }
                var fields = CSVFields()
                let names = try TableFile.header(line, path, &fields)
                guard let format = ImportFormat.recognised(by: names, isCSV: true) else { throw unknown }
                return format
            }
        } catch {
            // The one line of a whole array may be as long as it likes.
            guard case .tooLong = error.problem else { throw error }
            isJSON = true
        }
        guard isJSON else { throw TraceError(path: path, problem: .noRequests) }
        var elements = try ElementFile(path: path, maxBytes: maxLineBytes)
        guard let element = try elements.next() else { throw TraceError(path: path, problem: .noRequests) }
        var json = JSONReader(element.bytes)
        let names: [String]
        do throws(JSONError) {
            names = try json.memberNames()
        } catch {
            throw ElementFile.error(error, in: element, of: path)
        }
        guard let format = ImportFormat.recognised(by: names, isCSV: false) else { throw unknown }
        return format
    }

    private static func importTable(
        _ path: String, _ map: ColumnMap, _ options: Options, into sink: inout ImportSink
    ) throws(TraceError) {
        var table = try TableFile(path: path, map: map, maxLineBytes: options.maxLineBytes)
        var isFirst = true
        while !sink.isFull, let (row, line) = try table.next() {
            if isFirst {
                sink.report.hasArrivals = table.hasArrivals
                isFirst = false
            }
            sink.report.rows += 1
            try sink.take(row, map, table, line)
        }
    }
}
