internal import Glibc

/// The JSON objects of a file, one by one: the elements of one array that is the whole file, or objects one after the
/// other, on lines of their own or not. Only one is held in memory.
struct ElementFile: ~Copyable {
    private let path: String
    private let maxBytes: Int
    private var window: ByteWindow
    private var isArray = false
    private var hasBegun = false
    private var hasEnded = false
    private var count = 0
    /// Of the first byte in view.
    private var line = 1
    private var column = 1

    /// One object. The bytes live until the next one is asked for.
    struct Element {
        let bytes: UnsafeRawBufferPointer
        /// Where it starts, both from 1.
        let line: Int
        let column: Int
    }

    init(path: String, maxBytes: Int) throws(TraceError) {
        self.path = path
        self.maxBytes = maxBytes
        window = try ByteWindow(path: path)
    }

    /// The next object, `nil` after the last.
    mutating func next() throws(TraceError) -> Element? {
        guard !hasEnded else { return nil }
        if !hasBegun { try begin() }
        var byte = try skipSpace()
        if isArray {
            if byte == UInt8(ascii: "]") {
                pass(1)
                hasEnded = true
                guard try skipSpace() == nil else { throw malformed("the end of the file") }
                return nil
            }
            if count > 0 {
                guard byte == UInt8(ascii: ",") else { throw byte == nil ? truncated : malformed("a comma or `]`") }
                pass(1)
                byte = try skipSpace()
            }
        } else if byte == nil {
            hasEnded = true
            return nil
        }
        guard let byte else { throw truncated }
        guard byte == UInt8(ascii: "{") else { throw malformed("a JSON object") }
        let length = try objectLength()
        let element = Element(
            bytes: UnsafeRawBufferPointer(rebasing: window.bytes[..<length]), line: line, column: column)
        pass(length)
        count += 1
        return element
    }

    private mutating func begin() throws(TraceError) {
        hasBegun = true
        while window.bytes.count < 3, try window.extend() {}
        if window.bytes.starts(with: [0xef, 0xbb, 0xbf]) { window.advance(by: 3) }
        if try skipSpace() == UInt8(ascii: "[") {
            isArray = true
            pass(1)
        }
    }

    /// Moves past white space; the byte that follows.
    private mutating func skipSpace() throws(TraceError) -> UInt8? {
        while true {
            let bytes = window.bytes
            var index = 0
            while index < bytes.count, bytes[index] == 0x20 || (0x09...0x0d).contains(bytes[index]) { index += 1 }
            pass(index)
            if index < bytes.count { return bytes[index] }
            guard try window.extend() else { return nil }
        }
    }

    /// How many bytes the object that stands here takes: up to the bracket that closes its first one.
    private mutating func objectLength() throws(TraceError) -> Int {
        var index = 0
        var depth = 0
        var isInString = false
        while true {
            let bytes = window.bytes
            while index < bytes.count {
                if isInString {
                    index = PlainText.end(in: bytes, from: index, isASCII: false)
                    guard index < bytes.count else { break }
                    switch bytes[index] {
                    case UInt8(ascii: "\\"): index += 2
                    case UInt8(ascii: "\""):
                        isInString = false
                        index += 1
                    default: index += 1
                    }
                    continue
                }
                let byte = bytes[index]
                index += 1
                switch byte {
                case UInt8(ascii: "\""): isInString = true
                case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
                case UInt8(ascii: "}"), UInt8(ascii: "]"):
                    depth -= 1
                    if depth == 0 { return index }
                default: break
                }
            }
            guard bytes.count <= maxBytes else {
                throw TraceError(path: path, line: line, problem: .tooLong(maxBytes: maxBytes))
            }
            guard try window.extend() else { throw truncated }
        }
    }

    /// Moves past bytes in view and counts their lines.
    private mutating func pass(_ length: Int) {
        let bytes = window.bytes
        var index = 0
        while index < length, let base = bytes.baseAddress, let found = memchr(base + index, 0x0a, length - index) {
            index = UnsafeRawPointer(found) - base + 1
            line += 1
            column = 1
        }
        column += length - index
        window.advance(by: length)
    }

    private var truncated: TraceError { TraceError(path: path, line: line, problem: .truncated) }

    private func malformed(_ expected: String) -> TraceError {
        let found = window.bytes.isEmpty ? "the end of the file" : JSONReader(window.bytes).found
        return TraceError(
            path: path, line: line, problem: .malformed(column: column, found: found, expected: expected))
    }

    /// The error of an object whose bytes are no JSON.
    static func error(_ error: JSONError, in element: Element, of path: String) -> TraceError {
        let before = element.bytes.prefix(error.offset)
        let newlines = before.count { $0 == 0x0a }
        let lastLine = before.lastIndex(of: 0x0a).map { error.offset - $0 - 1 } ?? error.offset + element.column - 1
        var problem = TraceError.Problem(error, in: element.bytes, isTerminated: true)
        if case .malformed(_, let found, let expected) = problem {
            problem = .malformed(column: lastLine + 1, found: found, expected: expected)
        }
        return TraceError(path: path, line: element.line + newlines, problem: problem)
    }
}
