/// A bounded record of memory over time: equal buckets of time that each keep every owner's highest level.
///
/// When the buckets are used up, neighbours are merged and the width doubles, so no peak is ever lost.
public struct MemorySeries: Sendable {
    public static let ownerCount = MemoryOwner.allCases.count

    /// Width of one bucket.
    public private(set) var width = SimDuration.milliseconds(1)
    /// Bucket after bucket, the highest bytes of each owner in it, in the order of `MemoryOwner.allCases`.
    public private(set) var levels: [[Int]] = []
    private let capacity: Int
    private var current = [Int](repeating: 0, count: ownerCount)

    public init(capacity: Int = 4096) {
        precondition(capacity >= 2)
        self.capacity = capacity
    }

    /// Sets the level of one owner from `time` on. Times do not decrease.
    public mutating func record(_ owner: MemoryOwner, bytes: Int, at time: SimTime) {
        extend(to: time)
        current[owner.rawValue] = bytes
        let last = levels.count - 1
        levels[last][owner.rawValue] = max(levels[last][owner.rawValue], bytes)
    }

    private mutating func extend(to time: SimTime) {
        while Int64(capacity) * width.nanoseconds <= time.nanoseconds { coarsen() }
        let index = Int(time.nanoseconds / width.nanoseconds)
        while levels.count <= index { levels.append(current) }
    }

    private mutating func coarsen() {
        levels = stride(from: 0, to: levels.count, by: 2).map { first in
            guard first + 1 < levels.count else { return levels[first] }
            return zip(levels[first], levels[first + 1]).map(max)
        }
        width = SimDuration(nanoseconds: width.nanoseconds * 2)
    }
}
