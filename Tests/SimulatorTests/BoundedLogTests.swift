import Simulator
import Testing

/// Logs that give their rows up keep sums that say the same.
@Suite struct BoundedLogTests {
    private static func quantum(_ index: Int) -> QuantumRecord {
        var quantum = QuantumRecord(
            kind: index % 3 == 0 ? .train : .serve, start: SimTime(nanoseconds: Int64(index) * 7_000_000_000),
            duration: SimDuration(nanoseconds: Int64(1 + index % 11)), predicted: .zero, prefillTokens: index % 5,
            decodeTokens: index % 4, recordedTokens: index % 2, shape: 0, version: index / 10, waiting: index % 13,
            kvBlocks: index % 17, cachedBlocks: index % 3)
        quantum.held = SimDuration(nanoseconds: Int64(index % 2))
        return quantum
    }

    @Test(arguments: [(0, 1), (0, 0), (9, 10), (10, 10), (11, 10), (40_000, 16_384), (40_000, 50_000)])
    func rowsAreAllThereOrNone(count: Int, limit: Int) {
        let log = BoundedLog<QuantumSums>((0..<count).map(Self.quantum), limit: limit)
        #expect(log.total == count && log.isWhole == (count <= limit))
        #expect(log.count == (count <= limit ? count : 0))
        for (index, row) in log.enumerated() { #expect(row.start == Self.quantum(index).start) }
    }

    @Test func windowsHoldEveryQuantum() {
        let quanta = (0..<5_000).map(Self.quantum)
        let course = BoundedLog<QuantumSums>(quanta, limit: 0).sums.course
        let width = course.width.nanoseconds
        #expect(course.windows.count <= 4_096 && width > 8_000_000_000)
        for (index, window) in course.windows.enumerated() {
            let inside = quanta.filter { Int($0.start.nanoseconds / width) == index }
            let served = inside.filter { $0.kind == .serve }
            #expect(window.iterations == served.count && window.trainerQuanta == inside.count - served.count)
            #expect(window.serving == served.reduce(.zero) { $0 + $1.duration })
            #expect(window.prefillTokens == inside.reduce(0) { $0 + $1.prefillTokens })
            #expect(window.decodeTokens == inside.reduce(0) { $0 + $1.decodeTokens })
            #expect(window.held == inside.reduce(.zero) { $0 + $1.held })
            #expect(window.waiting == inside.map(\.waiting).max() ?? 0)
            #expect(window.kvBlocks == inside.map(\.kvBlocks).max() ?? 0)
        }
    }

    /// Lengths of every magnitude, and the borders of bins.
    @Test func binsHoldTheirDurations() {
        var histogram = DurationHistogram()
        var stream = RandomStream(seed: 1, name: "histogram")
        var values: [Int64] = [0, 1, 1_023, 1_024, 2_047, 2_048, 2_049, 4_095, 4_096, 1 << 62]
        for _ in 0..<2_000 { values.append(Int64(stream.next() >> UInt64(2 + stream.below(60)))) }
        for value in values { histogram.add(SimDuration(nanoseconds: value)) }
        histogram.add(SimDuration(nanoseconds: 5_000), times: 7)
        values += Array(repeating: 5_000, count: 7)
        #expect(histogram.count == Int64(values.count))
        #expect(abs(histogram.sum / values.reduce(0) { $0 + Double($1) } - 1) < 1e-12)
        var upper: Int64 = 0
        for (range, count) in histogram.bins {
            #expect(range.lowerBound >= upper && Double(range.count) <= max(1, Double(range.lowerBound) / 1_024))
            #expect(count == Int64(values.count { range.contains($0) }))
            upper = range.upperBound
        }
    }

    @Test(arguments: [0.0, 1, 50, 90, 99, 99.9, 100]) func percentilesAreThoseOfTheValues(p: Double) throws {
        var histogram = DurationHistogram()
        var stream = RandomStream(seed: 2, name: "histogram")
        let values = (0..<20_000).map { _ in Int64(stream.exponential(mean: 20e6)) }.sorted()
        for value in values { histogram.add(SimDuration(nanoseconds: value)) }
        let exact = Double(values[Int(Double(values.count - 1) * p / 100)])
        let found = try #require(histogram.percentile(p))
        #expect(abs(found - exact) <= 1 + exact / 500)
    }

    @Test(arguments: [0, 5, 6, 100]) func gapsAreKeptUpToALimit(limit: Int) {
        let gaps = [3, 4_294_967_294, 4_294_967_295, 1 << 40, 0, 9].map { SimDuration(nanoseconds: $0) }
        var log = TokenGapLog()
        log.limit = limit
        for (index, gap) in gaps.enumerated() { log.append(TokenGap(request: Int32(index), gap: gap)) }
        #expect(log.total == gaps.count && log.isWhole == (limit >= gaps.count))
        #expect(log.map(\.gap) == (limit >= gaps.count ? gaps : []))
        #expect(log.histogram.count == Int64(gaps.count))
    }

    @Test func sortedGapsAreFoundByTheirRanks() {
        var stream = RandomStream(seed: 3, name: "gaps")
        let gaps = (0..<3_000).map { _ in Int64(stream.next() >> UInt64(20 + stream.below(40))) }
        let log = TokenGapLog(gaps.map { TokenGap(request: 0, gap: SimDuration(nanoseconds: $0)) })
        let sorted = gaps.sorted()
        let ranks = [0, 1, 1_499, 1_500, 2_699, 2_998, 2_999]
        #expect(log.sorted(at: ranks) == ranks.map { sorted[$0] })
    }
}
