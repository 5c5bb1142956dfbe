/// Records of tokens that the prefix cache has: which chunks hold what the rows of a KV block were computed with.
extension MemorySystem {
    /// Notes that `chunk` records tokens, now or later, whose K and V are in `blocks`, those of a sequence from its first
    /// token on.
    mutating func noteRecord(_ chunk: ChunkID, of tokens: Range<Int>, in blocks: [Int]) {
        guard linkableVersions != nil else { return }
        for index in tokens.lowerBound / kv.blockTokens..<kv.blockCount(for: tokens.upperBound) {
            let own = tokens.clamped(to: positions(ofBlock: index))
            blockRecords[blocks[index]].append(RecordReference(chunk: chunk, tokens: own))
        }
    }

    private func positions(ofBlock index: Int) -> Range<Int> {
        index * kv.blockTokens..<(index + 1) * kv.blockTokens
    }

    /// New blocks hold nothing yet.
    mutating func forgetRecords(of blocks: ArraySlice<Int>) {
        guard linkableVersions != nil else { return }
        for id in blocks {
            if id < blockRecords.count {
                blockRecords[id].removeAll(keepingCapacity: true)
            } else {
                blockRecords += repeatElement([], count: id + 1 - blockRecords.count)
            }
        }
    }

    /// A block holds the first rows of another: those of the positions before `end`. What follows is written anew.
    mutating func copyRecords(of block: Int, to other: Int, before end: Int) {
        guard linkableVersions != nil else { return }
        blockRecords[other] = blockRecords[block].compactMap { part in
            let kept = part.tokens.lowerBound..<max(part.tokens.lowerBound, min(part.tokens.upperBound, end))
            return kept.isEmpty ? nil : RecordReference(chunk: part.chunk, tokens: kept)
        }
    }

    /// The blocks from the first on whose tokens among `tokens` all have a record that can be linked.
    ///
    /// - Parameter blocks: those of a sequence, from its first token on.
    func recordedBlocks(among blocks: [Int], tokens: Range<Int>) -> Int {
        for (index, id) in blocks.enumerated() {
            let wanted = positions(ofBlock: index).clamped(to: tokens)
            let recorded = blockRecords[id].reduce(0) { sum, part in
                canLink(part.chunk) ? sum + written(part).clamped(to: wanted).count : sum
            }
            // Rows are written once, so no two chunks hold the same.
            if recorded < wanted.count { return index }
        }
        return blocks.count
    }

    /// Refers, in another request's name, to the records that exist of `tokens`, whose K and V are in `blocks`.
    mutating func linkRecords(of tokens: Range<Int>, in blocks: [Int]) -> [RecordReference] {
        guard linkableVersions != nil, !tokens.isEmpty else { return [] }
        var links: [RecordReference] = []
        for index in tokens.lowerBound / kv.blockTokens..<kv.blockCount(for: tokens.upperBound) {
            let wanted = positions(ofBlock: index).clamped(to: tokens)
            for part in blockRecords[blocks[index]] {
                let own = written(part).clamped(to: wanted)
                guard !own.isEmpty else { continue }
                if let last = links.last, last.chunk == part.chunk {
                    links[links.count - 1].tokens = last.tokens.lowerBound..<own.upperBound
                } else if canLink(part.chunk), records.link(part.chunk, pool: &kv) {
                    links.append(RecordReference(chunk: part.chunk, tokens: own))
                }
            }
        }
        return links
    }

    /// What there is of a part of a chunk; nothing if the chunk is gone.
    private func written(_ part: RecordReference) -> Range<Int> {
        records[part.chunk]?.tokens.clamped(to: part.tokens) ?? part.tokens.lowerBound..<part.tokens.lowerBound
    }

    private func canLink(_ id: ChunkID) -> Bool {
        guard let allowed = linkableVersions, let chunk = records[id], records.canLink(id) else { return false }
        return chunk.versions.lowerBound >= allowed.lowerBound && chunk.versions.upperBound <= allowed.upperBound
    }
}
