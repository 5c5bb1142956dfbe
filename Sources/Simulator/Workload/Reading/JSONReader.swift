/// Why a text is not JSON: where reading stopped, and what would have been right there.
package struct JSONError: Error, Equatable {
    /// Bytes from the start of the text.
    package var offset: Int
    package var expected: String
}

/// A cursor over the bytes of one JSON text: a single pass, no tree, no allocation but for the strings asked for.
///
/// The caller says what it expects next. A reading function returns `nil` without moving if something else stands
/// there, and throws if what stands there is no JSON. Strict where RFC 8259 leaves a choice: no control characters
/// or invalid UTF-8 in strings, no unpaired surrogates, and in skipped values no repeated keys and no more than
/// `maxDepth` levels. The bytes must outlive the reader and every `JSONString` it hands out.
package struct JSONReader {
    /// How deep `skipValue` follows nested arrays and objects.
    package static let maxDepth = 32

    package let bytes: UnsafeRawBufferPointer
    package var position = 0
    /// Whether an array or object was entered and its first element has not been asked for.
    private var isAtFirst = false

    package init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    // MARK: Structure

    /// Enters the object that stands here, or returns false.
    package mutating func enterObject() -> Bool { enter(UInt8(ascii: "{")) }

    /// Enters the array that stands here, or returns false.
    package mutating func enterArray() -> Bool { enter(UInt8(ascii: "[")) }

    /// Moves to the value of the next member and returns its key; `nil` once the object is left.
    package mutating func nextKey() throws(JSONError) -> JSONString? {
        guard try next(closing: UInt8(ascii: "}"), expected: "a comma or `}`") else { return nil }
        guard let key = try string() else { throw error("a field's name in double quotes") }
        guard skipSpace() == UInt8(ascii: ":") else { throw error("a colon") }
        position += 1
        return key
    }

    /// Moves to the next element; false once the array is left.
    package mutating func nextElement() throws(JSONError) -> Bool {
        try next(closing: UInt8(ascii: "]"), expected: "a comma or `]`")
    }

    /// Checks that nothing but white space is left.
    package mutating func finish() throws(JSONError) {
        guard skipSpace() == nil else { throw error("the end of the line") }
    }

    private mutating func enter(_ bracket: UInt8) -> Bool {
        guard skipSpace() == bracket else { return false }
        position += 1
        isAtFirst = true
        return true
    }

    private mutating func next(closing: UInt8, expected: String) throws(JSONError) -> Bool {
        let byte = skipSpace()
        defer { isAtFirst = false }
        if byte == closing {
            position += 1
            return false
        }
        if !isAtFirst {
            guard byte == UInt8(ascii: ",") else { throw error(expected) }
            position += 1
        }
        return true
    }

    /// Reads the object that stands here for the names of its members.
    package mutating func memberNames() throws(JSONError) -> [String] {
        guard enterObject() else { throw error("a JSON object") }
        var names: [String] = []
        while let key = try nextKey() {
            names.append(try key.text())
            try skipValue()
        }
        return names
    }

    // MARK: Values

    /// Reads `null`, or returns false.
    package mutating func null() -> Bool {
        skipSpace()
        let word = bareWord()
        guard word.elementsEqual("null".utf8) else { return false }
        position += word.count
        return true
    }

    /// Reads a string, or returns `nil` if there is none here. Escapes are checked when its text is asked for.
    package mutating func string() throws(JSONError) -> JSONString? {
        guard skipSpace() == UInt8(ascii: "\"") else { return nil }
        let start = position + 1
        var index = start
        var isPlain = true
        while true {
            index = PlainText.end(in: bytes, from: index, isASCII: isPlain)
            guard index < bytes.count else { break }
            switch bytes[index] {
            case UInt8(ascii: "\""):
                position = index + 1
                let content = UnsafeRawBufferPointer(rebasing: bytes[start..<index])
                return JSONString(bytes: content, offset: start, isPlain: isPlain)
            case UInt8(ascii: "\\"):
                isPlain = false
                index += 2
            case 0x80...:
                isPlain = false
                index += 1
            default:
                position = index
                throw error("no control character within a string")
            }
        }
        position = bytes.count
        throw error("a closing double quote")
    }

    /// Passes over one value of any kind and returns its bytes.
    @discardableResult
    package mutating func skipValue(depth: Int = 0) throws(JSONError) -> UnsafeRawBufferPointer {
        skipSpace()
        let start = position
        guard depth < Self.maxDepth else { throw error("at most \(Self.maxDepth) nested arrays and objects") }
        if enterObject() {
            var keys: Set<String> = []
            while let key = try nextKey() {
                guard keys.insert(try key.text()).inserted else {
                    throw JSONError(offset: key.offset, expected: "no repeated field")
                }
                try skipValue(depth: depth + 1)
            }
        } else if enterArray() {
            while try nextElement() { try skipValue(depth: depth + 1) }
        } else if let string = try string() {
            if !string.isPlain { _ = try string.text() }
        } else {
            let word = bareWord()
            guard !word.isEmpty else { throw error("a value") }
            guard word.isJSONScalar else { throw error("a value") }
            position += word.count
        }
        return UnsafeRawBufferPointer(rebasing: bytes[start..<position])
    }

    // MARK: Bytes

    /// Moves past white space; the byte that stands there, `nil` at the end.
    @discardableResult
    package mutating func skipSpace() -> UInt8? {
        while position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"), UInt8(ascii: "\n"): position += 1
            case let byte: return byte
            }
        }
        return nil
    }

    /// The letters, digits, signs and points that stand here: a number, `true`, `null`, or a mistake such as `NaN`.
    package func bareWord() -> UnsafeRawBufferPointer {
        var end = position
        while end < bytes.count, bytes[end].isWordByte { end += 1 }
        return UnsafeRawBufferPointer(rebasing: bytes[position..<end])
    }

    /// How a message shows what stands here.
    var found: String {
        let word = bareWord()
        guard word.isEmpty else { return word.shown }
        let first = String(decoding: bytes[position...].prefix(4), as: UTF8.self).prefix(1)
        return first.isEmpty ? "the end of the line" : "`\(first.neutralised())`"
    }

    package func error(_ expected: String) -> JSONError { JSONError(offset: position, expected: expected) }
}

extension UInt8 {
    /// Whether the byte may stand in a number or a bare word.
    var isWordByte: Bool {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."),
            UInt8(ascii: "_"):
            true
        default: false
        }
    }

    /// The value of a decimal digit.
    var decimalDigit: Int? {
        let value = Int(self) - 0x30
        return value >= 0 && value <= 9 ? value : nil
    }
}
