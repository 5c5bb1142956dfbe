extension Int64 {
    /// Nanoseconds as seconds in plain decimals, all that count and no more: `1.5`, `0.000000001`, `12`.
    var decimalSeconds: String {
        var bytes: [UInt8] = []
        bytes.append(seconds: self)
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// JSON text put together byte by byte: numbers are what traces are made of, and strings of them are slow to build.
extension [UInt8] {
    mutating func append(_ text: StaticString) {
        append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    mutating func append(decimal value: some FixedWidthInteger) {
        var rest = value.magnitude
        if value < 0 { append(UInt8(ascii: "-")) }
        if rest < 10 { return append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest)) }
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
            var first = 20
            while rest > 0 {
                let (quotient, digit) = rest.quotientAndRemainder(dividingBy: 10)
                first -= 1
                digits[first] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: digit)
                rest = quotient
            }
            append(contentsOf: UnsafeBufferPointer(rebasing: digits[first...]))
        }
    }

    mutating func append(seconds nanoseconds: Int64) {
        let whole = nanoseconds.magnitude / 1_000_000_000
        var rest = nanoseconds.magnitude % 1_000_000_000
        if nanoseconds < 0 { append(UInt8(ascii: "-")) }
        append(decimal: whole)
        guard rest != 0 else { return }
        append(UInt8(ascii: "."))
        var scale: UInt64 = 100_000_000
        while rest > 0 {
            append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest / scale))
            rest %= scale
            scale /= 10
        }
    }

    /// A JSON string: quotes, backslashes and control characters escaped, everything else as it is.
    mutating func append(quoted text: String) {
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

    /// The ids under one name if there are any, else how many there would be under the other.
    mutating func append(_ tokens: [Int32]?, count: Int, ids: StaticString, number: StaticString) {
        if let tokens {
            append(ids)
            append(array: tokens)
        } else {
            append(number)
            append(decimal: count)
        }
    }

    mutating func append(array numbers: [some FixedWidthInteger]) {
        append(UInt8(ascii: "["))
        for index in numbers.indices {
            if index > 0 { append(", ") }
            append(decimal: numbers[index])
        }
        append(UInt8(ascii: "]"))
    }
}
