/// Tokens of a request by the reason for which they have no record that was trained on.
public struct LostTokens: Sendable, Equatable {
    private var counts = SIMD16<Int32>()

    public init() {}

    public subscript(reason: LossReason) -> Int {
        get { Int(counts[reason.rawValue]) }
        set { counts[reason.rawValue] = Int32(clamping: newValue) }
    }

    /// Those lost for want of memory or of the link's bandwidth.
    public var dropped: Int { LossReason.allCases.reduce(0) { $0 + ($1.isWant ? self[$1] : 0) } }
}

/// What recording cost over a whole arm, beside what requests, iterations and transfers tell.
public struct RecordingTotals: Sendable, Equatable {
    /// Bytes of records that were not made, or given up, for want of memory or of the link's bandwidth.
    public private(set) var droppedBytes = Bytes.zero
    /// When records were given up, or not made, and why.
    public private(set) var lost = LossCourse()
    /// Bytes that training found on the device beside their copy on the host, and so did not reload.
    public var hedgedBytes = Bytes.zero
    /// Time in which the next request in line could have been admitted but for the device memory that records held.
    public var admissionStall = SimDuration.zero

    public init() {}

    public mutating func lose(_ bytes: Bytes, because reason: LossReason, at time: SimTime) {
        lost.add(bytes, because: reason, at: time)
        if reason.isWant { droppedBytes += bytes }
    }
}
