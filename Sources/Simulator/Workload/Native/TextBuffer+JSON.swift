/// JSON text.
extension TextBuffer {
    mutating func append(decimal value: Int) {
        append(atMost: 21) {
            if value < 0 { $0.put(UInt8(ascii: "-")) }
            $0.put(decimal: UInt64(value.magnitude))
        }
    }

    mutating func append(seconds nanoseconds: Int64) { append(atMost: 24) { $0.put(seconds: nanoseconds) } }

    /// As its description is written.
    mutating func append(number: Double) {
        var text = "\(number)"
        text.withUTF8 { append(UnsafeRawBufferPointer($0)) }
    }

    /// A JSON string: quotes, backslashes and control characters escaped, everything else as it is.
    mutating func append(quoted text: String) {
        append("\"")
        for byte in text.utf8 {
            append(atMost: 6) {
                switch byte {
                case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                    $0.put(UInt8(ascii: "\\"))
                    $0.put(byte)
                case 0..<0x20:
                    $0.put("\\u00")
                    $0.put(UInt8(ascii: "0") + byte >> 4)
                    $0.put(byte & 15 < 10 ? UInt8(ascii: "0") + byte & 15 : UInt8(ascii: "a") + (byte & 15) - 10)
                default: $0.put(byte)
                }
            }
        }
        append("\"")
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

    /// Numbers that are not negative: ids and names of blocks.
    mutating func append(array numbers: [some FixedWidthInteger], isSpaced: Bool = true) {
        append("[")
        numbers.withUnsafeBufferPointer { numbers in
            let piece = 512
            for start in stride(from: 0, to: numbers.count, by: piece) {
                let end = min(start + piece, numbers.count)
                append(atMost: (end - start) * 22) {
                    for index in start..<end {
                        if index > 0 {
                            $0.put(UInt8(ascii: ","))
                            if isSpaced { $0.put(UInt8(ascii: " ")) }
                        }
                        $0.put(decimal: UInt64(truncatingIfNeeded: numbers[index]))
                    }
                }
            }
        }
        append("]")
    }
}
