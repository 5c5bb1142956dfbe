/// Records of tokens that the prefix cache has: which chunks hold what the rows of a KV block were computed with.
extension MemorySystem {
    /// Notes that `chunk` records tokens whose K and V are in `blocks`.
    mutating func noteRecord(_ chunk: ChunkID, in blocks: ArraySlice<Int>) {
        guard linkableVersions != nil else { return }
        for id in blocks { blockRecords[id].append(chunk) }
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

    /// A block holds the first rows of another.
    mutating func copyRecords(of block: Int, to other: Int) {
        if linkableVersions != nil { blockRecords[other] = blockRecords[block] }
    }

    /// The blocks from the first on whose tokens among `tokens` all have a record that can be linked.
    ///
    /// - Parameter blocks: those of a sequence, from its first token on.
    func recordedBlocks(among blocks: [Int], tokens: Range<Int>) -> Int {
        for (index, id) in blocks.enumerated() {
            let first = index * kv.blockTokens
            let wanted = (first..<first + kv.blockTokens).clamped(to: tokens)
            let recorded = blockRecords[id].reduce(0) { sum, chunk in
                canLink(chunk) ? sum + (records[chunk]?.tokens.clamped(to: wanted).count ?? 0) : sum
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
            let first = index * kv.blockTokens
            let wanted = (first..<first + kv.blockTokens).clamped(to: tokens)
            for id in blockRecords[blocks[index]] {
                guard let own = records[id]?.tokens.clamped(to: wanted), !own.isEmpty else { continue }
                if let last = links.last, last.chunk == id {
                    links[links.count - 1].tokens = last.tokens.lowerBound..<own.upperBound
                } else if canLink(id), records.link(id) {
                    links.append(RecordReference(chunk: id, tokens: own))
                }
            }
        }
        return links
    }

    private func canLink(_ id: ChunkID) -> Bool {
        guard let allowed = linkableVersions, let chunk = records[id], records.canLink(id) else { return false }
        return chunk.versions.lowerBound >= allowed.lowerBound && chunk.versions.upperBound <= allowed.upperBound
    }
}
