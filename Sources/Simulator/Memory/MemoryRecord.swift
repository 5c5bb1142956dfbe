/// Peaks and the course of memory. Arrays are in the order of `MemoryOwner.allCases`.
public struct MemoryRecord: Sendable {
    public struct TierRecord: Sendable {
        public var capacity = Bytes.zero
        /// Highest sum over all owners.
        public var peak = Bytes.zero
        /// Highest level of each owner by itself.
        public var peakByOwner = [Bytes](repeating: .zero, count: MemoryOwner.allCases.count)
        public var series = MemorySeries()

        public init() {}
    }

    public var device = TierRecord()
    public var host = TierRecord()
    /// Highest joint level of the owners that count as training memory, on the device.
    public var trainingPeak = Bytes.zero

    public init() {}
}
