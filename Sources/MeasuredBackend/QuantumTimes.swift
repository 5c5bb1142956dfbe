internal import Simulator

/// What whole quanta took, each executed several times, beside the sums of the prices of their operators.
public struct QuantumTimes: Sendable {
    /// A serving iteration or a unit of training.
    struct Piece {
        let phase: WorkPhase
        /// Of a serving iteration; zero for a unit of training.
        var rows = 0
        let priced: Double
        var seconds: [Double] = []
        /// What decoding took right after other work.
        var firstSeconds: [Double] = []
    }

    /// In the order in which they are executed.
    var pieces: [Piece] = []

    /// Of nothing yet.
    public init() {}

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

    /// How far each kind of work lies from the sums of its operators, by the medians of executions.
    var corrections: [WorkPhase: HardwareProfile.Correction] {
        let observations = pieces.filter { !$0.seconds.isEmpty }.map { piece in
            Observation(
                phase: piece.phase, rows: piece.rows, priced: piece.priced, seconds: Sample(piece.seconds).median,
                firstSeconds: piece.firstSeconds.isEmpty ? 0 : Sample(piece.firstSeconds).median)
        }
        return Dictionary(grouping: observations, by: \.phase).reduce(into: [:]) { corrections, kind in
            switch kind.key {
            case .decode: corrections[.decode] = Self.fitByRows(kind.value, \.firstSeconds)
            case .prefill: corrections[.prefill] = Self.fitByRows(kind.value, nil)
            default: corrections[kind.key] = Self.fit(kind.value)
            }
        }
    }

    /// The time of a piece of work, and the sum of the prices of its operators.
    private struct Observation {
        let phase: WorkPhase
        let rows: Int
        let priced: Double
        let seconds: Double
        let firstSeconds: Double
    }

    /// A scale for each number of rows, without an overhead. No line over prices tells both one row, whose products stream
    /// weights, and nine, whose products compute; nor both few rows, which kernels fill up to whole tiles, and many.
    private static func fitByRows(
        _ observations: [Observation], _ firstSeconds: ((Observation) -> Double)?
    ) -> HardwareProfile.Correction {
        let counts = Set(observations.map(\.rows)).sorted()
        func scales(_ seconds: (Observation) -> Double) -> [Double] {
            counts.map { count in proportion(observations.filter { $0.rows == count }, seconds) }
        }
        return HardwareProfile.Correction(
            rows: counts, scales: scales(\.seconds), firstScales: firstSeconds.map(scales), overhead: 0)
    }

    /// The scale with the least sum of squared errors over times.
    private static func proportion(_ observations: [Observation], _ seconds: (Observation) -> Double) -> Double {
        observations.reduce(0) { $0 + $1.priced }
            / observations.reduce(0) { $0 + $1.priced * $1.priced / seconds($1) }
    }

    /// The line `overhead + scale x priced` with the least sum of squared errors over times, and no negative overhead. So
    /// long pieces of work weigh more than short ones, but not as much more as they are longer.
    private static func fit(_ observations: [Observation]) -> HardwareProfile.Correction {
        var (oo, os, ss, o, s) = (0.0, 0.0, 0.0, 0.0, 0.0)
        for observation in observations {
            let (p, t) = (observation.priced, observation.seconds)
            (oo, os, ss, o, s) = (oo + 1 / t, os + p / t, ss + p * p / t, o + 1, s + p)
        }
        guard ss > 0 else { return .none }
        let determinant = oo * ss - os * os
        if determinant > 1e-9 * oo * ss {
            let overhead = (o * ss - s * os) / determinant
            let scale = (s * oo - o * os) / determinant
            if overhead >= 0, scale > 0 { return HardwareProfile.Correction(scale: scale, overhead: overhead) }
        }
        return HardwareProfile.Correction(scale: proportion(observations, \.seconds), overhead: 0)
    }
}
