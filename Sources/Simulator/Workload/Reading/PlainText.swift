/// Finds where the plain part of a JSON string ends, eight bytes at a time.
enum PlainText {
    private static let ones: UInt64 = 0x0101_0101_0101_0101
    private static let highs: UInt64 = 0x8080_8080_8080_8080

    /// The first byte from `index` on that is a quote, a backslash or a control character, or with `isASCII` no ASCII;
    /// the end if there is none.
    @inline(__always)
    static func end(in bytes: UnsafeRawBufferPointer, from index: Int, isASCII: Bool) -> Int {
        var index = index
        if let base = bytes.baseAddress {
            while index + 8 <= bytes.count {
                let word = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: index, as: UInt64.self))
                // A byte's highest bit is set where it is a match. Borrows may set others, behind the first match only.
                let control = (word &- ones &* 0x20) & ~word
                let quote = zeros(word ^ ones &* 0x22)
                let backslash = zeros(word ^ ones &* 0x5c)
                let found = (control | quote | backslash | (isASCII ? word : 0)) & highs
                if found != 0 { return index + found.trailingZeroBitCount >> 3 }
                index += 8
            }
        }
        while index < bytes.count {
            let byte = bytes[index]
            if byte < 0x20 || byte == 0x22 || byte == 0x5c || isASCII && byte >= 0x80 { return index }
            index += 1
        }
        return index
    }

    @inline(__always)
    private static func zeros(_ word: UInt64) -> UInt64 { (word &- ones) & ~word }
}
