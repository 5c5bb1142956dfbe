internal import Simulator

/// Figures as people read them: three significant digits or so, a unit that fits, and no locale.
enum Figure {
    static let absent = "-"

    /// `12.3 ms`.
    static func duration(_ seconds: Double) -> String {
        let units: [(String, Double)] = [("s", 1), ("ms", 1e-3), ("us", 1e-6)]
        let (unit, scale) = units.first { abs(seconds) >= 0.9995 * $0.1 } ?? ("ns", 1e-9)
        if seconds == 0 { return "0 s" }
        return number(seconds / scale) + " " + unit
    }

    /// `+1.20 ms`, `-310 us`.
    static func change(_ seconds: Double) -> String { (seconds > 0 ? "+" : "") + duration(seconds) }

    static func bytes(_ count: Double) -> String {
        Int(exactly: count.rounded()).map { Bytes($0).description } ?? number(count) + " B"
    }

    /// Three significant digits, and every digit before the point: `0.0123`, `12.3`, `12345`. Small ones as `1.23e-6`.
    static func number(_ value: Double) -> String {
        let size = abs(value)
        guard value.isFinite, size != 0 else { return value.formatted(decimals: 0) }
        if size < 1e-3 {
            var (mantissa, exponent) = (value, 0)
            while abs(mantissa) < 0.9995 { (mantissa, exponent) = (mantissa * 10, exponent - 1) }
            return mantissa.formatted(decimals: 2) + "e\(exponent)"
        }
        var (decimals, limit) = (0, 99.95)
        while size < limit { (decimals, limit) = (decimals + 1, limit / 10) }
        return value.formatted(decimals: decimals)
    }

    static func count(_ value: Double) -> String { value.formatted(decimals: 0) }
    static func factor(_ value: Double) -> String { value.formatted(decimals: 3) + "x" }
    static func percent(_ value: Double) -> String { (value * 100).formatted(decimals: 1) + " %" }
    static func rate(_ unit: String) -> (Double) -> String {
        { number($0) + " " + unit + "/s" }
    }
}
