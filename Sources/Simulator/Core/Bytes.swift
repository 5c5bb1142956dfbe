/// An amount of memory in bytes.
public struct Bytes: Hashable, Comparable, Sendable, CustomStringConvertible {
    public var count: Int

    public init(_ count: Int) { self.count = count }

    public static let zero = Bytes(0)

    public static func < (a: Bytes, b: Bytes) -> Bool { a.count < b.count }
    public static func + (a: Bytes, b: Bytes) -> Bytes { Bytes(a.count + b.count) }
    public static func - (a: Bytes, b: Bytes) -> Bytes { Bytes(a.count - b.count) }
    public static func * (a: Bytes, factor: Int) -> Bytes { Bytes(a.count * factor) }
    public static func += (a: inout Bytes, b: Bytes) { a = a + b }
    public static func -= (a: inout Bytes, b: Bytes) { a = a - b }

    /// Binary units with three significant figures: `1.50 GiB`.
    public var description: String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
        var value = Double(count)
        var unit = 0
        // Bounds are where rounding reaches the next figure: 1023.9 KiB is 1.00 MiB.
        while abs(value) >= (unit == 0 ? 1024 : 1023.5), unit < units.count - 1 {
            value /= 1024
            unit += 1
        }
        if unit == 0 { return "\(count) B" }
        let decimals = abs(value) >= 99.95 ? 0 : abs(value) >= 9.995 ? 1 : 2
        return "\(value.formatted(decimals: decimals)) \(units[unit])"
    }
}

extension Double {
    /// Fixed-point text that does not depend on the locale: `(1.25).formatted(decimals: 1) == "1.3"`.
    public func formatted(decimals: Int) -> String {
        guard isFinite else { return isNaN ? "nan" : self < 0 ? "-inf" : "inf" }
        var scale = 1.0
        for _ in 0..<decimals { scale *= 10 }
        let scaled = (abs(self) * scale).rounded()
        guard scaled < 9e15 else { return "\(self)" }
        let digits = String(Int64(scaled))
        let padded = String(repeating: "0", count: Swift.max(0, decimals + 1 - digits.count)) + digits
        let sign = self < 0 && scaled > 0 ? "-" : ""
        guard decimals > 0 else { return sign + padded }
        return sign + padded.dropLast(decimals) + "." + padded.suffix(decimals)
    }
}
