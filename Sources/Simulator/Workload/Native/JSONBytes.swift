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
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
            if value < 0 { append(UInt8(ascii: "-")) }
            let count = digits.write(decimal: UInt64(value.magnitude), at: 0)
            append(contentsOf: UnsafeBufferPointer(rebasing: digits[..<count]))
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

    mutating func append(array numbers: [some FixedWidthInteger], separator: StaticString = ", ") {
        append(UInt8(ascii: "["))
        // Put together piece by piece: a call to the array for every number would take as long as its digits.
        let piece = 256
        for start in stride(from: 0, to: numbers.count, by: piece) {
            let end = Swift.min(start + piece, numbers.count)
            withUnsafeTemporaryAllocation(of: UInt8.self, capacity: (end - start) * 24) { text in
                var count = 0
                for index in start..<end {
                    if index > 0 {
                        for place in 0..<separator.utf8CodeUnitCount {
                            text[count] = separator.utf8Start[place]
                            count += 1
                        }
                    }
                    // None is negative: ids and names of blocks.
                    count += text.write(decimal: UInt64(truncatingIfNeeded: numbers[index]), at: count)
                }
                append(contentsOf: UnsafeBufferPointer(rebasing: text[..<count]))
            }
        }
        append(UInt8(ascii: "]"))
    }
}

extension UnsafeMutableBufferPointer<UInt8> {
    /// Writes a number's digits from `start` on; how many.
    func write(decimal value: UInt64, at start: Int) -> Int {
        var count = 1
        var bound: UInt64 = 10
        while count < 20, value >= bound {
            count += 1
            bound = bound &* 10
            if count == 20 { break }
        }
        var rest = value
        var place = start + count
        while place > start {
            place -= 1
            self[place] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
        return count
    }
}
