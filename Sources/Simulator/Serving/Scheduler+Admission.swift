internal import HeapModule

extension Scheduler {
    /// Blocks that must be available for a waiting sequence to be admitted, without what the prefix cache may have of it.
    func blocksToAdmit(_ slot: Int, _ memory: MemorySystem) -> Int {
        let whole = memory.kv.blockCount(for: max(sequences[slot].prefillEnd, sequences[slot].computed))
        return max(whole, sequences[slot].hostBlocks) + promised + watermark(memory)
    }

    /// Blocks that must be left when a sequence is admitted beside others.
    private func watermark(_ memory: MemorySystem) -> Int {
        guard !running.isEmpty, memory.kv.capacity < .max else { return 0 }
        return Int(configuration.kvWatermark * Double(memory.kv.capacity))
    }

    private func fits(_ blocks: Int, beside taken: Int, _ memory: MemorySystem) -> Bool {
        memory.availableBlocks - taken - promised - blocks >= watermark(memory)
    }

    /// Admits the first in line if its prompt fits; its blocks come as it is computed.
    mutating func admit(_ slot: Int, _ memory: inout MemorySystem) -> Bool {
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
        if sequences[slot].onPrefixHit == .reprefill {
            // What has been in the cache before is not recorded again, nor is the last token ever found.
            let last = max(sequences[slot].seen, min(sequences[slot].promptTokens, end - 1))
            let kept = memory.recordedBlocks(among: hits, tokens: sequences[slot].seen..<last)
            hits.removeLast(hits.count - kept)
        }
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
        noteAdmission(slot, &memory)
        return true
    }

    private mutating func noteAdmission(_ slot: Int, _ memory: inout MemorySystem) {
        let sequence = sequences[slot]
        let found = min(sequence.computed, sequence.promptTokens)
        let isFirst = sequence.generated == 0 && sequence.seen == 0
        defer { sequences[slot].seen = max(sequence.seen, found) }
        var admission = Admission(
            request: sequence.request, isFirst: isFirst, cachedTokens: sequence.computed, linked: [], unlinkedTokens: 0)
        if sequence.onPrefixHit != nil, found > sequence.seen {
            admission.linked = memory.linkRecords(of: sequence.seen..<found, in: sequence.kvBlocks)
            admission.unlinkedTokens = admission.linked.reduce(found - sequence.seen) { $0 - $1.tokens.count }
        }
        if isFirst || admission.unlinkedTokens > 0 || !admission.linked.isEmpty { admissions.append(admission) }
    }

    /// The blocks that the prefix cache has of what a sequence prefills, from the first on.
    private mutating func knownBlocks(of slot: Int, _ memory: MemorySystem) -> [Int] {
        guard let prefixes else { return [] }
        let hashes = sequences[slot].hashes ?? prefixes.hashes(of: sequences[slot].request)
        sequences[slot].hashes = hashes
        var known: [Int] = []
        for hash in hashes.prefix(sequences[slot].prefillEnd / memory.kv.blockTokens) {
            guard let id = memory.block(for: hash) else { break }
            known.append(id)
        }
        return known
    }
}
