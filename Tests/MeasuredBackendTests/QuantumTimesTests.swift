import MeasuredBackend
import Simulator
import Testing

/// How whole quanta are held against the sums of their operators.
@Suite struct QuantumTimesTests {
    private typealias Piece = QuantumTimes.Piece

    /// Each number of rows and each context has the scale that makes the sum over its pieces what it was.
    @Test func scalesMakeTheSumAtEachNode() throws {
        let times = QuantumTimes([
            Piece(.decode, rows: 1, context: 16, priced: 1, seconds: [1.5], firstSeconds: [2]),
            Piece(.decode, rows: 8, context: 16, priced: 4, seconds: [4], firstSeconds: [5]),
            Piece(.decode, rows: 1, context: 256, priced: 2, seconds: [4], firstSeconds: [5]),
            Piece(.decode, rows: 8, context: 256, priced: 8, seconds: [6], firstSeconds: [8]),
            Piece(.backward, rows: 64, priced: 1, seconds: [3]), Piece(.backward, rows: 64, priced: 9, seconds: [9]),
            Piece(.backward, rows: 512, priced: 10, seconds: [11]),
        ])
        let decode = try #require(times.corrections[.decode])
        #expect(decode.rows == [1, 8] && decode.contexts == [16, 256] && decode.overhead == 0)
        #expect(decode.scales == [1.5, 2, 1, 0.75] && decode.firstScales == [2, 2.5, 1.25, 1])
        let backward = try #require(times.corrections[.backward])
        #expect(backward.rows == [64, 512] && backward.scales == [1.2, 1.1] && backward.firstScales == nil)
        #expect(times.corrections.count == 2)
    }

    /// Units whose rows do not tell them apart are on a line, and their sum is met; an overhead is never negative.
    @Test func otherUnitsAreOnALine() throws {
        let exact = QuantumTimes(
            [1.0, 2, 5].map { Piece(.optimizer, rows: 0, priced: $0, seconds: [0.25 + 1.5 * $0]) })
        let line = try #require(exact.corrections[.optimizer])
        #expect(abs(line.overhead - 0.25) < 1e-12 && line.scales.count == 1 && abs(line.scales[0] - 1.5) < 1e-12)

        let seconds = [1.9, 2.7, 8.2, 12.1]
        let prices = [1.0, 2, 5, 8]
        let noisy = QuantumTimes(zip(prices, seconds).map { Piece(.loss, rows: 4, priced: $0, seconds: [$1]) })
        let fitted = try #require(noisy.corrections[.loss])
        #expect(fitted.overhead > 0)
        let sum = prices.reduce(0) { $0 + fitted.overhead + fitted.scales[0] * $1 }
        #expect(abs(sum - seconds.reduce(0, +)) < 1e-9)

        let steep = QuantumTimes([1.0, 4].map { Piece(.loss, rows: 4, priced: $0, seconds: [2 * $0 - 0.5]) })
        #expect(try #require(steep.corrections[.loss]) == .init(scale: 9 / 5.0, overhead: 0))
    }

    /// Executions count by their mean, but for those in which the machine did something else; few count by their median.
    @Test(
        arguments: [([1, 1, 4], 1), ([1, 1, 1, 1, 100], 1), ([2, 1, 1, 4.5, 1.5], 2), ([3], 3)] as [([Double], Double)])
    func executionsCountByTheirMean(seconds: [Double], scale: Double) throws {
        let times = QuantumTimes([Piece(.prefill, rows: 8, priced: 1, seconds: seconds)])
        #expect(try #require(times.corrections[.prefill]).scales == [scale])
    }

    @Test func furtherExecutionsJoinTheFirst() throws {
        var times = QuantumTimes()
        for seconds in [1.0, 2, 6, 3, 3] {
            times.add(QuantumTimes([Piece(.forward, rows: 8, priced: 2, seconds: [seconds])]))
        }
        #expect(try #require(times.corrections[.forward]).scales == [1.5])
    }
}
