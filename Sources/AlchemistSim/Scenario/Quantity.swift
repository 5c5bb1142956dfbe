internal import Foundation
internal import Results
internal import Simulator

/// Why a text is not a value: what would be right.
struct ValueProblem: Error {
    let expected: String
}

/// Reads and writes the values of scenario fields. Text is the same on every machine and in every locale.
enum Quantity {
    static func integer(_ text: String, in range: ClosedRange<Int>) throws(ValueProblem) -> Int {
        guard let value = Int(text), range.contains(value) else {
            throw ValueProblem(expected: "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    static func number(_ text: String, in range: ClosedRange<Double>) throws(ValueProblem) -> Double {
        guard let value = Double(text), value.isFinite, range.contains(value) else {
            throw ValueProblem(expected: "a number from \(short(range.lowerBound)) to \(short(range.upperBound))")
        }
        return value
    }

    static func flag(_ text: String) throws(ValueProblem) -> Bool {
        switch text {
        case "true": return true
        case "false": return false
        default: throw ValueProblem(expected: "true or false")
        }
    }

    static func choice<Choice: RawRepresentable & CaseIterable>(_ text: String) throws(ValueProblem) -> Choice
    where Choice.RawValue == String {
        guard let value = Choice(rawValue: text) else {
            throw ValueProblem(expected: "one of " + Choice.allCases.map(\.rawValue).joined(separator: ", "))
        }
        return value
    }

    // MARK: Units

    private static let byteUnits: [(String, Double)] = [
        ("TiB", 0x1p40), ("GiB", 0x1p30), ("MiB", 0x1p20), ("KiB", 0x1p10), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6),
        ("kB", 1e3), ("B", 1), ("", 1),
    ]
    private static let timeUnits: [(String, Double)] = [("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("s", 1)]

    /// Bytes below which a number needs its unit: whoever writes 22 means something larger.
    private static let leastBare = 4096

    /// A number of bytes, as `4GiB`, `1.5 GB` or `4096`.
    static func bytes(_ text: String) throws(ValueProblem) -> Bytes {
        if let number = Double(text), number > 0, number < Double(leastBare) {
            let plain = text.trimmed
            throw ValueProblem(
                expected: "an amount of memory with its unit, such as \(plain)GiB (or \(plain)B for so few bytes)")
        }
        let isCount = Double(text.hasSuffix("B") ? String(text.dropLast()).trimmed : text) != nil
        // Fractions of a unit need not be whole bytes: 0.1GiB is the nearest number of them.
        guard let value = scaled(text, byteUnits), value >= 0, value < 0x1p62, !isCount || value == value.rounded()
        else {
            throw ValueProblem(expected: "an amount of memory such as 4GiB, 1.5GB or 4096")
        }
        return Bytes(Int(value.rounded()))
    }

    /// Bytes per second, as `25GB/s`.
    static func bandwidth(_ text: String) throws(ValueProblem) -> Double {
        guard text.hasSuffix("/s"), let value = scaled(String(text.dropLast(2)), byteUnits), value >= 1, value < 1e18
        else {
            throw ValueProblem(expected: "a bandwidth such as 25GB/s or 64GiB/s")
        }
        return value
    }

    /// A length of time, as `10ms` or `2s`.
    static func duration(_ text: String, atLeast least: SimDuration = .zero) throws(ValueProblem) -> SimDuration {
        guard let seconds = scaled(text, timeUnits), let value = SimDuration(seconds: seconds), value >= least,
            seconds < 1e9
        else {
            let lower = least > .zero ? " of at least \(write(least))" : ""
            throw ValueProblem(expected: "a time\(lower) such as 10ms or 2s")
        }
        return value
    }

    /// A share, as `0.1`, or a length of time, as `60s`.
    static func span(_ text: String) throws(ValueProblem) -> MetricsWindow.Span {
        if let share = Double(text), (0...1).contains(share) { return .share(share) }
        // A bare number other than a share is no time: which unit would it have?
        guard Double(text) == nil, let time = try? duration(text) else {
            throw ValueProblem(expected: "a share from 0 to 1 such as 0.1, or a time such as 60s")
        }
        return .time(time)
    }

    static func write(_ span: MetricsWindow.Span) -> String {
        switch span {
        case .share(let share): short(share)
        case .time(let time): write(time)
        }
    }

    private static func scaled(_ text: String, _ units: [(String, Double)]) -> Double? {
        for (unit, scale) in units where text.hasSuffix(unit) {
            let digits = text.dropLast(unit.count).trimmingCharacters(in: .whitespaces)
            if let value = Double(digits), value.isFinite { return value * scale }
        }
        return nil
    }

    // MARK: Writing

    static func write(_ bytes: Bytes) -> String {
        for (unit, scale) in byteUnits.prefix(4) where bytes.count > 0 && bytes.count % Int(scale) == 0 {
            return "\(bytes.count / Int(scale))\(unit)"
        }
        return "\(bytes.count)B"
    }

    static func write(bandwidth: Double) -> String {
        bandwidth >= 1e9 ? "\(short(bandwidth / 1e9))GB/s" : "\(short(bandwidth))B/s"
    }

    static func write(_ duration: SimDuration) -> String {
        for (unit, scale) in [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)] as [(String, Int64)]
        where duration.nanoseconds % scale == 0 {
            return "\(duration.nanoseconds / scale)\(unit)"
        }
        return "\(duration.nanoseconds)ns"
    }

    /// The shortest text that reads back as the same number; whole numbers without a fraction.
    static func short(_ value: Double) -> String {
        value == value.rounded() && abs(value) < 1e15 ? "\(Int(value))" : "\(value)"
    }
}
