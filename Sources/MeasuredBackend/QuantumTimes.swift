public import Simulator

/// What whole quanta took, each executed several times, beside the sums of the prices of their operators.
public struct QuantumTimes: Sendable {
    /// A serving iteration or a unit of training.
    public struct Piece: Sendable {
        let phase: WorkPhase
        let rows: Int
        let context: Int
        let priced: Double
        var seconds: [Double]
        var firstSeconds: [Double]

        /// - Parameters:
        ///   - rows: of the iteration or of the unit.
        ///   - context: about the mean of the sequences of an iteration that only decodes; zero for other work.
        ///   - priced: the sum of the prices of its operators, in seconds.
        ///   - seconds: of each execution.
        ///   - firstSeconds: what decoding took right after other work.
        public init(
            _ phase: WorkPhase, rows: Int, context: Int = 0, priced: Double, seconds: [Double] = [],
            firstSeconds: [Double] = []
        ) {
            self.phase = phase
            self.rows = rows
            self.context = context
            self.priced = priced
            self.seconds = seconds
            self.firstSeconds = firstSeconds
        }
    }

    /// In the order in which they are executed.
    var pieces: [Piece]

    public init(_ pieces: [Piece] = []) { self.pieces = pieces }

    /// Further executions of the same pieces.
    public mutating func add(_ others: QuantumTimes) {
        guard !pieces.isEmpty else {
            self = others
            return
        }
        precondition(pieces.count == others.pieces.count, "the same pieces each time")
        for (index, other) in others.pieces.enumerated() {
            pieces[index].seconds += other.seconds
            pieces[index].firstSeconds += other.firstSeconds
        }
    }

    /// How far each kind of work lies from the sums of its operators.
    ///
    /// Times are means over executions: what a request waits for is a sum, and slow executions are slower than fast ones are
    /// fast. Scales make the sum over all pieces at a node what it was.
    public var corrections: [WorkPhase: HardwareProfile.Correction] {
        let observations = pieces.filter { !$0.seconds.isEmpty }.map { piece in
            Observation(
                phase: piece.phase, rows: piece.rows, context: piece.context, priced: piece.priced,
                seconds: Self.mean(piece.seconds),
                firstSeconds: piece.firstSeconds.isEmpty ? nil : Self.mean(piece.firstSeconds))
        }
        return Dictionary(grouping: observations, by: \.phase).mapValues { observations in
            switch observations[0].phase {
            case .decode, .prefill, .forward, .backward: Self.fitByNodes(observations)
            case .loss, .optimizer: Self.fitLine(observations)
            }
        }
    }

    /// The time of a piece of work, and the sum of the prices of its operators.
    private struct Observation {
        let phase: WorkPhase
        let rows: Int
        let context: Int
        let priced: Double
        let seconds: Double
        let firstSeconds: Double?
    }

    /// The mean of all executions but those that took more than four times the median, in which the machine did something
    /// else. Fewer than five can not tell which those are, and have their median.
    private static func mean(_ times: [Double]) -> Double {
        let median = Sample(times).median
        guard times.count >= 5 else { return median }
        let kept = times.filter { $0 <= 4 * median }
        return kept.reduce(0, +) / Double(kept.count)
    }

    /// A scale for each number of rows, and each context of decoding, without an overhead. No line over prices tells both one
    /// row, whose products stream weights, and nine, whose products compute; nor few rows, which kernels fill up to whole
    /// tiles, and many, whose outputs leave the caches.
    ///
    /// - Precondition: each of the rows with each of the contexts.
    private static func fitByNodes(_ observations: [Observation]) -> HardwareProfile.Correction {
        let rows = Set(observations.map(\.rows)).sorted()
        let contexts = Set(observations.map(\.context)).sorted()
        func scales(_ seconds: (Observation) -> Double) -> [Double] {
            rows.flatMap { count in
                contexts.map { context in
                    scale(observations.filter { $0.rows == count && $0.context == context }, seconds)
                }
            }
        }
        let hasFirst = observations.allSatisfy { $0.firstSeconds != nil }
        return HardwareProfile.Correction(
            rows: rows, contexts: contexts.count > 1 ? contexts : [1], scales: scales(\.seconds),
            firstScales: hasFirst ? scales { $0.firstSeconds ?? $0.seconds } : nil, overhead: 0)
    }

    /// What prices are multiplied by to have the sum of the times.
    private static func scale(_ observations: [Observation], _ seconds: (Observation) -> Double) -> Double {
        precondition(!observations.isEmpty, "something is observed at each node")
        return observations.reduce(0) { $0 + seconds($1) } / observations.reduce(0) { $0 + $1.priced }
    }

    /// The line `overhead + scale x priced` with the least sum of squared errors over prices, and no negative overhead. So
    /// long pieces of work weigh more than short ones, but not as much more as they are longer; and the sum of all is met.
    private static func fitLine(_ observations: [Observation]) -> HardwareProfile.Correction {
        let count = Double(observations.count)
        var (reciprocals, ratios, prices, times) = (0.0, 0.0, 0.0, 0.0)
        for observation in observations {
            reciprocals += 1 / observation.priced
            ratios += observation.seconds / observation.priced
            prices += observation.priced
            times += observation.seconds
        }
        let determinant = reciprocals * prices - count * count
        if determinant > 1e-9 * reciprocals * prices {
            let overhead = (ratios * prices - times * count) / determinant
            let scale = (times * reciprocals - ratios * count) / determinant
            if overhead >= 0, scale > 0 { return HardwareProfile.Correction(scale: scale, overhead: overhead) }
        }
        return HardwareProfile.Correction(scale: times / prices, overhead: 0)
    }
}
