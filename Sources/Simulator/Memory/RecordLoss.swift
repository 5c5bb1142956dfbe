/// Why recorded tokens, or tokens that should have been recorded, have to be computed again.
public enum LossReason: Int, Sendable, CaseIterable {
    /// The device had no room, and no copy to the host was under way that would have made some.
    case deviceFull
    /// The device had no room because copies to the host had not been made yet: the link is too slow.
    case link
    /// The host tier had no room for the copy.
    case hostFull
    /// The host tier gave the record up for a newer one, or for a sequence that was swapped out.
    case evicted
    /// No feedback came in time.
    case expired
    /// Made by weights that are too old, or trained on by an arm that reuses nothing.
    case stale
    /// The user edited the answer that was recorded.
    case edited
    /// The prefix cache had their K and V, but there was no record of them to refer to.
    case unlinked
    /// Serving did not record because requests waited.
    case paused

    public var name: String {
        switch self {
        case .deviceFull: "device_full"
        case .link: "link"
        case .hostFull: "host_full"
        case .evicted: "evicted"
        case .expired: "expired"
        case .stale: "stale"
        case .edited: "edited"
        case .unlinked: "unlinked"
        case .paused: "paused"
        }
    }

    /// Whether it comes with bytes: of records that were given up or found no room. Else there was none to begin with.
    public var isOfRecords: Bool {
        switch self {
        case .deviceFull, .link, .hostFull, .evicted, .expired, .stale, .edited: true
        case .unlinked, .paused: false
        }
    }

    /// Whether it was for want of memory or of the link's bandwidth: what a better policy could have kept.
    public var isWant: Bool {
        switch self {
        case .deviceFull, .link, .hostFull, .evicted: true
        case .expired, .stale, .edited, .unlinked, .paused: false
        }
    }
}

/// A record that was given up.
public struct RecordLoss: Sendable, Equatable {
    /// The request that it was made for.
    public var request: Int
    public var tokens: Int
    public var bytes: Bytes
    public var reason: LossReason
}
