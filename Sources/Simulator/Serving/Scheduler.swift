internal import HeapModule

/// Continuous batching over paged KV: who is served in the next iteration, who is admitted, and who gives way.
///
/// Sequences have a rank, by `ServingConfiguration.admission`. Within each kind of work (`BatchPolicy`) an iteration
/// serves them in the order of rank, and requests are admitted in that order while their prompts fit. Blocks are taken
/// as tokens are computed. Where none is left, cached ones give way, then records (the caller decides which), then the
/// sequence of the last rank; so the first in rank always goes on.
///
/// An iteration is planned in steps: `beginIteration`, then `plan` until it has planned all there is. Whenever it is
/// short of blocks, the caller makes room, or calls `preemptLast` or `passOver`; when the first in line does not fit, the
/// caller makes room or calls `closeAdmission`. Then `takeSlices` is the iteration.
public struct Scheduler: Sendable {
    /// How far planning has come.
    public enum Progress: Sendable, Equatable {
        case planned
        /// A running sequence needs so many blocks that are not there.
        case short(blocks: Int)
        /// The first in line does not fit: so many blocks would have to be available.
        case full(blocks: Int)
    }

    /// A sequence that has given its blocks up.
    public struct Preemption: Sendable, Equatable {
        public var request: Int
        /// Positions that have to be prefilled again; zero for one that is swapped.
        public var lostTokens: Int
        /// Blocks that are copied to the host.
        public var swappedBlocks: Int
    }

    /// A request that takes blocks for the first time, or finds more in the prefix cache than when it did before.
    public struct Admission: Sendable, Equatable {
        public var request: Int
        public var isFirst: Bool
        /// Tokens found in the prefix cache.
        public var cachedTokens: Int
        /// Records that exist of prompt tokens that were found and had never been in the cache for it.
        public var linked: [RecordReference]
        /// Such tokens without a record.
        public var unlinkedTokens: Int
    }

    struct Waiting: Comparable, Sendable {
        let rank: Rank
        let slot: Int

        static func < (a: Waiting, b: Waiting) -> Bool { a.rank < b.rank }
    }

    public let configuration: ServingConfiguration
    let prefixes: PrefixHashes?
    /// Sequences by slot; slots are used again.
    var sequences: [Sequence] = []
    private var unusedSlots: [Int] = []
    /// Slots by request, or -1.
    private var slots: [Int32] = []
    var waiting = Heap<Waiting>()
    /// Slots of the admitted sequences, first in rank first.
    var running: [Int] = []
    private var arrivals = 0
    /// Blocks that running sequences still need for what they prefill.
    var promised = 0
    /// Blocks of sequences that are on their way to the host.
    var leavingBlocks = 0
    /// Admissions since the last call of `takeAdmissions`.
    var admissions: [Admission] = []

    // The iteration that is being planned.
    var slices: [ServingSlice] = []
    var budget = 0
    var isSecond = false
    var cursor = 0
    var hasPreempted = false
    var isClosed = false
    /// Slots of running sequences that were short of blocks and have not got them yet. Until then nobody is admitted, or
    /// those who gave way could take the blocks back before these have had their turn.
    var starving: Set<Int> = []

    /// - Parameter prefixes: what blocks hold, where they are to be found again.
    public init(configuration: ServingConfiguration, prefixes: PrefixHashes? = nil) {
        self.configuration = configuration
        self.prefixes = prefixes
    }

    public var waitingCount: Int { waiting.count }
    /// Those of the waiting that have never been admitted.
    public private(set) var newcomerCount = 0
    public var runningCount: Int { running.count }
    public var isEmpty: Bool { waiting.isEmpty && running.isEmpty }

    /// Every sequence that has arrived and is not finished.
    package var liveSequences: [Sequence] {
        running.map { sequences[$0] } + waiting.unordered.map { sequences[$0.slot] }
    }

    /// Oldest version of the weights among the K and V of all sequences.
    public var oldestKV: Int? {
        var oldest = Int.max
        for slot in running { oldest = min(oldest, sequences[slot].oldestKV ?? .max) }
        for entry in waiting.unordered { oldest = min(oldest, sequences[entry.slot].oldestKV ?? .max) }
        return oldest == .max ? nil : oldest
    }

    /// Slots of the waiting sequences, first in line first; `nil` when there are more than `count`.
    func waitingInOrder(atMost count: Int) -> [Int]? {
        waiting.count <= count ? waiting.unordered.sorted().map(\.slot) : nil
    }

    // MARK: Arrivals

    /// A request has arrived.
    ///
    /// - Parameter onPrefixHit: what becomes of prompt tokens that the prefix cache has, if the request is recorded.
    public mutating func enqueue(
        request: Int, promptTokens: Int, outputTokens: Int, priority: Int = 0,
        onPrefixHit: RecordingConfiguration.PrefixHit? = nil
    ) {
        let rank = configuration.admission.rank(priority: priority, arrival: arrivals)
        arrivals += 1
        newcomerCount += 1
        let sequence = Sequence(
            request: request, promptTokens: promptTokens, outputTokens: outputTokens, rank: rank,
            onPrefixHit: onPrefixHit)
        let slot: Int
        if let unused = unusedSlots.popLast() {
            slot = unused
            sequences[slot] = sequence
        } else {
            slot = sequences.count
            sequences.append(sequence)
        }
        if request >= slots.count {
            slots += repeatElement(-1, count: max(request + 1, 2 * slots.count) - slots.count)
        }
        slots[request] = Int32(slot)
        waiting.insert(Waiting(rank: rank, slot: slot))
    }

    func slot(of request: Int) -> Int? {
        guard slots.indices.contains(request), slots[request] >= 0 else { return nil }
        return Int(slots[request])
    }

    /// The sequence of a request that has arrived and is not finished.
    public func sequence(of request: Int) -> Sequence? { slot(of: request).map { sequences[$0] } }

    /// A sequence is admitted, for the first time or again.
    mutating func noteTurn(of slot: Int) {
        guard sequences[slot].isNew else { return }
        sequences[slot].isNew = false
        newcomerCount -= 1
    }

    public mutating func takeAdmissions() -> [Admission] {
        defer { admissions.removeAll(keepingCapacity: true) }
        return admissions
    }

    // MARK: Progress

    /// Notes that a request's next output token is there; returns when the one before was.
    public mutating func noteToken(of request: Int, at now: SimTime) -> SimTime? {
        guard let slot = slot(of: request) else { return nil }
        defer { sequences[slot].lastToken = now }
        return sequences[slot].lastToken
    }

    /// Books a finished iteration and returns the sequences that it finished, which no longer run.
    public mutating func complete(_ iteration: ServingIteration, _ memory: inout MemorySystem) -> [Sequence] {
        var finished: [Sequence] = []
        for slice in iteration.slices {
            guard let slot = slot(of: slice.request) else { continue }
            Law.require(slice.tokens.lowerBound == sequences[slot].computed, "a slice that skips positions")
            sequences[slot].computed = slice.tokens.upperBound
            sequences[slot].oldestKV = min(sequences[slot].oldestKV ?? iteration.version, iteration.version)
            if slice.isPrefill {
                let seen = min(slice.tokens.upperBound, sequences[slot].promptTokens)
                sequences[slot].seen = max(sequences[slot].seen, seen)
            }
            if sequences[slot].hashes != nil { register(slot, version: iteration.version, &memory) }
            guard slice.emitsToken else { continue }
            sequences[slot].generated += 1
            if sequences[slot].isFinished { finished.append(sequences[slot]) }
        }
        guard !finished.isEmpty else { return finished }
        running.removeAll { sequences[$0].isFinished }
        for sequence in finished {
            if let slot = slot(of: sequence.request) {
                promised -= sequences[slot].promised
                if !starving.isEmpty { starving.remove(slot) }
                sequences[slot].kvBlocks = []
                sequences[slot].hashes = nil
                unusedSlots.append(slot)
            }
            slots[sequence.request] = -1
        }
        return finished
    }

    /// Lets the prefix cache know the blocks that have become full.
    mutating func register(_ slot: Int, version: Int, _ memory: inout MemorySystem) {
        let full = sequences[slot].computed / memory.kv.blockTokens
        guard full > sequences[slot].registered, let hashes = sequences[slot].hashes else { return }
        let oldest = sequences[slot].oldestKV ?? version
        // Without sharing across versions only what one version made throughout, and is served now, can be found.
        let isCurrent = memory.cacheScope.version.map { $0 == version && $0 == oldest } ?? true
        if isCurrent {
            for block in sequences[slot].registered..<full {
                memory.register(
                    sequences[slot].kvBlocks[block], as: hashes[block], oldestVersion: oldest,
                    replaces: sequences[slot].onPrefixHit == .reprefill)
            }
        }
        sequences[slot].registered = full
    }
}
