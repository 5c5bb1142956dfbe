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
            var reached = wanted.lowerBound
            for (chunk, tokens) in recordsInOrder(of: id, wanted) where canLink(chunk) && tokens.lowerBound <= reached {
                reached = max(reached, tokens.upperBound)
            }
            if reached < wanted.upperBound { return index }
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
            for (id, tokens) in recordsInOrder(of: blocks[index], wanted) {
                let reached = max(wanted.lowerBound, links.last?.tokens.upperBound ?? 0)
                guard reached < tokens.upperBound else { continue }
                let own = tokens.clamped(to: reached..<wanted.upperBound)
                guard !own.isEmpty else { continue }
                if let last = links.last, last.chunk == id, last.tokens.upperBound == own.lowerBound {
                    links[links.count - 1].tokens = last.tokens.lowerBound..<own.upperBound
                } else if canLink(id), records.link(id) {
                    links.append(RecordReference(chunk: id, tokens: own))
                }
            }
        }
        return links
    }

    /// The records of a block's tokens among `wanted`, in order. A token may have two: the copy of a block has those of its
    /// original, and one of the token that was computed again in it.
    private func recordsInOrder(of block: Int, _ wanted: Range<Int>) -> [(chunk: ChunkID, tokens: Range<Int>)] {
        blockRecords[block].compactMap { id in
            let tokens = records[id]?.tokens.clamped(to: wanted) ?? wanted.lowerBound..<wanted.lowerBound
            return tokens.isEmpty ? nil : (id, tokens)
        }.sorted { ($0.tokens.lowerBound, $1.tokens.upperBound) < ($1.tokens.lowerBound, $0.tokens.upperBound) }
    }

    private func canLink(_ id: ChunkID) -> Bool {
        guard let allowed = linkableVersions, let chunk = records[id], records.canLink(id) else { return false }
        return chunk.versions.lowerBound >= allowed.lowerBound && chunk.versions.upperBound <= allowed.upperBound
    }
}
