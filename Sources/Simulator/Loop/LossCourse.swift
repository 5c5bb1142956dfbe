/// Bytes of records that were given up, or not made, by reason, in equal windows of time. When the windows are used up,
/// neighbours are added up and the width doubles, so that nothing is left out of the sums.
public struct LossCourse: Sendable, Equatable {
    private static let capacity = 4096

    public private(set) var width = SimDuration.milliseconds(100)
    /// Window after window from time zero on, bytes in the order of `LossReason.allCases`.
    public private(set) var windows: [[Int]] = []

    public init() {}

    /// Times may come in any order.
    public mutating func add(_ bytes: Bytes, because reason: LossReason, at time: SimTime) {
        while time.nanoseconds / width.nanoseconds >= Self.capacity { coarsen() }
        let index = Int(time.nanoseconds / width.nanoseconds)
        while windows.count <= index { windows.append([Int](repeating: 0, count: LossReason.allCases.count)) }
        windows[index][reason.rawValue] += bytes.count
    }

    /// All that was lost for a reason.
    public subscript(reason: LossReason) -> Bytes { Bytes(windows.reduce(0) { $0 + $1[reason.rawValue] }) }

    private mutating func coarsen() {
        windows = stride(from: 0, to: windows.count, by: 2).map { first in
            guard first + 1 < windows.count else { return windows[first] }
            return zip(windows[first], windows[first + 1]).map(+)
        }
        width = SimDuration(nanoseconds: width.nanoseconds * 2)
    }
}
