extension MicroBatch {
    /// The positions of each sequence that a range of the packed rows of all tokens covers.
    private func positions(ofAll rows: Range<Int>) -> [(sequence: TrainingSequencePlan, positions: Range<Int>)] {
        var base = 0
        return sequences.compactMap { sequence in
            defer { base += sequence.tokens }
            let own = rows.clamped(to: base..<base + sequence.tokens)
            let first = sequence.positions.lowerBound - base
            return own.isEmpty ? nil : (sequence, own.lowerBound + first..<own.upperBound + first)
        }
    }

    /// The positions of each sequence that a range of the packed fresh rows covers.
    private func positions(ofFresh rows: Range<Int>) -> [(sequence: TrainingSequencePlan, positions: Range<Int>)] {
        var base = 0
        return sequences.flatMap { sequence in
            sequence.freshRanges.compactMap { gap in
                defer { base += gap.count }
                let own = rows.clamped(to: base..<base + gap.count)
                let first = gap.lowerBound - base
                return own.isEmpty ? nil : (sequence, own.lowerBound + first..<own.upperBound + first)
            }
        }
    }

    /// (query, key) pairs of a range of the packed rows of all tokens.
    public func pairs(ofAll rows: Range<Int>) -> Int {
        positions(ofAll: rows).reduce(0) { $0 + $1.positions.causalPairs }
    }

    /// (query, key) pairs of a range of the packed fresh rows.
    public func pairs(ofFresh rows: Range<Int>) -> Int {
        positions(ofFresh: rows).reduce(0) { $0 + $1.positions.causalPairs }
    }

    /// The rows with loss among a range of the packed rows, fresh or all, and the pairs that they form as queries. In the
    /// last layer only these have an output that anybody needs.
    func lossQueries(ofFresh rows: Range<Int>) -> (rows: Int, pairs: Int) { Self.lossQueries(positions(ofFresh: rows)) }
    func lossQueries(ofAll rows: Range<Int>) -> (rows: Int, pairs: Int) { Self.lossQueries(positions(ofAll: rows)) }

    /// Rows among a range of the packed rows of all tokens, either those that run forward or those that are recorded.
    package struct Share {
        package private(set) var rows = 0
        package private(set) var pairs = 0
        /// Those of them that carry loss.
        package private(set) var lossRows = 0
        package private(set) var lossPairs = 0

        /// Rows whose output is wanted, and the pairs that they form as queries.
        package func queries(isLast: Bool) -> (rows: Int, pairs: Int) { isLast ? (lossRows, lossPairs) : (rows, pairs) }

        fileprivate mutating func add(_ positions: Range<Int>, _ lossTokens: Range<Int>) {
            guard !positions.isEmpty else { return }
            rows += positions.count
            pairs += positions.causalPairs
            let loss = positions.clamped(to: lossTokens)
            guard !loss.isEmpty else { return }
            lossRows += loss.count
            lossPairs += loss.causalPairs
        }
    }

    /// The fresh and the recorded rows among a range of the packed rows of all tokens.
    package func shares(ofAll rows: Range<Int>) -> (fresh: Share, recorded: Share) {
        var (fresh, recorded) = (Share(), Share())
        for part in positions(ofAll: rows) {
            for gap in part.sequence.freshRanges {
                fresh.add(gap.clamped(to: part.positions), part.sequence.lossTokens)
            }
            for span in part.sequence.recorded {
                recorded.add(span.tokens.clamped(to: part.positions), part.sequence.lossTokens)
            }
        }
        return (fresh, recorded)
    }

    private static func lossQueries(
        _ parts: [(sequence: TrainingSequencePlan, positions: Range<Int>)]
    ) -> (rows: Int, pairs: Int) {
        parts.reduce(into: (0, 0)) { sum, part in
            let own = part.positions.clamped(to: part.sequence.lossTokens)
            sum.0 += own.count
            sum.1 += own.isEmpty ? 0 : own.causalPairs
        }
    }
}

extension TrainingSequencePlan {
    /// Positions that run forward: what the recorded spans leave.
    public var freshRanges: [Range<Int>] {
        var ranges: [Range<Int>] = []
        var next = positions.lowerBound
        for span in recorded {
            if span.tokens.lowerBound > next { ranges.append(next..<span.tokens.lowerBound) }
            next = span.tokens.upperBound
        }
        if next < positions.upperBound { ranges.append(next..<positions.upperBound) }
        return ranges
    }
}
