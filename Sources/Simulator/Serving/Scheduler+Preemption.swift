internal import HeapModule

extension Scheduler {
    /// Whether so many blocks are on their way to the host, and need only be waited for.
    public func blocksAreComing(_ blocks: Int) -> Bool { leavingBlocks > 0 && leavingBlocks >= blocks }

    /// Has the sequence of the last rank give way to the one that is short of `blocks`; where there is none, or where
    /// enough blocks are on their way out, that one is passed over in this iteration.
    public mutating func preemptLast(for blocks: Int, _ memory: inout MemorySystem) -> Preemption? {
        guard !blocksAreComing(blocks),
            let place = running.lastIndex(where: { sequences[$0].state == .running }), place > 0
        else {
            passOver()
            return nil
        }
        return preempt(running[place], at: place, &memory)
    }

    /// Leaves the sequence that is short of blocks out of this iteration.
    public mutating func passOver() { cursor += 1 }

    private mutating func preempt(_ slot: Int, at place: Int, _ memory: inout MemorySystem) -> Preemption {
        hasPreempted = true
        starving.remove(slot)
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
        if configuration.preemption == .swap, used > 0 { memory.shrink(request, &sequences[slot].kvBlocks, to: used) }
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
            memory.swappedIn(request, blocks: sequences[slot].kvBlocks)
            sequences[slot].hostBlocks = 0
            sequences[slot].state = .running
        }
    }
}
