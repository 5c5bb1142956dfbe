internal import Glibc

/// A string of a JSON text: its bytes between the quotes, decoded only when its text is asked for.
package struct JSONString {
    package let bytes: UnsafeRawBufferPointer
    /// Where `bytes` start in the JSON text.
    package let offset: Int
    /// Whether the bytes are ASCII without escapes, and so the text itself.
    package let isPlain: Bool

    /// Whether the text is `name`, which is ASCII.
    package func equals(_ name: StaticString) -> Bool {
        guard isPlain else { return (try? text()) == "\(name)" }
        guard bytes.count == name.utf8CodeUnitCount else { return false }
        guard let start = bytes.baseAddress else { return true }
        return memcmp(start, name.utf8Start, bytes.count) == 0
    }

    /// Whether the text is `name`, in UTF-8.
    func equals(_ name: [UInt8]) -> Bool {
        guard isPlain else { return (try? text()).map { $0.utf8.elementsEqual(name) } ?? false }
        guard bytes.count == name.count, let start = bytes.baseAddress else { return bytes.count == name.count }
        return memcmp(start, name, name.count) == 0
    }

    /// The text, its escapes resolved.
    package func text() throws(JSONError) -> String {
        if isPlain { return String(decoding: bytes, as: UTF8.self) }
        if !bytes.contains(UInt8(ascii: "\\")) {
            guard let text = String(validating: bytes, as: UTF8.self) else {
                throw JSONError(offset: offset, expected: "UTF-8 text")
            }
            return text
        }
        var decoded: [UInt8] = []
        decoded.reserveCapacity(bytes.count)
        var index = 0
        while index < bytes.count {
            // What stands between two escapes is taken over as it is.
            let rest = UnsafeRawBufferPointer(rebasing: bytes[index...])
            let backslash = rest.baseAddress.flatMap { start in
                memchr(start, 0x5c, rest.count).map { UnsafeRawPointer($0) - start }
            }
            decoded.append(contentsOf: UnsafeRawBufferPointer(rebasing: rest.prefix(backslash ?? rest.count)))
            index += backslash ?? rest.count
            guard backslash != nil else { break }
            let character = try escape(at: &index)
            if character.isASCII {
                decoded.append(UInt8(truncatingIfNeeded: character.value))
            } else {
                decoded.append(contentsOf: Character(character).utf8)
            }
        }
        guard let text = String(validating: decoded, as: UTF8.self) else {
            throw JSONError(offset: offset, expected: "UTF-8 text")
        }
        return text
    }

    /// The character of the escape that starts at `index`, which moves past it.
    private func escape(at index: inout Int) throws(JSONError) -> Unicode.Scalar {
        let start = index
        // The reader ends no string right after a backslash, so one byte follows.
        let letter = bytes[index + 1]
        index += 2
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(letter)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{c}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): return try unicodeEscape(at: &index, start: start)
        default: throw JSONError(offset: offset + start, expected: "a known escape")
        }
    }

    /// The character of four hexadecimal digits at `index`, or of a pair of surrogates.
    private func unicodeEscape(at index: inout Int, start: Int) throws(JSONError) -> Unicode.Scalar {
        let first = hexadecimal(at: &index)
        if let first, let scalar = Unicode.Scalar(first) { return scalar }
        if let first, first < 0xdc00, index + 1 < bytes.count, bytes[index] == UInt8(ascii: "\\"),
            bytes[index + 1] == UInt8(ascii: "u")
        {
            index += 2
            if let second = hexadecimal(at: &index), (0xdc00...0xdfff).contains(second),
                let scalar = Unicode.Scalar(0x10000 + (first - 0xd800) << 10 + (second - 0xdc00))
            {
                return scalar
            }
        }
        throw JSONError(offset: offset + start, expected: "four hexadecimal digits of a character or a surrogate pair")
    }

    private func hexadecimal(at index: inout Int) -> UInt32? {
        guard index + 4 <= bytes.count else { return nil }
        var value: UInt32 = 0
        for byte in bytes[index..<index + 4] {
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80 else { return nil }
            value = value << 4 | UInt32(digit)
        }
        index += 4
        return value
    }
}
