/// Why a text is not JSON.
struct JSONProblem: Error, Equatable {
    /// Bytes before the place where reading stopped.
    var byte: Int
    /// What would have been right there.
    var expected: String
}

/// Reads a whole JSON text (RFC 8259) into values, strictly: valid UTF-8, no key twice in an object, no more than
/// `maxDepth` levels, nothing after the value. Foundation's decoder takes one of two equal keys in silence, and a
/// header that says two things of one tensor must not be read as either.
struct JSONParser {
    /// How deep arrays and objects may nest.
    static let maxDepth = 32

    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    private init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    static func parse(_ bytes: UnsafeRawBufferPointer) throws(JSONProblem) -> JSONValue {
        var parser = JSONParser(bytes)
        let value = try parser.value(depth: 0)
        guard parser.skipSpace() == nil else { throw parser.problem("the end of the text") }
        return value
    }

    private mutating func value(depth: Int) throws(JSONProblem) -> JSONValue {
        guard let first = skipSpace() else { throw problem("a value") }
        switch first {
        case UInt8(ascii: "{"):
            guard depth < Self.maxDepth else { throw problem("at most \(Self.maxDepth) nested levels") }
            return .object(try object(depth: depth))
        case UInt8(ascii: "["):
            guard depth < Self.maxDepth else { throw problem("at most \(Self.maxDepth) nested levels") }
            return .array(try array(depth: depth))
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number(try number())
        default: throw problem("a value")
        }
    }

    private mutating func object(depth: Int) throws(JSONProblem) -> JSONObject {
        var object = JSONObject()
        position += 1
        if skipSpace() == UInt8(ascii: "}") {
            position += 1
            return object
        }
        while true {
            guard skipSpace() == UInt8(ascii: "\"") else { throw problem("a key in double quotes") }
            let start = position
            let key = try string()
            guard skipSpace() == UInt8(ascii: ":") else { throw problem("a colon") }
            position += 1
            guard object.add(key, try value(depth: depth + 1)) else {
                throw JSONProblem(byte: start, expected: "the key `\(key.shown)` once")
            }
            guard try next(or: UInt8(ascii: "}"), "a comma or `}`") else { return object }
        }
    }

    private mutating func array(depth: Int) throws(JSONProblem) -> [JSONValue] {
        var items: [JSONValue] = []
        position += 1
        if skipSpace() == UInt8(ascii: "]") {
            position += 1
            return items
        }
        while true {
            items.append(try value(depth: depth + 1))
            guard try next(or: UInt8(ascii: "]"), "a comma or `]`") else { return items }
        }
    }

    /// Moves past a comma, or past the closing bracket and returns false.
    private mutating func next(or closing: UInt8, _ expected: String) throws(JSONProblem) -> Bool {
        let byte = skipSpace()
        guard byte == UInt8(ascii: ",") || byte == closing else { throw problem(expected) }
        position += 1
        return byte != closing
    }

    private mutating func word(_ text: String, _ value: JSONValue) throws(JSONProblem) -> JSONValue {
        let end = position + text.utf8.count
        guard end <= bytes.count, bytes[position..<end].elementsEqual(text.utf8) else { throw problem("a value") }
        position = end
        return value
    }

    private mutating func number() throws(JSONProblem) -> String {
        let start = position
        if peek == UInt8(ascii: "-") { position += 1 }
        let leading = peek
        let whole = skipDigits()
        guard whole > 0, whole == 1 || leading != UInt8(ascii: "0") else { throw problem("a number") }
        if peek == UInt8(ascii: ".") {
            position += 1
            guard skipDigits() > 0 else { throw problem("a digit") }
        }
        if peek == UInt8(ascii: "e") || peek == UInt8(ascii: "E") {
            position += 1
            if peek == UInt8(ascii: "-") || peek == UInt8(ascii: "+") { position += 1 }
            guard skipDigits() > 0 else { throw problem("a digit") }
        }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    private mutating func skipDigits() -> Int {
        let start = position
        while let byte = peek, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { position += 1 }
        return position - start
    }

    // MARK: Strings

    private mutating func string() throws(JSONProblem) -> String {
        let start = position
        position += 1
        var decoded: [UInt8] = []
        while let byte = peek {
            switch byte {
            case UInt8(ascii: "\""):
                position += 1
                guard let text = String(validating: decoded, as: UTF8.self) else {
                    throw JSONProblem(byte: start, expected: "a string in UTF-8")
                }
                return text
            case UInt8(ascii: "\\"): decoded.append(contentsOf: Character(try escape()).utf8)
            case 0..<0x20: throw problem("no control character within a string")
            default:
                decoded.append(byte)
                position += 1
            }
        }
        throw problem("a closing double quote")
    }

    private mutating func escape() throws(JSONProblem) -> Unicode.Scalar {
        position += 1
        guard let letter = peek else { throw problem("an escape") }
        position += 1
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(letter)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{c}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"):
            let first = try hexadecimal()
            if let scalar = Unicode.Scalar(first) { return scalar }
            // Half of a surrogate pair: the other half must follow.
            guard first < 0xdc00, peek == UInt8(ascii: "\\") else { throw problem("a surrogate pair") }
            position += 1
            guard peek == UInt8(ascii: "u") else { throw problem("a surrogate pair") }
            position += 1
            let second = try hexadecimal()
            guard (0xdc00...0xdfff).contains(second),
                let scalar = Unicode.Scalar(0x10000 + (first - 0xd800) << 10 + (second - 0xdc00))
            else { throw problem("a surrogate pair") }
            return scalar
        default: throw problem("a known escape")
        }
    }

    private mutating func hexadecimal() throws(JSONProblem) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = peek, byte < 0x80, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw problem("four hexadecimal digits")
            }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }

    // MARK: Bytes

    private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

    /// Moves past white space; the byte that stands there, nil at the end.
    private mutating func skipSpace() -> UInt8? {
        while let byte = peek {
            switch byte {
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"), UInt8(ascii: "\n"): position += 1
            default: return byte
            }
        }
        return nil
    }

    private func problem(_ expected: String) -> JSONProblem { JSONProblem(byte: position, expected: expected) }
}
