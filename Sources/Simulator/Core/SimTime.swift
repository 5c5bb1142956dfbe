/// A point in virtual time: nanoseconds since the start of the simulation.
///
/// Sixty-three bits hold 292 years. Arithmetic traps on overflow; readers reject what would get there.
public struct SimTime: Hashable, Comparable, Sendable, CustomStringConvertible {
    public var nanoseconds: Int64

    public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    public static let zero = SimTime(nanoseconds: 0)

    public var seconds: Double { Double(nanoseconds) * 1e-9 }

    public static func < (a: SimTime, b: SimTime) -> Bool { a.nanoseconds < b.nanoseconds }
    public static func + (time: SimTime, duration: SimDuration) -> SimTime {
        SimTime(nanoseconds: time.nanoseconds + duration.nanoseconds)
    }
    public static func - (later: SimTime, earlier: SimTime) -> SimDuration {
        SimDuration(nanoseconds: later.nanoseconds - earlier.nanoseconds)
    }

    public var description: String { "\(seconds) s" }
}

/// A length of virtual time in nanoseconds.
public struct SimDuration: Hashable, Comparable, Sendable, CustomStringConvertible {
    public var nanoseconds: Int64

    public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    /// The nearest whole number of nanoseconds, or `nil` if `seconds` is not finite or does not fit.
    public init?(seconds: Double) {
        guard let nanoseconds = Int64(exactly: (seconds * 1e9).rounded()) else { return nil }
        self.nanoseconds = nanoseconds
    }

    public static let zero = SimDuration(nanoseconds: 0)

    public static func milliseconds(_ value: Int64) -> SimDuration { SimDuration(nanoseconds: value * 1_000_000) }

    public var seconds: Double { Double(nanoseconds) * 1e-9 }

    public static func < (a: SimDuration, b: SimDuration) -> Bool { a.nanoseconds < b.nanoseconds }
    public static func + (a: SimDuration, b: SimDuration) -> SimDuration {
        SimDuration(nanoseconds: a.nanoseconds + b.nanoseconds)
    }
    public static func - (a: SimDuration, b: SimDuration) -> SimDuration {
        SimDuration(nanoseconds: a.nanoseconds - b.nanoseconds)
    }
    public static func * (a: SimDuration, count: Int) -> SimDuration {
        SimDuration(nanoseconds: a.nanoseconds * Int64(count))
    }
    public static func += (a: inout SimDuration, b: SimDuration) { a = a + b }

    public var description: String { "\(seconds) s" }
}
