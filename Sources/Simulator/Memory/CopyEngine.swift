internal import DequeModule

/// Which way a copy goes over the host link.
public enum TransferDirection: Int, Sendable, CaseIterable {
    case toHost, toDevice

    public var name: String {
        switch self {
        case .toHost: "to_host"
        case .toDevice: "to_device"
        }
    }
}

/// What a copy moves.
public struct CopyJob: Sendable, Hashable {
    /// The parts of a piece that move on their own: backward needs both, forward of unrecorded tokens only K and V.
    public enum Part: Sendable {
        case activations, kv, all
    }

    public var chunk: ChunkID
    public var layer: Int
    public var part: Part

    public init(chunk: ChunkID, layer: Int, part: Part) {
        self.chunk = chunk
        self.layer = layer
        self.part = part
    }
}

/// What a copy engine works on.
public enum CopyWork: Sendable, Hashable {
    case piece(CopyJob)
    /// All K and V of a request that is swapped out or in.
    case sequence(request: Int)
}

/// One direction of the host link: copies run one after the other, in the order in which they were asked for.
public struct CopyEngine: Sendable {
    public struct Entry: Sendable {
        public var work: CopyWork
        public var bytes: Bytes
        public var queued: SimTime

        /// The piece that is copied, if it is one.
        public var job: CopyJob? { if case .piece(let job) = work { job } else { nil } }
    }

    public let direction: TransferDirection
    /// Bytes per second.
    public let bandwidth: Double
    /// Fixed cost of each copy.
    public let latency: SimDuration
    private var queue = Deque<Entry>()
    /// The copy under way.
    public private(set) var current: Entry?

    public init(direction: TransferDirection, bandwidth: Double, latency: SimDuration) {
        self.direction = direction
        self.bandwidth = bandwidth
        self.latency = latency
    }

    public var isIdle: Bool { current == nil && queue.isEmpty }

    public mutating func enqueue(_ job: CopyJob, bytes: Bytes, at now: SimTime) {
        queue.append(Entry(work: .piece(job), bytes: bytes, queued: now))
    }

    /// Queues the copy of a request's K and V. It is always wanted.
    public mutating func enqueue(request: Int, bytes: Bytes, at now: SimTime) {
        queue.append(Entry(work: .sequence(request: request), bytes: bytes, queued: now))
    }

    /// Starts the next copy if the engine is free. Copies that nobody wants any more are passed over.
    ///
    /// - Returns: the copy and how long it takes: `latency + bytes / bandwidth`, rounded up to a nanosecond.
    public mutating func startNext(wanted: (CopyJob) -> Bool) -> (entry: Entry, duration: SimDuration)? {
        guard current == nil else { return nil }
        while let entry = queue.popFirst() {
            if let job = entry.job, !wanted(job) { continue }
            current = entry
            let moving = (Double(entry.bytes.count) * 1e9 / bandwidth).rounded(.up)
            return (entry, SimDuration(nanoseconds: latency.nanoseconds + Int64(moving)))
        }
        return nil
    }

    /// Ends the copy under way.
    public mutating func finish() -> Entry? {
        defer { current = nil }
        return current
    }
}
