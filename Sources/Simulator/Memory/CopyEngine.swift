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

/// Pieces of one chunk that a transfer moves.
public struct CopyJob: Sendable, Hashable {
    /// The parts of a piece that move on their own: backward needs both, forward of unrecorded tokens only K and V.
    public enum Part: Sendable {
        case activations, kv, all
    }

    public var chunk: ChunkID
    public var layers: Range<Int>
    public var part: Part

    public init(chunk: ChunkID, layers: Range<Int>, part: Part) {
        self.chunk = chunk
        self.layers = layers
        self.part = part
    }

    public init(chunk: ChunkID, layer: Int, part: Part) {
        self.init(chunk: chunk, layers: layer..<layer + 1, part: part)
    }

    /// The lowest layer.
    public var layer: Int { layers.lowerBound }
}

/// What a transfer moves.
public enum CopyWork: Sendable, Hashable {
    /// Pieces of records.
    case pieces([CopyJob])
    /// All K and V of a request that is swapped out or in.
    case sequence(request: Int)
    /// What the trainer's forward pass has kept in one layer.
    case activations(layer: Int)

    /// The lowest layer that it moves, if it does not move all.
    var layer: Int? {
        switch self {
        case .pieces(let jobs): jobs.first?.layer
        case .sequence: nil
        case .activations(let layer): layer
        }
    }
}

/// One direction of the host link: transfers run one after the other, those of sequences before those of records and of the
/// trainer's activations, in the order in which they were asked for. What is under way is not interrupted.
public struct CopyEngine: Sendable {
    /// One transfer.
    public struct Entry: Sendable {
        public var work: CopyWork
        public var bytes: Bytes
        public var queued: SimTime
        /// When what it copies exists.
        public var ready: SimTime

        /// The pieces that it moves, if it moves pieces.
        public var jobs: [CopyJob] { if case .pieces(let jobs) = work { jobs } else { [] } }
    }

    /// What came of asking for the next transfer.
    public enum Start: Sendable {
        /// One is under way, or none is wanted.
        case nothing
        /// The next one can not start before this time.
        case waits(SimTime)
        case started(Entry, SimDuration)
    }

    public let direction: TransferDirection
    /// Bytes per second.
    public let bandwidth: Double
    /// Fixed cost of each transfer.
    public let latency: SimDuration
    /// Pieces of records, and activations of the trainer.
    private var queue = Deque<Entry>()
    /// Sequences, which somebody waits for.
    private var sequences = Deque<Entry>()
    /// The transfer under way.
    public private(set) var current: Entry?

    public init(direction: TransferDirection, bandwidth: Double, latency: SimDuration) {
        self.direction = direction
        self.bandwidth = bandwidth
        self.latency = latency
    }

    public var isIdle: Bool { current == nil && queue.isEmpty && sequences.isEmpty }
    /// Whether a transfer may start when it is next asked for.
    var mayStart: Bool { current == nil && !(queue.isEmpty && sequences.isEmpty) }

    /// - Parameter ready: when what it copies exists; at once if it is not given.
    public mutating func enqueue(_ jobs: [CopyJob], at now: SimTime, ready: SimTime? = nil) {
        queue.append(Entry(work: .pieces(jobs), bytes: .zero, queued: now, ready: ready ?? now))
    }

    /// Queues the copy of what the trainer keeps in a layer. It is always wanted.
    public mutating func enqueue(activationsOf layer: Int, bytes: Bytes, at now: SimTime) {
        queue.append(Entry(work: .activations(layer: layer), bytes: bytes, queued: now, ready: now))
    }

    /// Queues the copy of a request's K and V. It is always wanted.
    public mutating func enqueue(request: Int, bytes: Bytes, at now: SimTime) {
        sequences.append(Entry(work: .sequence(request: request), bytes: bytes, queued: now, ready: now))
    }

    /// Starts the next transfer if the engine is free. What nobody wants any more is left out, and a transfer of nothing
    /// is passed over.
    ///
    /// - Parameter bytes: what a job moves now; zero if it is not wanted.
    /// - Returns: the transfer and how long it takes: `latency + bytes / bandwidth`, rounded up to a nanosecond.
    public mutating func startNext(at now: SimTime, bytes: (CopyJob) -> Bytes) -> Start {
        guard current == nil else { return .nothing }
        if let entry = sequences.popFirst() { return start(entry) }
        while var entry = queue.first {
            guard entry.ready <= now else { return .waits(entry.ready) }
            queue.removeFirst()
            if case .pieces(let jobs) = entry.work {
                let wanted = jobs.filter { job in
                    let moved = bytes(job)
                    entry.bytes += moved
                    return moved > .zero
                }
                guard !wanted.isEmpty else { continue }
                entry.work = .pieces(wanted)
            }
            return start(entry)
        }
        return .nothing
    }

    private mutating func start(_ entry: Entry) -> Start {
        current = entry
        let moving = (Double(entry.bytes.count) * 1e9 / bandwidth).rounded(.up)
        return .started(entry, SimDuration(nanoseconds: latency.nanoseconds + Int64(moving)))
    }

    /// Ends the transfer under way.
    public mutating func finish() -> Entry? {
        defer { current = nil }
        return current
    }
}
