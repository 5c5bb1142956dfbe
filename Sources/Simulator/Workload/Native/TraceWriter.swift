/// Writes traces in the format that `TraceReader` reads; what it reads back equals what was written.
public enum TraceWriter {
    /// Writes a trace under `path`, whose directories are made if they are missing.
    ///
    /// The file appears under its name only when it is whole and on the disk; an error leaves what was there before.
    public static func write(_ trace: Trace, to path: String) throws(TraceError) {
        var output = try TraceOutput(for: path)
        for request in trace.requests { try output.append(request) }
        try output.commit()
    }

    /// A request's line, without the newline.
    public static func line(for request: Request) -> String {
        var bytes: [UInt8] = []
        append(request, to: &bytes)
        return String(decoding: bytes.dropLast(), as: UTF8.self)
    }

    /// Appends a request's line and its newline. Fields that say no more than their absence are left out.
    static func append(_ request: Request, to bytes: inout [UInt8]) {
        bytes.append(#"{"id": "#)
        bytes.append(quoted: request.id)
        bytes.append(#", "arrival": "#)
        bytes.append(seconds: request.arrival.nanoseconds)
        bytes.append(
            request.prompt, count: request.promptTokens, ids: #", "prompt": "#, number: #", "prompt_tokens": "#)
        bytes.append(
            request.output, count: request.outputTokens, ids: #", "output": "#, number: #", "output_tokens": "#)
        if let prefix = request.prefix {
            bytes.append(#", "prefix": {"block_tokens": "#)
            bytes.append(decimal: prefix.blockTokens)
            bytes.append(#", "blocks": "#)
            bytes.append(array: prefix.blocks, separator: ",")
            bytes.append("}")
        }
        if let conversation = request.conversation {
            bytes.append(#", "conversation": "#)
            bytes.append(quoted: conversation)
            bytes.append(#", "turn": "#)
            bytes.append(decimal: request.turn)
        }
        if request.thinkTime != .zero {
            bytes.append(#", "think_time": "#)
            bytes.append(seconds: request.thinkTime.nanoseconds)
        }
        if request.priority != 0 {
            bytes.append(#", "priority": "#)
            bytes.append(decimal: request.priority)
        }
        switch request.feedback {
        case .unstated: break
        case .none: bytes.append(#", "feedback": null"#)
        case .given(let feedback): append(feedback, to: &bytes)
        }
        bytes.append("}\n")
    }

    /// Appends the line that the same request would have as a `Request`.
    static func append(_ request: LoggedRequest, blocks: DecimalList, to bytes: inout [UInt8]) {
        bytes.append(#"{"id": "r"#)
        bytes.append(decimal: request.number)
        bytes.append(#"", "arrival": "#)
        bytes.append(seconds: request.arrival.nanoseconds)
        bytes.append(#", "prompt_tokens": "#)
        bytes.append(decimal: request.promptTokens)
        bytes.append(#", "output_tokens": "#)
        bytes.append(decimal: request.outputTokens)
        if let blockTokens = request.blockTokens {
            bytes.append(#", "prefix": {"block_tokens": "#)
            bytes.append(decimal: blockTokens)
            bytes.append(#", "blocks": ["#)
            bytes.append(contentsOf: blocks.text)
            bytes.append("]}")
        }
        bytes.append("}\n")
    }

    private static func append(_ feedback: Feedback, to bytes: inout [UInt8]) {
        bytes.append(#", "feedback": {"delay": "#)
        bytes.append(seconds: feedback.delay.nanoseconds)
        bytes.append(contentsOf: ", \"kind\": \"\(feedback.kind.rawValue)\"".utf8)
        switch feedback.signal {
        case .sft(let edited):
            if let edited {
                bytes.append(#", "tokens": "#)
                bytes.append(array: edited)
            }
        case .dpo(.chosen(let answer)):
            bytes.append(answer.ids, count: answer.count, ids: #", "chosen": "#, number: #", "chosen_tokens": "#)
        case .dpo(.rejected(let answer)):
            bytes.append(answer.ids, count: answer.count, ids: #", "rejected": "#, number: #", "rejected_tokens": "#)
        case .group(let weight, let others):
            bytes.append(contentsOf: ", \"weight\": \(weight), \"completions\": [".utf8)
            for (index, other) in others.enumerated() {
                bytes.append(index == 0 ? "{" : ", {")
                let answer = other.answer
                bytes.append(answer.ids, count: answer.count, ids: #""output": "#, number: #""output_tokens": "#)
                bytes.append(contentsOf: ", \"weight\": \(other.weight)}".utf8)
            }
            bytes.append("]")
        }
        bytes.append("}")
    }
}

/// A trace file being written request by request.
public struct TraceOutput: ~Copyable {
    private let file: TraceStagedFile
    private var buffer: [UInt8] = []
    /// The requests appended.
    public private(set) var count = 0

    private static let blockBytes = 1 << 18

    /// Makes the directories of `path` if they are missing; the file appears under its name when it is committed.
    public init(for path: String) throws(TraceError) {
        file = try TraceStagedFile(for: path)
        buffer.reserveCapacity(Self.blockBytes + 1 << 16)
    }

    public mutating func append(_ request: Request) throws(TraceError) {
        TraceWriter.append(request, to: &buffer)
        try countLine()
    }

    /// Appends a request of a log; `blocks` are the names of its blocks, if it has any.
    mutating func append(_ request: LoggedRequest, blocks: DecimalList) throws(TraceError) {
        TraceWriter.append(request, blocks: blocks, to: &buffer)
        try countLine()
    }

    private mutating func countLine() throws(TraceError) {
        count += 1
        guard buffer.count >= Self.blockBytes else { return }
        try file.write(buffer)
        buffer.removeAll(keepingCapacity: true)
    }

    /// Brings the file to the disk and gives it its name.
    public consuming func commit() throws(TraceError) {
        try file.write(buffer)
        try file.commit()
    }
}
