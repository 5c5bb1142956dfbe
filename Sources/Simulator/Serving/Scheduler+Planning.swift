internal import HeapModule

extension Scheduler {
    public mutating func beginIteration() {
        slices.removeAll(keepingCapacity: true)
        slices.reserveCapacity(running.count + 1)
        budget = configuration.tokenBudget
        isSecond = false
        cursor = 0
        hasPreempted = false
        isClosed = false
    }

    /// The planned iteration.
    public mutating func takeSlices() -> [ServingSlice] {
        defer { slices = [] }
        return slices
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
        while budget > 0, !hasPreempted, !isClosed, starving.isEmpty, running.count < configuration.maxBatch,
            let next = waiting.min
        {
            if let lacking = admit(next.slot, &memory) {
                guard sequences[next.slot].state != .leaving else { return .planned }
                return .full(blocks: lacking)
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

    /// Nobody more is admitted in this iteration.
    public mutating func closeAdmission() { isClosed = true }

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

    mutating func extend(_ slot: Int, by count: Int, _ memory: inout MemorySystem) -> Bool {
        guard memory.extend(sequences[slot].request, &sequences[slot].kvBlocks, by: count) else {
            starving.insert(slot)
            return false
        }
        if !starving.isEmpty { starving.remove(slot) }
        let kept = min(sequences[slot].promised, count)
        sequences[slot].promised -= kept
        promised -= kept
        return true
    }
}
