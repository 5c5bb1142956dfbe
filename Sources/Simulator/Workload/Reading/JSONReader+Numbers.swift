extension JSONReader {
    /// Reads an integer written with digits only; `nil` for anything else: fractions, exponents (`3.0` and `3e0`
    /// too), leading zeros, numbers beyond 64 bits.
    package mutating func integer() -> Int? {
        skipSpace()
        if let base = bytes.baseAddress, bytes.count - position > 8 {
            // What most integers are; all else is looked at below.
            let word = LeadingDigits(at: base + position)
            let following = bytes[position + word.count]
            if 1...7 ~= word.count, !word.beginsWithZero || word.count == 1,
                following == UInt8(ascii: ",") || following == UInt8(ascii: "}") || following == UInt8(ascii: "]")
            {
                position += word.count
                return word.number
            }
        }
        var index = position
        let isNegative = index < bytes.count && bytes[index] == UInt8(ascii: "-")
        if isNegative { index += 1 }
        let firstDigit = index
        var value = 0
        while index < bytes.count, let digit = bytes[index].decimalDigit {
            let (tens, overflowed) = value.multipliedReportingOverflow(by: 10)
            let (sum, exceeded) = tens.addingReportingOverflow(digit)
            guard !overflowed, !exceeded else { return nil }
            value = sum
            index += 1
        }
        let hasLeadingZero = index - firstDigit > 1 && bytes[firstDigit] == UInt8(ascii: "0")
        guard index > firstDigit, !hasLeadingZero, index == bytes.count || !bytes[index].isWordByte else { return nil }
        position = index
        return isNegative ? -value : value
    }

    /// Reads the elements of the array just entered, behind those that `values` holds already: whole numbers from 0 to
    /// `limit`, written with digits only. True once the array is left; false before an element that is none.
    ///
    /// A loop of its own because arrays of ids are nearly all bytes of a large trace.
    package mutating func wholeNumbers<Number: FixedWidthInteger>(
        upTo limit: Int, into values: inout [Number]
    ) throws(JSONError) -> Bool {
        // The checked path takes the first element, and whatever the fast one below does not understand.
        while try nextElement() {
            skipSpace()
            let element = position
            guard let value = integer(), value >= 0, value <= limit else {
                position = element
                return false
            }
            values.append(Number(truncatingIfNeeded: value))
            appendRow(upTo: limit, to: &values)
        }
        return true
    }

    /// Reads the elements of the array just entered, behind those that `list` holds already, as text: whole numbers from
    /// 0, written with digits only. True once the array is left; false before an element that is none.
    mutating func wholeNumbers(into list: inout DecimalList) throws(JSONError) -> Bool {
        while try nextElement() {
            skipSpace()
            let element = position
            guard let value = integer(), value >= 0 else {
                position = element
                return false
            }
            list.append(value)
            position = list.appendRow(of: bytes, from: position)
        }
        return true
    }

    /// Appends the whole numbers that follow here, each after a comma, as far as each is a plain one within the array;
    /// moves behind the last of them.
    private mutating func appendRow<Number: FixedWidthInteger>(upTo limit: Int, to values: inout [Number]) {
        guard let base = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
        let end = base + bytes.count
        var next = base + position
        while next < end, next.pointee == UInt8(ascii: ",") {
            next += 1
            while next < end, next.pointee == UInt8(ascii: " ") { next += 1 }
            let first = next
            var value = 0
            if end - next >= 8 {
                let word = LeadingDigits(at: next)
                value = word.number
                next += word.count
            }
            while next < end {
                let digit = next.pointee &- 0x30
                guard digit <= 9 else { break }
                value = value &* 10 &+ Int(digit)
                next += 1
            }
            let digits = next - first
            guard digits > 0, digits <= 18, value <= limit, next < end, first.pointee != 0x30 || digits == 1,
                next.pointee == UInt8(ascii: ",") || next.pointee == UInt8(ascii: "]")
            else { return }
            values.append(Number(truncatingIfNeeded: value))
            position = next - base
        }
    }

    /// Reads a number as the nearest double; `nil` if no number is here or it is not finite as one.
    package mutating func number() -> Double? {
        skipSpace()
        let word = bareWord()
        guard JSONDecimal(word) != nil, let value = Double(String(decoding: word, as: UTF8.self)), value.isFinite else {
            return nil
        }
        position += word.count
        return value
    }

    /// Reads a number of seconds as the nearest nanosecond, halves away from zero, from the decimal digits and not
    /// through a binary fraction, so that 19 digits survive; `nil` if no number is here or it does not fit 64 bits.
    package mutating func nanoseconds() -> Int64? {
        skipSpace()
        let word = bareWord()
        guard let number = JSONDecimal(word), let nanoseconds = number.scaled(byPowerOfTen: 9) else { return nil }
        position += word.count
        return nanoseconds
    }
}

extension UnsafeRawBufferPointer {
    /// Whether the bytes are `true`, `false`, `null` or a number.
    var isJSONScalar: Bool {
        elementsEqual("true".utf8) || elementsEqual("false".utf8) || elementsEqual("null".utf8)
            || JSONDecimal(self) != nil
    }
}

/// The parts of a JSON number, unrounded.
struct JSONDecimal {
    private let isNegative: Bool
    /// The digits before the point and those after it.
    private let whole: UnsafeRawBufferPointer
    private let fraction: UnsafeRawBufferPointer
    /// The power of ten the digits are multiplied by, kept within a million million.
    private let exponent: Int

    /// Takes `text` apart, or returns `nil` if it is not a number by JSON's grammar.
    init?(_ text: UnsafeRawBufferPointer) {
        var index = 0
        func digits() -> UnsafeRawBufferPointer {
            let start = index
            while index < text.count, text[index].decimalDigit != nil { index += 1 }
            return UnsafeRawBufferPointer(rebasing: text[start..<index])
        }
        func passed(_ a: UInt8, or b: UInt8) -> Bool {
            guard index < text.count, text[index] == a || text[index] == b else { return false }
            index += 1
            return true
        }

        isNegative = passed(UInt8(ascii: "-"), or: UInt8(ascii: "-"))
        whole = digits()
        guard !whole.isEmpty, whole.count == 1 || whole[0] != UInt8(ascii: "0") else { return nil }
        if passed(UInt8(ascii: "."), or: UInt8(ascii: ".")) {
            fraction = digits()
            guard !fraction.isEmpty else { return nil }
        } else {
            fraction = UnsafeRawBufferPointer(start: nil, count: 0)
        }
        var power = 0
        if passed(UInt8(ascii: "e"), or: UInt8(ascii: "E")) {
            let isDivided = index < text.count && text[index] == UInt8(ascii: "-")
            _ = passed(UInt8(ascii: "+"), or: UInt8(ascii: "-"))
            let written = digits()
            guard !written.isEmpty else { return nil }
            for byte in written { power = min(power * 10 + (byte.decimalDigit ?? 0), 1_000_000_000_000) }
            if isDivided { power = -power }
        }
        exponent = power
        guard index == text.count else { return nil }
    }

    /// Whether it is written without an exponent and with no digit but zeros after the point.
    var isWhole: Bool { exponent == 0 && fraction.allSatisfy { $0 == UInt8(ascii: "0") } }

    /// The number times ten to `power`, rounded to the nearest integer, halves away from zero; `nil` beyond 64 bits.
    func scaled(byPowerOfTen power: Int) -> Int64? {
        /// How many of the digits, from the first, stand before the point of the result.
        let kept = whole.count + exponent + power
        var value: Int64 = 0
        func append(_ digit: Int) -> Bool {
            let (tens, overflowed) = value.multipliedReportingOverflow(by: 10)
            let (sum, exceeded) = tens.addingReportingOverflow(Int64(digit))
            value = sum
            return !overflowed && !exceeded
        }

        var index = 0
        for part in [whole, fraction] {
            for byte in part.prefix(max(0, kept - index)) {
                guard append(byte.decimalDigit ?? 0) else { return nil }
                index += 1
            }
        }
        if kept > index, value != 0 {
            for _ in index..<kept { guard append(0) else { return nil } }
        }
        if kept >= 0, kept < whole.count + fraction.count {
            let next = kept < whole.count ? whole[kept] : fraction[kept - whole.count]
            if next >= UInt8(ascii: "5") {
                guard value < .max else { return nil }
                value += 1
            }
        }
        return isNegative ? -value : value
    }
}
