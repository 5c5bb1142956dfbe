internal import Foundation

/// How many durations there were of each length, told to within a part in 1,024: as many bins for each doubling.
///
/// Bins are exact up to 2,047 ns. The sum is exact, so that the mean is.
public struct DurationHistogram: Sendable, Equatable {
    /// Binary digits of a bin's relative width.
    private static let digits = 10

    /// By bin; as long as the longest duration needs.
    private var counts: [Int64] = []
    public private(set) var count: Int64 = 0
    /// Sum of all durations, in nanoseconds; a double, as a sum of 10^9 durations of seconds would not fit an integer.
    private var whole: Int64 = 0
    private var carried = 0.0

    public init() {}

    /// Sum of all durations, in nanoseconds.
    public var sum: Double { carried + Double(whole) }

    /// Adds `times` durations of one length.
    ///
    /// - Precondition: `duration` is not negative.
    public mutating func add(_ duration: SimDuration, times: Int = 1) {
        let bin = Self.bin(of: duration.nanoseconds)
        if bin >= counts.count { counts += repeatElement(0, count: bin + 1 - counts.count) }
        counts[bin] += Int64(times)
        count += Int64(times)
        let (product, overflow) = duration.nanoseconds.multipliedReportingOverflow(by: Int64(times))
        if overflow {
            carried += Double(duration.nanoseconds) * Double(times)
        } else {
            whole += product
            if whole > 1 << 61 {
                carried += Double(whole)
                whole = 0
            }
        }
    }

    private static func bin(of value: Int64) -> Int {
        precondition(value >= 0, "a duration of \(value) ns")
        let doublings = max(0, 63 - value.leadingZeroBitCount - digits)
        return doublings << digits + Int(value >> Int64(doublings))
    }

    /// The durations of a bin, in nanoseconds.
    private static func range(of bin: Int) -> Range<Int64> {
        let doublings = max(0, bin >> digits - 1)
        let lower = Int64(bin - doublings << digits) << Int64(doublings)
        return lower..<lower + 1 << Int64(doublings)
    }

    /// The bins that are not empty, in ascending order.
    public var bins: [(range: Range<Int64>, count: Int64)] {
        counts.indices.compactMap { counts[$0] > 0 ? (Self.range(of: $0), counts[$0]) : nil }
    }

    /// The bin of the duration at `rank` among all in ascending order, and how many are shorter than its bin's.
    ///
    /// - Precondition: `rank` is one of the durations'.
    func bin(at rank: Int) -> (range: Range<Int64>, below: Int) {
        var below = 0
        for (bin, number) in counts.enumerated() {
            if rank < below + Int(number) { return (Self.range(of: bin), below) }
            below += Int(number)
        }
        preconditionFailure("there is no rank \(rank) among \(count) durations")
    }

    /// The `p`-th percentile in nanoseconds: the value of the sorted durations at rank (n - 1) p / 100, its place within its
    /// bin by proportion; `nil` if there is none.
    public func percentile(_ p: Double) -> Double? {
        guard count > 0 else { return nil }
        let rank = Double(count - 1) * p / 100
        var below = 0.0
        for (bin, number) in counts.enumerated() where number > 0 {
            let range = Self.range(of: bin)
            if rank < below + Double(number) {
                // The values of a bin lie evenly from its first to its last.
                let share = number > 1 ? (rank - below) / Double(number - 1) : 0.5
                return Double(range.lowerBound) + min(1, share) * Double(range.count - 1)
            }
            below += Double(number)
        }
        return nil
    }
}
