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
        var buffer = TextBuffer()
        append(request, to: &buffer)
        return String(buffer.text.dropLast())
    }

    /// Appends a request's line and its newline. Fields that say no more than their absence are left out.
    static func append(_ request: Request, to buffer: inout TextBuffer) {
        buffer.append(#"{"id": "#)
        buffer.append(quoted: request.id)
        buffer.append(#", "arrival": "#)
        buffer.append(seconds: request.arrival.nanoseconds)
        buffer.append(
            request.prompt, count: request.promptTokens, ids: #", "prompt": "#, number: #", "prompt_tokens": "#)
        buffer.append(
            request.output, count: request.outputTokens, ids: #", "output": "#, number: #", "output_tokens": "#)
        if let prefix = request.prefix {
            buffer.append(#", "prefix": {"block_tokens": "#)
            buffer.append(decimal: prefix.blockTokens)
            buffer.append(#", "blocks": "#)
            buffer.append(array: prefix.blocks, isSpaced: false)
            buffer.append("}")
        }
        if let conversation = request.conversation {
            buffer.append(#", "conversation": "#)
            buffer.append(quoted: conversation)
            buffer.append(#", "turn": "#)
            buffer.append(decimal: request.turn)
        }
        if request.thinkTime != .zero {
            buffer.append(#", "think_time": "#)
            buffer.append(seconds: request.thinkTime.nanoseconds)
        }
        if request.priority != 0 {
            buffer.append(#", "priority": "#)
            buffer.append(decimal: request.priority)
        }
        switch request.feedback {
        case .unstated: break
        case .none: buffer.append(#", "feedback": null"#)
        case .given(let feedback): append(feedback, to: &buffer)
        }
        buffer.append("}\n")
    }

    /// Appends the line that the same request would have as a `Request`.
    static func append(_ request: LoggedRequest, blocks: borrowing DecimalList, to buffer: inout TextBuffer) {
        buffer.append(atMost: 240) {
            $0.put(#"{"id": "r"#)
            $0.put(decimal: UInt64(request.number))
            $0.put(#"", "arrival": "#)
            $0.put(seconds: request.arrival.nanoseconds)
            $0.put(#", "prompt_tokens": "#)
            $0.put(decimal: UInt64(request.promptTokens))
            $0.put(#", "output_tokens": "#)
            $0.put(decimal: UInt64(request.outputTokens))
            if let blockTokens = request.blockTokens {
                $0.put(#", "prefix": {"block_tokens": "#)
                $0.put(decimal: UInt64(blockTokens))
                $0.put(#", "blocks": ["#)
            } else {
                $0.put("}\n")
            }
        }
        guard request.blockTokens != nil else { return }
        blocks.withText { buffer.append($0) }
        buffer.append("]}}\n")
    }

    private static func append(_ feedback: Feedback, to buffer: inout TextBuffer) {
        buffer.append(#", "feedback": {"delay": "#)
        buffer.append(seconds: feedback.delay.nanoseconds)
        buffer.append(#", "kind": "#)
        buffer.append(quoted: feedback.kind.rawValue)
        switch feedback.signal {
        case .sft(let edited):
            if let edited {
                buffer.append(#", "tokens": "#)
                buffer.append(array: edited)
            }
        case .dpo(.chosen(let answer)):
            buffer.append(answer.ids, count: answer.count, ids: #", "chosen": "#, number: #", "chosen_tokens": "#)
        case .dpo(.rejected(let answer)):
            buffer.append(answer.ids, count: answer.count, ids: #", "rejected": "#, number: #", "rejected_tokens": "#)
        case .group(let weight, let others):
            buffer.append(#", "weight": "#)
            buffer.append(number: weight)
            buffer.append(#", "completions": ["#)
            for (index, other) in others.enumerated() {
                buffer.append(index == 0 ? "{" : ", {")
                let answer = other.answer
                buffer.append(answer.ids, count: answer.count, ids: #""output": "#, number: #""output_tokens": "#)
                buffer.append(#", "weight": "#)
                buffer.append(number: other.weight)
                buffer.append("}")
            }
            buffer.append("]")
        }
        buffer.append("}")
    }
}

/// A trace file being written request by request.
public struct TraceOutput: ~Copyable {
    private let file: TraceStagedFile
    private var buffer: TextBuffer
    /// The requests appended.
    public private(set) var count = 0

    /// Makes the directories of `path` if they are missing; the file appears under its name when it is committed.
    public init(for path: String) throws(TraceError) {
        file = try TraceStagedFile(for: path)
        buffer = TextBuffer(to: file.descriptor)
    }

    public mutating func append(_ request: Request) throws(TraceError) {
        TraceWriter.append(request, to: &buffer)
        try countLine()
    }

    /// Appends a request of a log; `blocks` are the names of its blocks, if it has any.
    mutating func append(_ request: LoggedRequest, blocks: borrowing DecimalList) throws(TraceError) {
        TraceWriter.append(request, blocks: blocks, to: &buffer)
        try countLine()
    }

    private mutating func countLine() throws(TraceError) {
        count += 1
        if let code = buffer.failure { throw file.failure(writing: code) }
    }

    /// Brings the file to the disk and gives it its name.
    public consuming func commit() throws(TraceError) {
        buffer.drain()
        if let code = buffer.failure { throw file.failure(writing: code) }
        try file.commit()
    }
}
