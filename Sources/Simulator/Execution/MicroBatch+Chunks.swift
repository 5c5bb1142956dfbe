extension MicroBatch {
    /// Leaves out records of which it uses a part only, until the chunks that it reads and the tokens that it runs forward
    /// are together no more than `rows`: the room that every micro-batch has.
    ///
    /// Pieces are moved and held as a whole, and a sample that shares the first tokens of a long chunk needs room for all of
    /// it. Without such samples no more rows are read than there are tokens.
    ///
    /// - Returns: what is left out, and so is computed again, a reference for each sample: chunks that waste most first.
    mutating func leaveOutPartialChunks(of records: RecordStore, rows: Int) -> [RecordReference] {
        var leftOut: [RecordReference] = []
        while true {
            var used: [ChunkID: Int] = [:]
            for span in sequences.lazy.flatMap(\.recorded) { used[span.chunk, default: 0] += span.tokens.count }
            let read = chunks.map { (id: $0.id, rows: records[$0.id]?.capacity ?? 0) }
            guard read.reduce(freshRows, { $0 + $1.rows }) > rows else { return leftOut }
            let waste = read.map { $0.rows - used[$0.id, default: 0] }
            guard let most = waste.indices.max(by: { waste[$0] < waste[$1] }), waste[most] > 0 else { return leftOut }
            // The sequences of a sample, which follow each other, have one reference together.
            var request = -1
            for index in sequences.indices {
                guard let span = sequences[index].recorded.first(where: { $0.chunk == read[most].id }) else { continue }
                sequences[index].recorded.removeAll { $0.chunk == read[most].id }
                guard sequences[index].request != request else { continue }
                request = sequences[index].request
                leftOut.append(RecordReference(chunk: span.chunk, tokens: span.tokens))
            }
        }
    }
}
