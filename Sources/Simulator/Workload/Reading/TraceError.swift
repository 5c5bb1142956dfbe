internal import Glibc

/// A mistake in a trace: one line that says where, what was found and what would be right.
public struct TraceError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What is wrong. Text that comes from the file is already fit to be shown.
    public enum Problem: Sendable, Equatable {
        /// A field's value; both phrases put literal values in backquotes.
        case field(String, found: String, expected: String)
        case missing(String, expected: String)
        /// More tokens than the model's context holds; `found` says how many are where.
        case beyondContext(String, found: String, context: Int)
        case repeated(String)
        case unknown(String, nearest: String)
        /// No JSON object of one line; the column counts bytes from 1.
        case malformed(column: Int, found: String, expected: String)
        /// The last line breaks off.
        case truncated
        case notText
        case tooLong(maxBytes: Int)
        case noRequests
        /// Every row of a source was left out.
        case nothingLeft
        /// No format that can be imported has these names.
        case unknownFormat
        /// The program that makes tokens of texts failed.
        case tokenizer(String)
        case isDirectory
        /// A pipe or device, which can be read once only, where a format had to be told first.
        case notSeekable
        /// Compressed content that cannot be unpacked.
        case compression(String)
        /// Something other than a regular file is where a trace should be written.
        case notRegular
        /// A call of the operating system failed with this `errno`.
        case system(action: String, code: Int32)
    }

    public var path: String
    /// From 1; `nil` for what concerns the file as a whole.
    public var line: Int?
    public var problem: Problem

    public init(path: String, line: Int? = nil, problem: Problem) {
        self.path = path
        self.line = line
        self.problem = problem
    }

    /// Whether the file could not be read or written at all, whatever it holds.
    public var isInputOutput: Bool {
        switch problem {
        case .isDirectory, .notRegular, .system: true
        default: false
        }
    }

    public var description: String {
        path.neutralised(limit: .max) + (line.map { ":\($0)" } ?? "") + ": \(problem)"
    }
}

extension TraceError.Problem: CustomStringConvertible {
    public var description: String {
        switch self {
        case .field(let name, let found, let expected): "field `\(name)`: found \(found), expected \(expected)"
        case .beyondContext(let name, let found, let context):
            "field `\(name)`: found \(found), expected at most \(context) in all, the model's context"
        case .missing(let name, let expected): "field `\(name)`: missing, expected \(expected)"
        case .repeated(let name): "field `\(name)`: found twice, expected once"
        case .unknown(let name, let nearest): "field `\(name)`: unknown, the nearest known one is `\(nearest)`"
        case .malformed(let column, let found, let expected): "column \(column): found \(found), expected \(expected)"
        case .truncated: "truncated: the last line breaks off, expected a whole JSON object and a newline"
        case .notText: "found binary content, expected lines of UTF-8 text"
        case .tooLong(let maxBytes):
            "found a line or object longer than \(maxBytes) bytes, the most that are held at a time"
        case .noRequests: "empty: found no requests, expected at least one"
        case .nothingLeft: "found no request that can be kept, expected at least one"
        case .unknownFormat:
            "found no format by the names in it, expected one of "
                + ImportFormat.allCases.map(\.rawValue).joined(separator: ", ") + ", to be said with --format"
        case .tokenizer(let reason): "tokenizer: \(reason)"
        case .isDirectory: "found a directory, expected a file"
        case .notSeekable: "found a pipe or device, which is read once: expected its format said with --format"
        case .compression(let reason): "gzip: found \(reason), expected a whole and undamaged file"
        case .notRegular: "found no regular file to replace, expected the name of one or of none yet"
        case .system(let action, let code): "cannot \(action): \(String(cString: strerror(code)))"
        }
    }
}

extension TraceError.Problem {
    /// What is wrong with a text that is no JSON.
    init(_ error: JSONError, in bytes: UnsafeRawBufferPointer, isTerminated: Bool) {
        if bytes.contains(0) {
            self = .notText
        } else if String(validating: bytes, as: UTF8.self) == nil {
            // A line may break off within a character, of which up to three bytes are left.
            let isCut = (1...3).contains { String(validating: bytes.dropLast($0), as: UTF8.self) != nil }
            self = isCut && !isTerminated ? .truncated : .notText
        } else if !isTerminated {
            self = .truncated
        } else {
            let rest = JSONReader(UnsafeRawBufferPointer(rebasing: bytes[error.offset...]))
            self = .malformed(column: error.offset + 1, found: rest.found, expected: error.expected)
        }
    }
}

extension StringProtocol {
    /// The text fit for a message of one line: control, formatting and unassigned characters written as `\u{1b}`,
    /// and what goes beyond `limit` characters cut.
    func neutralised(limit: Int = 60) -> String {
        var shown = ""
        for (count, scalar) in unicodeScalars.enumerated() {
            guard count < limit else { return shown + "…" }
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned:
                shown += "\\u{\(String(scalar.value, radix: 16))}"
            default: shown.unicodeScalars.append(scalar)
            }
        }
        return shown
    }
}

extension UnsafeRawBufferPointer {
    /// The bytes as text fit for a message, in backquotes.
    var shown: String {
        // Sixty characters take at most 240 bytes; one more shows that there is a rest to cut.
        "`\(String(decoding: prefix(244), as: UTF8.self).neutralised())`"
    }
}
