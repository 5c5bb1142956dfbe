internal import HeapModule

extension Scheduler {
    /// Blocks that must be left when a sequence is admitted beside others.
    private func watermark(_ memory: MemorySystem) -> Int {
        guard !running.isEmpty, memory.kv.capacity < .max else { return 0 }
        return Int(configuration.kvWatermark * Double(memory.kv.capacity))
    }

    private func fits(_ blocks: Int, beside taken: Int, _ memory: MemorySystem) -> Bool {
        memory.availableBlocks - taken - promised - blocks >= watermark(memory)
    }

    /// Admits the first in line if its prompt fits; its blocks come as it is computed.
    ///
    /// - Returns: `nil` if it is admitted; otherwise how many blocks would have to be available for it, those included that
    ///   the prefix cache has of it and that could be taken.
    mutating func admit(_ slot: Int, _ memory: inout MemorySystem) -> Int? {
        switch sequences[slot].state {
        case .leaving, .running, .returning: return 0
        case .onHost:
            let blocks = sequences[slot].hostBlocks
            let whole = max(blocks, memory.kv.blockCount(for: sequences[slot].prefillEnd))
            let request = sequences[slot].request
            guard fits(whole, beside: 0, memory),
                memory.swapIn(request, blocks: blocks, to: &sequences[slot].kvBlocks, at: memory.ledger.now)
            else { return whole + promised + watermark(memory) }
            sequences[slot].state = .returning
            promise(slot, whole - blocks)
        case .waiting:
            if let lacking = takePrefix(slot, &memory) { return lacking }
            sequences[slot].state = .running
            promise(slot, memory.kv.blockCount(for: sequences[slot].prefillEnd) - sequences[slot].kvBlocks.count)
        }
        _ = waiting.popMin()
        noteTurn(of: slot)
        let rank = sequences[slot].rank
        var place = running.count
        while place > 0, rank < sequences[running[place - 1]].rank { place -= 1 }
        running.insert(slot, at: place)
        return nil
    }

    /// What is promised is what admitted sequences lack of the blocks that they prefill, those among them that come back
    /// from the host. What is wrong with that, in words; `nil` if nothing is.
    func promiseProblem(_ pool: KVPool) -> String? {
        var sum = 0
        for sequence in liveSequences {
            let isAdmitted = sequence.state == .running || sequence.state == .returning
            let lacking = isAdmitted ? max(0, pool.blockCount(for: sequence.prefillEnd) - sequence.kvBlocks.count) : 0
            guard sequence.promised == lacking else {
                return "request \(sequence.request) lacks \(lacking) blocks, \(sequence.promised) are promised to it"
            }
            sum += lacking
        }
        return sum == promised ? nil : "\(promised) blocks are promised, \(sum) are lacking"
    }

    private mutating func promise(_ slot: Int, _ blocks: Int) {
        sequences[slot].promised = blocks
        promised += blocks
    }

    /// Takes the blocks that the prefix cache has of a sequence; nothing is changed when the rest of what it prefills does
    /// not fit.
    ///
    /// - Returns: `nil` if it fits; otherwise how many blocks would have to be available.
    ///
    /// The last token is always computed. When the cache has its block, too, the sequence gets a copy to write it in.
    private mutating func takePrefix(_ slot: Int, _ memory: inout MemorySystem) -> Int? {
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
        // Found blocks count as available until they are taken.
        let spare = hits.count { memory.kv.isSpare($0) }
        if let id = copied, !fits(needed - hits.count, beside: spare + (memory.kv.isSpare(id) ? 1 : 0), memory) {
            copied = nil
        }
        guard fits(needed - hits.count, beside: spare, memory) else {
            let taken = hits.count { memory.kv.canBeTaken($0) }
            return needed - hits.count + taken + promised + watermark(memory)
        }
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
        return nil
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
