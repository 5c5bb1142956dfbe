extension MicroBatch {
    /// Does without the record that a chunk is: its tokens are computed again.
    mutating func leaveOut(_ chunk: ChunkID) {
        for index in sequences.indices { sequences[index].recorded.removeAll { $0.chunk == chunk } }
        references[chunk] = nil
    }

    /// Tokens that a chunk stands for in the sequence that reads most of it.
    func usedTokens(of chunk: ChunkID) -> Int {
        sequences.lazy.map { sequence in
            sequence.recorded.reduce(0) { $0 + ($1.chunk == chunk ? $1.tokens.count : 0) }
        }.max() ?? 0
    }
}
