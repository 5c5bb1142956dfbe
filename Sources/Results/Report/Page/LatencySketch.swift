/// Durations counted in buckets of at most 1/256 of their own size: of any number of them, the distribution in little room.
package struct LatencySketch {
    private static let fine = 256
    private var counts: [Int]
    package private(set) var total = 0
    private(set) var lowest = Int64.max
    private(set) var highest: Int64 = 0

    package init() { counts = Array(repeating: 0, count: 57 * Self.fine) }

    /// - Parameter value: nanoseconds; less than none counts as none.
    package mutating func add(_ value: Int64, times: Int = 1) {
        let value = max(value, 0)
        counts[Self.bucket(of: value)] += times
        total += times
        lowest = min(lowest, value)
        highest = max(highest, value)
    }

    /// The duration in seconds that a share of them does not exceed; nil if there are none.
    package func quantile(_ share: Double) -> Double? { quantiles([share]).first }

    /// The same for shares in growing order.
    package func quantiles(_ shares: [Double]) -> [Double] {
        guard total > 0 else { return [] }
        var result: [Double] = []
        var below = 0
        var bucket = 0
        for share in shares {
            let rank = min(Int((share * Double(total - 1)).rounded()), total - 1)
            while below + counts[bucket] <= rank {
                below += counts[bucket]
                bucket += 1
            }
            let value = min(max(Self.middle(of: bucket), lowest), highest)
            result.append(Double(value) / 1e9)
        }
        return result
    }

    /// Below `fine` every value has its bucket; above, every power of two has `fine` of them.
    private static func bucket(of value: Int64) -> Int {
        guard value >= fine else { return Int(value) }
        let shift = 63 - value.leadingZeroBitCount - 8
        return (shift + 1) * fine + Int(value >> Int64(shift)) - fine
    }

    private static func middle(of bucket: Int) -> Int64 {
        guard bucket >= fine else { return Int64(bucket) }
        let shift = Int64(bucket / fine - 1)
        let start = Int64(bucket % fine + fine) << shift
        return start + (shift > 0 ? 1 << (shift - 1) : 0)
    }
}
