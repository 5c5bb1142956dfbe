/// How the sequences of a micro-batch lie behind one another without padding.
///
/// A *packed row* is a token of a sequence, all sequences in order. A *fresh row* is a packed row that runs forward, a
/// *recorded row* one that does not; a *loss row* one whose loss weight is not zero. All tables are made once, so that no
/// unit of work has to.
public struct Packing: Sendable {
    /// A sequence's place.
    struct Sequence: Sendable {
        /// Packed rows.
        let rows: Range<Int>
        /// Position of the first.
        let start: Int
        /// Sequence that this one goes on from.
        let trunk: Int?
        /// Runs of fresh positions and the fresh row of the first.
        let freshRuns: [(positions: Range<Int>, row: Int)]

        /// Number that it shares with all sequences of its tree.
        func tree(_ own: Int) -> Int { trunk ?? own }
    }

    /// Some of the packed rows, in order.
    struct Selection: Sendable {
        /// Packed row of each.
        private(set) var rows: [Int] = []
        private(set) var positions: [Int32] = []
        /// How many lie before each packed row, and in all.
        private(set) var before: [Int] = [0]

        /// Takes the next packed row, or leaves it out.
        fileprivate mutating func add(_ row: Int, _ position: Int32, _ isChosen: Bool) {
            if isChosen {
                rows.append(row)
                positions.append(position)
            }
            before.append(rows.count)
        }

        var count: Int { rows.count }

        /// Those among packed `rows`.
        func range(in rows: Range<Int>) -> Range<Int> { before[rows.lowerBound]..<before[rows.upperBound] }
    }

    let sequences: [Sequence]
    let tokens: [Int32]
    let positions: [Int32]
    let fresh: Selection
    let recorded: Selection
    let loss: Selection
    let freshLoss: Selection
    let recordedLoss: Selection
    let freshTokens: [Int32]
    /// Fresh row of each fresh loss row, and recorded row of each recorded loss row.
    let freshRowsOfLoss: [Int]
    let recordedRowsOfLoss: [Int]
    /// Per loss row.
    let lossTargets: [Int32]
    let lossWeights: [Float]
    let lossSequences: [Int]

    /// Tokens of all sequences.
    public var rowCount: Int { tokens.count }
    /// Packed row of each fresh row.
    public var freshRows: [Int] { fresh.rows }
    /// Packed row of each loss row.
    public var lossRows: [Int] { loss.rows }
    /// Fresh rows that carry loss.
    public var freshLossCount: Int { freshLoss.count }
    /// Recorded rows, and those that carry loss.
    public var recordedCount: Int { recorded.count }
    public var recordedLossCount: Int { recordedLoss.count }

    public init(_ sequences: [TrainingSequence]) {
        var places: [Sequence] = []
        var positions: [Int32] = []
        var fresh = Selection()
        var recorded = Selection()
        var loss = Selection()
        var freshLoss = Selection()
        var recordedLoss = Selection()
        var lossTargets: [Int32] = []
        var lossWeights: [Float] = []
        var lossSequences: [Int] = []
        for (number, sequence) in sequences.enumerated() {
            let first = positions.count
            var start = 0
            if let trunk = sequence.trunk {
                precondition(
                    trunk < number && places[trunk].trunk == nil
                        && places[(trunk + 1)...].allSatisfy { $0.trunk == trunk },
                    "a branch follows its trunk, or another branch of it")
                start = places[trunk].rows.count
            }
            let ranges = sequence.fresh
            var next = ranges.startIndex
            var runs: [(positions: Range<Int>, row: Int)] = []
            for token in sequence.tokens.indices {
                while next < ranges.endIndex, ranges[next].upperBound <= token { next += 1 }
                let isFresh = next < ranges.endIndex && ranges[next].contains(token)
                if isFresh, ranges[next].lowerBound == token {
                    runs.append((start + token..<start + ranges[next].upperBound, fresh.count))
                }
                let carriesLoss = sequence.weights[token] != 0
                let (row, position) = (first + token, Int32(truncatingIfNeeded: start + token))
                positions.append(position)
                fresh.add(row, position, isFresh)
                recorded.add(row, position, !isFresh)
                loss.add(row, position, carriesLoss)
                freshLoss.add(row, position, isFresh && carriesLoss)
                recordedLoss.add(row, position, !isFresh && carriesLoss)
                guard carriesLoss else { continue }
                lossTargets.append(sequence.targets[token])
                lossWeights.append(sequence.weights[token])
                lossSequences.append(number)
            }
            places.append(
                Sequence(rows: first..<positions.count, start: start, trunk: sequence.trunk, freshRuns: runs))
        }
        let tokens = sequences.flatMap(\.tokens)
        self.sequences = places
        self.tokens = tokens
        self.positions = positions
        self.lossTargets = lossTargets
        self.lossWeights = lossWeights
        self.lossSequences = lossSequences
        freshTokens = fresh.rows.map { tokens[$0] }
        freshRowsOfLoss = freshLoss.rows.map { fresh.before[$0] }
        recordedRowsOfLoss = recordedLoss.rows.map { recorded.before[$0] }
        self.fresh = fresh
        self.recorded = recorded
        self.loss = loss
        self.freshLoss = freshLoss
        self.recordedLoss = recordedLoss
    }

    func isFresh(_ row: Int) -> Bool { fresh.before[row + 1] > fresh.before[row] }
    func carriesLoss(_ row: Int) -> Bool { loss.before[row + 1] > loss.before[row] }

    /// Packed row of a sequence's `positions`.
    func rows(of positions: Range<Int>, sequence: Int) -> Range<Int> {
        let place = sequences[sequence]
        let rows = positions.shifted(by: place.rows.lowerBound - place.start)
        precondition(
            rows.lowerBound >= place.rows.lowerBound && rows.upperBound <= place.rows.upperBound,
            "positions beyond the sequence")
        return rows
    }
}
