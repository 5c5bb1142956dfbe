/// One row of a table: what its columns say, as far as they could be read.
struct TableRow {
    /// Nanoseconds, from whatever the source counts from.
    var arrival: Int64?
    var promptTokens = 0
    var outputTokens = 0
    /// How many blocks its prompt has; `TableFile.blocks` has their names.
    var blockCount: Int?
}

/// Values of a table as text, in a CSV field or a JSON value.
enum TableValue {
    /// A whole number from 0 to the longest count; a fraction of zeros, as tables of floats have, does not count.
    static func count(_ text: UnsafeRawBufferPointer) -> Int? {
        guard let number = JSONDecimal(text), number.isWhole, let value = number.scaled(byPowerOfTen: 0),
            0...Int64(TraceLimits.maxCount) ~= value
        else { return nil }
        return Int(value)
    }

    /// A time in nanoseconds.
    static func time(_ text: UnsafeRawBufferPointer, _ unit: ColumnMap.TimeUnit) -> Int64? {
        unit == .date ? date(text) : JSONDecimal(text)?.scaled(byPowerOfTen: unit.exponent)
    }

    /// Nanoseconds since 1970 of `2023-11-16 18:15:46.6805900`, with a `T` between or not, and a zone or not.
    static func date(_ text: UnsafeRawBufferPointer) -> Int64? {
        var index = 0
        func number(_ digits: Int, in range: ClosedRange<Int>) -> Int? {
            guard index + digits <= text.count else { return nil }
            var value = 0
            for byte in text[index..<index + digits] {
                guard let digit = byte.decimalDigit else { return nil }
                value = value * 10 + digit
            }
            index += digits
            return range.contains(value) ? value : nil
        }
        func passed(_ bytes: StaticString) -> Bool {
            guard index < text.count,
                UnsafeBufferPointer(start: bytes.utf8Start, count: bytes.utf8CodeUnitCount).contains(text[index])
            else { return false }
            index += 1
            return true
        }
        guard let year = number(4, in: 1970...2200), passed("-"), let month = number(2, in: 1...12), passed("-"),
            let day = number(2, in: 1...daysIn(month: month, of: year)), passed(" T"),
            let hour = number(2, in: 0...23), passed(":"),
            let minute = number(2, in: 0...59), passed(":"), let second = number(2, in: 0...60)
        else { return nil }
        var fraction: Int64 = 0
        if passed(".") {
            var scale: Int64 = 100_000_000
            let first = index
            while index < text.count, let digit = text[index].decimalDigit {
                fraction += Int64(digit) * scale
                scale /= 10
                index += 1
            }
            guard index > first else { return nil }
        }
        var offset = 0
        if !passed("Zz"), index < text.count {
            let isWest = text[index] == UInt8(ascii: "-")
            guard passed("+-"), let hours = number(2, in: 0...14) else { return nil }
            _ = passed(":")
            var minutes = 0
            if index < text.count {
                guard let written = number(2, in: 0...59) else { return nil }
                minutes = written
            }
            offset = (isWest ? -60 : 60) * (hours * 60 + minutes)
        }
        guard index == text.count else { return nil }
        let seconds = days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset
        return Int64(seconds) * 1_000_000_000 + fraction
    }

    private static func daysIn(month: Int, of year: Int) -> Int {
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        return [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]
    }

    /// Days from 1 January 1970 in the Gregorian calendar.
    private static func days(_ year: Int, _ month: Int, _ day: Int) -> Int {
        let before = year - 1
        var days =
            365 * (year - 1970) + (before / 4 - before / 100 + before / 400) - (1969 / 4 - 1969 / 100 + 1969 / 400)
        days += (1..<month).reduce(0) { $0 + daysIn(month: $1, of: year) }
        return days + day - 1
    }
}
