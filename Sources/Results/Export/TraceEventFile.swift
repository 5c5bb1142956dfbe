/// A file of trace events as Chrome's tracing and Perfetto read them: JSON with the key `traceEvents`. Times are in
/// microseconds there; nanoseconds are kept as their three decimals.
struct TraceEventFile: ~Copyable {
    /// How every file begins, and by which an earlier export is known.
    static let mark = #"{"otherData":{"producer":"alchemist-sim"#

    private var output: TextOutput
    private var isFirst = true

    /// - Parameter notes: what stands in `otherData` beside the producer.
    init(creating path: String, notes: [(name: String, value: String)]) throws(ResultsError) {
        var output = try TextOutput(creating: path, mark: Self.mark)
        try output.stream.write { bytes in
            bytes.append(UInt8(ascii: "\""))
            for (name, value) in notes {
                bytes.append(UInt8(ascii: ","))
                bytes.append(quoted: name)
                bytes.append(UInt8(ascii: ":"))
                bytes.append(quoted: value)
            }
            bytes.append(contentsOf: "},\n\"displayTimeUnit\":\"ms\",\n\"traceEvents\":[\n".utf8)
        }
        self.output = output
    }

    /// A value beside an event.
    enum Argument {
        case integer(Int64)
        case text(String)
    }

    /// Something that took time on a track (`X`).
    mutating func span(
        _ name: String, _ category: StaticString, track: TraceTrack, from start: Int64, to end: Int64,
        _ arguments: [(String, Argument)] = []
    ) throws(ResultsError) {
        try event("X", name, track) { bytes in
            bytes.append(contentsOf: ",\"cat\":\"\(category)\",\"ts\":".utf8)
            bytes.append(microseconds: start)
            bytes.append(contentsOf: ",\"dur\":".utf8)
            bytes.append(microseconds: end - start)
            if !arguments.isEmpty { bytes.append(arguments: arguments) }
        }
    }

    /// Something without duration (`i`), on its track alone.
    mutating func instant(
        _ name: String, _ category: StaticString, track: TraceTrack, at time: Int64
    ) throws(ResultsError) {
        try event("i", name, track) { bytes in
            bytes.append(contentsOf: ",\"cat\":\"\(category)\",\"s\":\"t\",\"ts\":".utf8)
            bytes.append(microseconds: time)
        }
    }

    /// The levels from a time on (`C`): one series for each argument.
    mutating func counter(
        _ name: String, process: Int, at time: Int64, _ levels: [(String, Int64)]
    ) throws(ResultsError) {
        try event("C", name, TraceTrack(process: process, thread: 0)) { bytes in
            bytes.append(contentsOf: ",\"ts\":".utf8)
            bytes.append(microseconds: time)
            bytes.append(arguments: levels.map { ($0.0, .integer($0.1)) })
        }
    }

    /// Names a process, or with `thread` one of its tracks, and says where it stands among its like (`M`).
    mutating func title(_ name: String, track: TraceTrack, isThread: Bool, place: Int) throws(ResultsError) {
        let kind = isThread ? "thread" : "process"
        try event("M", kind + "_name", track) { $0.append(arguments: [("name", .text(name))]) }
        try event("M", kind + "_sort_index", track) { $0.append(arguments: [("sort_index", .integer(Int64(place)))]) }
    }

    consuming func commit() throws(ResultsError) {
        try output.stream.write("\n]}\n")
        try output.commit()
    }

    private mutating func event(
        _ phase: StaticString, _ name: String, _ track: TraceTrack, _ rest: (inout [UInt8]) -> Void
    ) throws(ResultsError) {
        let separator = isFirst ? "{\"name\":" : ",\n{\"name\":"
        isFirst = false
        try output.stream.write { bytes in
            bytes.append(contentsOf: separator.utf8)
            bytes.append(quoted: name)
            bytes.append(contentsOf: ",\"ph\":\"\(phase)\",\"pid\":".utf8)
            bytes.append(decimal: Int64(track.process))
            bytes.append(contentsOf: ",\"tid\":".utf8)
            bytes.append(decimal: Int64(track.thread))
            rest(&bytes)
            bytes.append(UInt8(ascii: "}"))
        }
    }
}

/// A track of the time line: a thread of a process.
struct TraceTrack: Hashable {
    var process: Int
    var thread: Int
}

extension [UInt8] {
    /// Nanoseconds as microseconds with three decimals.
    fileprivate mutating func append(microseconds nanoseconds: Int64) {
        if nanoseconds < 0 { append(UInt8(ascii: "-")) }
        let size = Int64(clamping: nanoseconds.magnitude)
        append(decimal: size / 1000)
        append(UInt8(ascii: "."))
        for scale: Int64 in [100, 10, 1] { append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: size / scale % 10)) }
    }

    fileprivate mutating func append(arguments: [(String, TraceEventFile.Argument)]) {
        append(contentsOf: ",\"args\":{".utf8)
        for (index, argument) in arguments.enumerated() {
            if index > 0 { append(UInt8(ascii: ",")) }
            append(quoted: argument.0)
            append(UInt8(ascii: ":"))
            switch argument.1 {
            case .integer(let value): append(decimal: value)
            case .text(let value): append(quoted: value)
            }
        }
        append(UInt8(ascii: "}"))
    }

    /// A JSON string: quotes, backslashes and control characters escaped, everything else as it is.
    fileprivate mutating func append(quoted text: String) {
        append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                append(UInt8(ascii: "\\"))
                append(byte)
            case 0..<0x20:
                append(contentsOf: (byte < 0x10 ? "\\u000" : "\\u00").utf8)
                append(contentsOf: String(byte, radix: 16).utf8)
            default: append(byte)
            }
        }
        append(UInt8(ascii: "\""))
    }
}
