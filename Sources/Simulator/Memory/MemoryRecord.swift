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
    public var trainerDevice = TierRecord()
    /// Highest joint level of the bytes that count as training memory, over both devices.
    public var trainingPeak = Bytes.zero

    public init() {}

    public internal(set) subscript(tier: MemoryTier) -> TierRecord {
        get {
            switch tier {
            case .device: device
            case .host: host
            case .trainerDevice: trainerDevice
            }
        }
        _modify {
            switch tier {
            case .device: yield &device
            case .host: yield &host
            case .trainerDevice: yield &trainerDevice
            }
        }
    }
}
