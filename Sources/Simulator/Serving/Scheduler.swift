internal import HeapModule

/// Continuous batching over paged KV: who is served in the next iteration, who is admitted, and who gives way.
///
/// Sequences have a rank, by `ServingConfiguration.admission`. Within each kind of work (`BatchPolicy`) an iteration
/// serves them in the order of rank, and requests are admitted in that order while their prompts fit. Blocks are taken
/// as tokens are computed. Where none is left, cached ones give way, then records (the caller decides which), then the
/// sequence of the last rank; so the first in rank always goes on.
///
/// An iteration is planned in steps: `beginIteration`, then `plan` until it has planned all there is, with
/// `preemptLast` or room made by the caller whenever it is short of blocks; then `slices` is the iteration.
public struct Scheduler: Sendable {
    /// How far planning has come.
    public enum Progress: Sendable, Equatable {
        case planned
        /// A running sequence needs so many blocks that are not there.
        case short(blocks: Int)
        /// Nothing runs, and the first in line does not fit.
        case stuck(blocks: Int)
    }

    /// A sequence that has given its blocks up.
    public struct Preemption: Sendable, Equatable {
        public var request: Int
        /// Positions that have to be prefilled again; zero for one that is swapped.
        public var lostTokens: Int
        /// Blocks that are copied to the host.
        public var swappedBlocks: Int
    }

    /// A request that takes blocks for the first time.
    public struct Admission: Sendable, Equatable {
        public var request: Int
        /// Prompt tokens found in the prefix cache.
        public var cachedTokens: Int
    }

    private struct Waiting: Comparable, Sendable {
        let rank: Rank
        let slot: Int

        static func < (a: Waiting, b: Waiting) -> Bool { a.rank < b.rank }
    }

    public let configuration: ServingConfiguration
    let prefixes: PrefixHashes?
    /// Sequences by slot; slots are used again.
    private(set) var sequences: [Sequence] = []
    private var unusedSlots: [Int] = []
    /// Slots by request, or -1.
    private var slots: [Int32] = []
    private var waiting = Heap<Waiting>()
    /// Slots of the admitted sequences, first in rank first.
    private(set) var running: [Int] = []
    private var arrivals = 0
    /// Blocks that running sequences still need for what they prefill.
    private var promised = 0
    /// Blocks of sequences that are on their way to the host.
    private var leavingBlocks = 0
    /// Requests admitted for the first time since the last call of `takeAdmissions`.
    private var admissions: [Admission] = []

    // The iteration that is being planned.
    public private(set) var slices: [ServingSlice] = []
    private var budget = 0
    private var isSecond = false
    private var cursor = 0
    private var hasPreempted = false

    /// - Parameter prefixes: what blocks hold, where they are to be found again.
    public init(configuration: ServingConfiguration, prefixes: PrefixHashes? = nil) {
        self.configuration = configuration
        self.prefixes = prefixes
    }

    public var waitingCount: Int { waiting.count }
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
    public mutating func enqueue(request: Int, promptTokens: Int, outputTokens: Int, priority: Int = 0) {
        let rank = configuration.admission.rank(priority: priority, arrival: arrivals)
        arrivals += 1
        let sequence = Sequence(request: request, promptTokens: promptTokens, outputTokens: outputTokens, rank: rank)
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

    private func slot(of request: Int) -> Int? {
        guard slots.indices.contains(request), slots[request] >= 0 else { return nil }
        return Int(slots[request])
    }

    /// The sequence of a request that has arrived and is not finished.
    public func sequence(of request: Int) -> Sequence? { slot(of: request).map { sequences[$0] } }

    public mutating func takeAdmissions() -> [Admission] {
        defer { admissions.removeAll(keepingCapacity: true) }
        return admissions
    }

    // MARK: Planning

    public mutating func beginIteration() {
        slices = []
        slices.reserveCapacity(running.count + 1)
        budget = configuration.tokenBudget
        isSecond = false
        cursor = 0
        hasPreempted = false
    }

    /// Goes on planning; blocks come from `memory`.
    public mutating func plan(_ memory: inout MemorySystem) -> Progress {
        let order = configuration.policy.order
        while true {
            let progress =
                switch isSecond ? order.second : order.first {
                case .decode: planDecoding(&memory)
                case .prefill: planPrefill(&memory)
                }
            guard progress == .planned, !isSecond, configuration.policy.mixes || slices.isEmpty else { return progress }
            isSecond = true
            cursor = 0
        }
    }

    private mutating func planDecoding(_ memory: inout MemorySystem) -> Progress {
        while cursor < running.count, budget > 0 {
            let slot = running[cursor]
            let computed = sequences[slot].computed
            if sequences[slot].state == .running, computed >= sequences[slot].prefillEnd {
                if sequences[slot].kvBlocks.count * memory.kv.blockTokens <= computed {
                    guard extend(slot, by: 1, &memory) else { return .short(blocks: 1) }
                }
                slices.append(
                    ServingSlice(
                        request: sequences[slot].request, tokens: computed..<computed + 1, isPrefill: false,
                        emitsToken: true))
                budget -= 1
            }
            cursor += 1
        }
        return .planned
    }

    private mutating func planPrefill(_ memory: inout MemorySystem) -> Progress {
        while cursor < running.count, budget > 0 {
            let slot = running[cursor]
            if sequences[slot].state == .running, sequences[slot].isPrefilling {
                let progress = planChunk(slot, &memory)
                guard progress == .planned else { return progress }
            }
            cursor += 1
        }
        // Who has just given way does not come back in the same iteration, nor does anybody pass ahead.
        while budget > 0, !hasPreempted, running.count < configuration.maxBatch, let next = waiting.min {
            guard admit(next.slot, &memory) else {
                guard running.isEmpty, sequences[next.slot].state != .leaving else { return .planned }
                return .stuck(blocks: blocksToAdmit(next.slot, memory))
            }
            if sequences[next.slot].state == .running {
                let progress = planChunk(next.slot, &memory)
                guard progress == .planned else { return progress }
            }
            // Those that were there have had their turn, wherever the newcomer's rank puts it among them.
            cursor = running.count
        }
        return .planned
    }

    /// The next chunk of a sequence that prefills.
    private mutating func planChunk(_ slot: Int, _ memory: inout MemorySystem) -> Progress {
        let computed = sequences[slot].computed
        let seen = sequences[slot].seen
        var end = min(sequences[slot].prefillEnd, computed + budget)
        // What was prefilled before and what was not are chunks of their own: only the latter are recorded.
        if computed < seen, seen < sequences[slot].promptTokens { end = min(end, seen) }
        let missing = memory.kv.blockCount(for: end) - sequences[slot].kvBlocks.count
        if missing > 0 {
            guard extend(slot, by: missing, &memory) else { return .short(blocks: missing) }
        }
        slices.append(
            ServingSlice(
                request: sequences[slot].request, tokens: computed..<end, isPrefill: true,
                emitsToken: end == sequences[slot].prefillEnd))
        budget -= end - computed
        return .planned
    }

    private mutating func extend(_ slot: Int, by count: Int, _ memory: inout MemorySystem) -> Bool {
        guard memory.extend(sequences[slot].request, &sequences[slot].kvBlocks, by: count) else { return false }
        let kept = min(sequences[slot].promised, count)
        sequences[slot].promised -= kept
        promised -= kept
        return true
    }

    // MARK: Admission

    /// Blocks that a waiting sequence needs without what the prefix cache may have.
    private func blocksToAdmit(_ slot: Int, _ memory: MemorySystem) -> Int {
        memory.kv.blockCount(for: max(sequences[slot].prefillEnd, sequences[slot].computed))
    }

    private func fits(_ blocks: Int, beside taken: Int, _ memory: MemorySystem) -> Bool {
        let left = memory.kv.available(memory.ledger) - taken - promised - blocks
        guard !running.isEmpty, memory.kv.capacity < .max else { return left >= 0 }
        return left >= Int(configuration.kvWatermark * Double(memory.kv.capacity))
    }

    /// Admits the first in line if its prompt fits; its blocks come as it is computed.
    private mutating func admit(_ slot: Int, _ memory: inout MemorySystem) -> Bool {
        switch sequences[slot].state {
        case .leaving, .running, .returning: return false
        case .onHost:
            let blocks = sequences[slot].hostBlocks
            let whole = max(blocks, memory.kv.blockCount(for: sequences[slot].prefillEnd))
            guard fits(whole, beside: 0, memory) else { return false }
            let request = sequences[slot].request
            guard memory.swapIn(request, blocks: blocks, to: &sequences[slot].kvBlocks, at: memory.ledger.now) else {
                return false
            }
            sequences[slot].state = .returning
            promise(slot, whole - blocks)
        case .waiting:
            guard takePrefix(slot, &memory) else { return false }
            sequences[slot].state = .running
            promise(slot, memory.kv.blockCount(for: sequences[slot].prefillEnd) - sequences[slot].kvBlocks.count)
        }
        _ = waiting.popMin()
        let rank = sequences[slot].rank
        var place = running.count
        while place > 0, rank < sequences[running[place - 1]].rank { place -= 1 }
        running.insert(slot, at: place)
        return true
    }

    private mutating func promise(_ slot: Int, _ blocks: Int) {
        sequences[slot].promised = blocks
        promised += blocks
    }

    /// Takes the blocks that the prefix cache has of a sequence; false, with nothing changed, when the rest of what it
    /// prefills does not fit.
    ///
    /// The last token is always computed. When the cache has its block, too, the sequence gets a copy to write it in.
    private mutating func takePrefix(_ slot: Int, _ memory: inout MemorySystem) -> Bool {
        let end = sequences[slot].prefillEnd
        let needed = memory.kv.blockCount(for: end)
        var hits = knownBlocks(of: slot, memory)
        var copied: Int?
        if hits.count * memory.kv.blockTokens == end {
            copied = hits.popLast()
            if memory.kv.blockTokens == 1 { copied = nil }
        }
        let idle = hits.count { memory.kv.isIdle($0) }
        if let id = copied, !fits(needed - hits.count, beside: idle + (memory.kv.isIdle(id) ? 1 : 0), memory) {
            copied = nil
        }
        guard fits(needed - hits.count, beside: idle, memory) else { return false }
        let request = sequences[slot].request
        if !hits.isEmpty {
            memory.share(hits, with: request, &sequences[slot].kvBlocks)
            sequences[slot].computed = hits.count * memory.kv.blockTokens
            sequences[slot].registered = hits.count
        }
        if let id = copied,
            memory.copy(id, tokens: memory.kv.blockTokens - 1, for: request, &sequences[slot].kvBlocks)
        {
            sequences[slot].computed = end - 1
            hits.append(id)
        }
        sequences[slot].oldestKV = hits.map { memory.kv.cache.oldestVersion(of: $0) }.min()
        if sequences[slot].generated == 0, sequences[slot].seen == 0 {
            admissions.append(Admission(request: request, cachedTokens: sequences[slot].computed))
        }
        sequences[slot].seen = max(sequences[slot].seen, min(sequences[slot].computed, sequences[slot].promptTokens))
        return true
    }

    /// The blocks that the prefix cache has of what a sequence prefills, from the first on.
    private mutating func knownBlocks(of slot: Int, _ memory: MemorySystem) -> [Int] {
        guard let prefixes else { return [] }
        let hashes = sequences[slot].hashes ?? prefixes.hashes(of: sequences[slot].request)
        sequences[slot].hashes = hashes
        var known: [Int] = []
        for hash in hashes.prefix(sequences[slot].prefillEnd / memory.kv.blockTokens) {
            guard let id = memory.kv.cache.block(for: hash.keyed(by: memory.cacheScope)) else { break }
            known.append(id)
        }
        return known
    }

    // MARK: Preemption

    /// Whether so many blocks are on their way to the host, and need only be waited for.
    public func blocksAreComing(_ blocks: Int) -> Bool { leavingBlocks > 0 && leavingBlocks >= blocks }

    /// Has the sequence of the last rank give way to the one that is short of `blocks`; where there is none, or where
    /// enough blocks are on their way out, that one is passed over in this iteration.
    public mutating func preemptLast(for blocks: Int, _ memory: inout MemorySystem) -> Preemption? {
        guard !blocksAreComing(blocks),
            let place = running.lastIndex(where: { sequences[$0].state == .running }), place > 0
        else {
            cursor += 1
            return nil
        }
        return preempt(running[place], at: place, &memory)
    }

    private mutating func preempt(_ slot: Int, at place: Int, _ memory: inout MemorySystem) -> Preemption {
        hasPreempted = true
        running.remove(at: place)
        if place < cursor { cursor -= 1 }
        let request = sequences[slot].request
        if let planned = slices.lastIndex(where: { $0.request == request }) {
            budget += slices[planned].tokens.count
            slices.remove(at: planned)
        }
        promised -= sequences[slot].promised
        sequences[slot].promised = 0
        // Only blocks that hold something are worth a copy.
        let used = memory.kv.blockCount(for: sequences[slot].computed)
        let isSwapped =
            configuration.preemption == .swap && used > 0
            && memory.swapOut(request, blocks: sequences[slot].kvBlocks, at: memory.ledger.now)
        var preemption = Preemption(request: request, lostTokens: 0, swappedBlocks: 0)
        if isSwapped {
            sequences[slot].state = .leaving
            sequences[slot].hostBlocks = sequences[slot].kvBlocks.count
            preemption.swappedBlocks = sequences[slot].hostBlocks
            leavingBlocks += preemption.swappedBlocks
        } else {
            preemption.lostTokens = sequences[slot].computed
            sequences[slot].state = .waiting
            memory.closeRequest(request, blocks: sequences[slot].kvBlocks)
            sequences[slot].kvBlocks = []
            sequences[slot].computed = 0
            sequences[slot].registered = 0
            sequences[slot].oldestKV = nil
            sequences[slot].prefillEnd = sequences[slot].promptTokens + sequences[slot].generated
        }
        waiting.insert(Waiting(rank: sequences[slot].rank, slot: slot))
        return preemption
    }

    /// The copy of a sequence's blocks to the host, or back, is done.
    public mutating func finishSwap(of request: Int, _ direction: TransferDirection, _ memory: inout MemorySystem) {
        guard let slot = slot(of: request) else { return }
        let blocks = sequences[slot].hostBlocks
        switch direction {
        case .toHost:
            memory.swappedOut(request, blocks: sequences[slot].kvBlocks)
            sequences[slot].kvBlocks = []
            sequences[slot].state = .onHost
            leavingBlocks -= blocks
        case .toDevice:
            memory.swappedIn(request, blocks: blocks)
            sequences[slot].hostBlocks = 0
            sequences[slot].state = .running
        }
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
            precondition(slice.tokens.lowerBound == sequences[slot].computed, "a slice that skips positions")
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
                sequences[slot].kvBlocks = []
                sequences[slot].hashes = nil
                unusedSlots.append(slot)
            }
            slots[sequence.request] = -1
        }
        return finished
    }

    /// Lets the prefix cache know the blocks that have become full.
    private mutating func register(_ slot: Int, version: Int, _ memory: inout MemorySystem) {
        let full = sequences[slot].computed / memory.kv.blockTokens
        guard full > sequences[slot].registered, let hashes = sequences[slot].hashes else { return }
        let oldest = sequences[slot].oldestKV ?? version
        // Without sharing across versions only what one version made throughout, and is served now, can be found.
        let isCurrent = memory.cacheScope.version.map { $0 == version && $0 == oldest } ?? true
        if isCurrent {
            for block in sequences[slot].registered..<full {
                memory.kv.register(
                    sequences[slot].kvBlocks[block], as: hashes[block].keyed(by: memory.cacheScope),
                    oldestVersion: oldest)
            }
        }
        sequences[slot].registered = full
    }
}
