internal import Glibc

/// Writes traces in the format that `TraceReader` reads; what it reads back equals what was written.
public enum TraceWriter {
    /// Writes a trace under `path`, whose directories are made if they are missing.
    ///
    /// The file appears under its name only when it is whole and on the disk; an error leaves what was there before.
    public static func write(_ trace: Trace, to path: String) throws(TraceError) {
        let file = try TraceStagedFile(for: path)
        var buffer: [UInt8] = []
        for request in trace.requests {
            append(request, to: &buffer)
            if buffer.count >= 1 << 20 {
                try file.write(buffer)
                buffer.removeAll(keepingCapacity: true)
            }
        }
        try file.write(buffer)
        try file.commit()
    }

    /// A request's line, without the newline.
    public static func line(for request: Request) -> String {
        var bytes: [UInt8] = []
        append(request, to: &bytes)
        return String(decoding: bytes.dropLast(), as: UTF8.self)
    }

    /// Appends a request's line and its newline. Fields that say no more than their absence are left out.
    static func append(_ request: Request, to bytes: inout [UInt8]) {
        bytes.append(contentsOf: #"{"id": "#.utf8)
        bytes.append(quoted: request.id)
        bytes.append(contentsOf: ", \"arrival\": \(request.arrival.nanoseconds.decimalSeconds)".utf8)
        bytes.append(tokens: request.prompt, named: "prompt", count: request.promptTokens)
        bytes.append(tokens: request.output, named: "output", count: request.outputTokens)
        if let conversation = request.conversation {
            bytes.append(contentsOf: #", "conversation": "#.utf8)
            bytes.append(quoted: conversation)
            bytes.append(contentsOf: ", \"turn\": \(request.turn)".utf8)
        }
        if request.thinkTime != .zero {
            bytes.append(contentsOf: ", \"think_time\": \(request.thinkTime.nanoseconds.decimalSeconds)".utf8)
        }
        if request.priority != 0 { bytes.append(contentsOf: ", \"priority\": \(request.priority)".utf8) }
        switch request.feedback {
        case .unstated: break
        case .none: bytes.append(contentsOf: #", "feedback": null"#.utf8)
        case .given(let feedback):
            let delay = feedback.delay.nanoseconds.decimalSeconds
            let fields = ", \"feedback\": {\"delay\": \(delay), \"kind\": \"\(feedback.kind.rawValue)\""
            bytes.append(contentsOf: fields.utf8)
            if let tokens = feedback.tokens {
                bytes.append(contentsOf: #", "tokens": "#.utf8)
                bytes.append(array: tokens)
            }
            bytes.append(UInt8(ascii: "}"))
        }
        bytes.append(contentsOf: "}\n".utf8)
    }
}

extension Int64 {
    /// Nanoseconds as seconds in plain decimals, all that count and no more: `1.5`, `0.000000001`, `12`.
    var decimalSeconds: String {
        let (whole, rest) = magnitude.quotientAndRemainder(dividingBy: 1_000_000_000)
        let sign = self < 0 ? "-" : ""
        guard rest != 0 else { return "\(sign)\(whole)" }
        var digits = String(rest)
        digits = String(repeating: "0", count: 9 - digits.count) + digits
        while digits.last == "0" { digits.removeLast() }
        return "\(sign)\(whole).\(digits)"
    }
}

extension [UInt8] {
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

    /// The ids if there are any, else how many there would be.
    fileprivate mutating func append(tokens ids: [Int32]?, named name: String, count: Int) {
        if let ids {
            append(contentsOf: ", \"\(name)\": ".utf8)
            append(array: ids)
        } else {
            append(contentsOf: ", \"\(name)_tokens\": \(count)".utf8)
        }
    }

    fileprivate mutating func append(array ids: [Int32]) {
        append(UInt8(ascii: "["))
        for (index, id) in ids.enumerated() {
            if index > 0 { append(contentsOf: ", ".utf8) }
            append(contentsOf: String(id).utf8)
        }
        append(UInt8(ascii: "]"))
    }
}
