/// Peaks and the course of memory. Arrays are in the order of `MemoryOwner.allCases`.
public struct MemoryRecord: Sendable {
    public struct TierRecord: Sendable {
        public var capacity = Bytes.zero
        /// Highest sum over all owners.
        public var peak = Bytes.zero
        /// Highest level of each owner by itself.
        public var peakByOwner = [Bytes](repeating: .zero, count: MemoryOwner.allCases.count)
        /// Highest joint level of the owners of KV blocks, which hand them to each other.
        public var kvPeak = Bytes.zero
        public var series = MemorySeries()

        public init() {}
    }

    public var device = TierRecord()
    public var host = TierRecord()
    public var trainerDevice = TierRecord()
    /// Highest joint level of the bytes that count as training memory, over both devices.
    public var trainingPeak = Bytes.zero

    /// What was really held, beside what was booked; empty where there are no real bytes.
    public var arenas: [ArenaPeak] = []

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

/// The most bytes that a backend really held for one purpose, beside the most that the books had for it.
public struct ArenaPeak: Sendable, Equatable {
    public enum Purpose: Int, Sendable, CaseIterable {
        /// KV blocks, whoever holds them: owners `kv`, `recorded_kv` and `cached_kv` together.
        case kvBlocks
        case recorded
        /// Room for pieces that come back from the host is booked as a whole and filled layer by layer: the books are the
        /// larger.
        case staged

        public var name: String {
            switch self {
            case .kvBlocks: "kv_blocks"
            case .recorded: "recorded"
            case .staged: "staged"
            }
        }

        /// Whether what is held equals what is booked, to the byte.
        public var isExact: Bool { self != .staged }
    }

    public var purpose: Purpose
    public var tier: MemoryTier
    public var held: Bytes
    /// Filled in from the books after the run.
    public var booked = Bytes.zero

    public init(_ purpose: Purpose, on tier: MemoryTier, held: Bytes) {
        self.purpose = purpose
        self.tier = tier
        self.held = held
    }
}

extension MemoryRecord {
    /// The most bytes that were booked for a purpose.
    func booked(for purpose: ArenaPeak.Purpose, on tier: MemoryTier) -> Bytes {
        switch purpose {
        case .kvBlocks: self[tier].kvPeak
        case .recorded: self[tier].peakByOwner[MemoryOwner.recorded.rawValue]
        case .staged: self[tier].peakByOwner[MemoryOwner.staged.rawValue]
        }
    }
}
