extension MicroBatch {
    /// Does without the record that a chunk is: its tokens are computed again.
    ///
    /// - Returns: what is left out, a reference for each sample.
    mutating func leaveOut(_ chunk: ChunkID) -> [RecordReference] {
        var leftOut: [RecordReference] = []
        // The sequences of a sample, which follow each other, have one reference together.
        var request = -1
        for index in sequences.indices {
            guard let span = sequences[index].recorded.first(where: { $0.chunk == chunk }) else { continue }
            sequences[index].recorded.removeAll { $0.chunk == chunk }
            guard sequences[index].request != request else { continue }
            request = sequences[index].request
            leftOut.append(RecordReference(chunk: chunk, tokens: span.tokens))
        }
        return leftOut
    }

    /// Tokens that a chunk stands for in it; those that several sequences of a sample read count once.
    func usedTokens(of chunk: ChunkID) -> Int {
        sequences.lazy.flatMap(\.recorded).filter { $0.chunk == chunk }.map(\.tokens.count).max() ?? 0
    }
}
