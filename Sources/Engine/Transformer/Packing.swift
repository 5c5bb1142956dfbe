/// How the sequences of a micro-batch lie behind one another without padding.
///
/// A *packed row* is a position of a sequence, all sequences in order. A *fresh row* is a packed row that runs forward;
/// a *loss row* one whose loss weight is not zero.
public struct Packing: Sendable {
    /// Positions of all sequences.
    public let rowCount: Int
    /// Packed row of each sequence's position 0, and the end.
    public let starts: [Int]
    /// Packed row of each fresh row.
    public let freshRows: [Int]
    /// Packed row of each loss row.
    public let lossRows: [Int]
    /// Per packed row.
    let positions: [Int32]
    let tokens: [Int32]
    /// Per fresh row.
    let freshPositions: [Int32]
    let freshTokens: [Int32]
    /// Per loss row.
    let lossTargets: [Int32]
    let lossWeights: [Float]
    /// Loss rows before each packed row, and in all.
    let lossBefore: [Int]
    /// Fresh row of each loss row that is fresh, and its position.
    let freshLossRows: [Int]
    let freshLossPositions: [Int32]
    /// Fresh loss rows before each fresh row, and in all.
    let freshLossBefore: [Int]
    /// Per sequence: runs of fresh positions and the fresh row of the first.
    let freshRuns: [[(positions: Range<Int>, row: Int)]]

    public init(_ sequences: [TrainingSequence]) {
        var starts = [0]
        var freshRows: [Int] = []
        var lossRows: [Int] = []
        var positions: [Int32] = []
        var lossTargets: [Int32] = []
        var lossWeights: [Float] = []
        var freshRuns: [[(positions: Range<Int>, row: Int)]] = []
        for sequence in sequences {
            let start = positions.count
            positions.append(contentsOf: sequence.tokens.indices.map { Int32(truncatingIfNeeded: $0) })
            starts.append(positions.count)
            var runs: [(positions: Range<Int>, row: Int)] = []
            for range in sequence.fresh {
                runs.append((range, freshRows.count))
                freshRows.append(contentsOf: range.map { start + $0 })
            }
            freshRuns.append(runs)
            for position in sequence.tokens.indices where sequence.weights[position] != 0 {
                lossRows.append(start + position)
                lossTargets.append(sequence.targets[position])
                lossWeights.append(sequence.weights[position])
            }
        }
        let tokens = sequences.flatMap(\.tokens)
        self.rowCount = positions.count
        self.starts = starts
        self.freshRows = freshRows
        self.lossRows = lossRows
        self.positions = positions
        self.tokens = tokens
        self.lossTargets = lossTargets
        self.lossWeights = lossWeights
        self.freshRuns = freshRuns
        freshPositions = freshRows.map { positions[$0] }
        freshTokens = freshRows.map { tokens[$0] }

        var lossBefore = [0]
        lossBefore.reserveCapacity(positions.count + 1)
        var carriesLoss = [Bool](repeating: false, count: positions.count)
        for row in lossRows { carriesLoss[row] = true }
        for isLoss in carriesLoss { lossBefore.append(lossBefore[lossBefore.count - 1] + (isLoss ? 1 : 0)) }
        self.lossBefore = lossBefore
        let freshLossRows = freshRows.indices.filter { carriesLoss[freshRows[$0]] }
        self.freshLossRows = freshLossRows
        freshLossPositions = freshLossRows.map { positions[freshRows[$0]] }
        var freshLossBefore = [0]
        freshLossBefore.reserveCapacity(freshRows.count + 1)
        for row in freshRows {
            freshLossBefore.append(freshLossBefore[freshLossBefore.count - 1] + (carriesLoss[row] ? 1 : 0))
        }
        self.freshLossBefore = freshLossBefore
    }

    /// The loss rows among packed `rows`, as indices of `lossRows`.
    func losses(in rows: Range<Int>) -> Range<Int> { lossBefore[rows.lowerBound]..<lossBefore[rows.upperBound] }

    /// The loss rows among fresh `rows`, as indices of `freshLossRows`.
    func losses(inFresh rows: Range<Int>) -> Range<Int> {
        freshLossBefore[rows.lowerBound]..<freshLossBefore[rows.upperBound]
    }

    /// The parts of packed `rows` by sequence.
    func parts(of rows: Range<Int>) -> [(sequence: Int, rows: Range<Int>)] {
        (0..<starts.count - 1).compactMap { sequence in
            let part = rows.clamped(to: starts[sequence]..<starts[sequence + 1])
            return part.isEmpty ? nil : (sequence, part)
        }
    }

    /// The parts of fresh `rows` by sequence.
    func parts(ofFresh rows: Range<Int>) -> [(sequence: Int, rows: Range<Int>)] {
        freshRuns.indices.compactMap { sequence in
            guard let first = freshRuns[sequence].first, let last = freshRuns[sequence].last else { return nil }
            let part = rows.clamped(to: first.row..<last.row + last.positions.count)
            return part.isEmpty ? nil : (sequence, part)
        }
    }
}
