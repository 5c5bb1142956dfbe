internal import Glibc

extension HardwareProfile {
    /// How operators in place differ from operators by themselves: other caches, outputs that go to memory, threads that
    /// start and end. A piece of work takes `overhead + scale x` the sum of its operators.
    public struct Correction: Sendable, Equatable {
        /// Nodes of the scales, ascending: rows of an iteration, which are its sequences where it only decodes, or of a unit
        /// of training. The engine takes other paths for other numbers of rows. A single node holds for any number.
        public let rows: [Int]
        /// Nodes of the scales, ascending: the mean context of the sequences of an iteration that only decodes. How much of
        /// K and V the caches still hold depends on it. A single node holds for any context.
        public let contexts: [Int]
        /// At each number of rows the scales over contexts.
        public let scales: [Double]
        /// Of decoding, at the same nodes: the scale of an iteration right after other work, which has filled the caches with
        /// its own. Nil where that was not measured.
        public let firstScales: [Double]?
        /// Seconds of a serving iteration, or of a unit of training.
        public let overhead: Double

        public init(scale: Double, overhead: Double) {
            self.init(rows: [1], scales: [scale], overhead: overhead)
        }

        /// - Precondition: numbers that ascend from above zero, with a scale for each of rows and contexts.
        public init(
            rows: [Int], contexts: [Int] = [1], scales: [Double], firstScales: [Double]? = nil, overhead: Double
        ) {
            let count = rows.count * contexts.count
            precondition(CostSurface.isAxis(rows) && CostSurface.isAxis(contexts), "nodes that ascend")
            precondition(scales.count == count, "a scale for each node")
            precondition(firstScales.map { $0.count == count } ?? true, "a first scale for each node")
            self.rows = rows
            self.contexts = contexts
            self.scales = scales
            self.firstScales = firstScales
            self.overhead = overhead
        }

        public static let none = Correction(scale: 1, overhead: 0)

        /// Iterations in a row that only decode until the caches hold what can be held: the scale of the first of them goes
        /// over to that of this one in proportion to the logarithm of their number, as it was seen to (experiments/LOG.md).
        public static let settledDecodes = 8

        /// The scale for so many rows: linear between nodes, that of the nearest one beyond them.
        ///
        /// - Parameters:
        ///   - context: the mean of an iteration that only decodes.
        ///   - decodesBefore: iterations right before it that only decoded.
        public func scale(of count: Int, context: Double = 0, decodesBefore: Int = settledDecodes) -> Double {
            let (row, column) = (GridPlace(Double(count), rows), GridPlace(context, contexts))
            let settled = row.between(column, scales, stride: contexts.count)
            guard let firstScales, decodesBefore + 1 < Self.settledDecodes else { return settled }
            let first = row.between(column, firstScales, stride: contexts.count)
            let share = log2(Double(decodesBefore + 1)) / log2(Double(Self.settledDecodes))
            return first + share * (settled - first)
        }

        /// The same with everything taking `factor` times as long.
        public func scaled(by factor: Double) -> Correction {
            Correction(
                rows: rows, contexts: contexts, scales: scales.map { $0 * factor },
                firstScales: firstScales.map { $0.map { $0 * factor } }, overhead: overhead * factor)
        }
    }
}
