import Results
import Simulator
import Testing

@Suite("Percentiles")
struct PercentileTests {
    @Test(
        "agree with numpy.percentile",
        arguments: [
            ([7.0], 50.0, 7.0), ([1, 2], 50, 1.5), ([1, 2, 3, 4], 50, 2.5), ([1, 2, 3, 4], 90, 3.7),
            ([1, 2, 3, 4, 5], 25, 2), ([10, 20, 40], 99, 39.6), ([10, 20, 40], 0, 10), ([10, 20, 40], 100, 40),
        ])
    func byHand(values: [Double], p: Double, expected: Double) {
        #expect(abs(percentile(p, ofSorted: values) - expected) <= 1e-12 * expected)
    }

    @Test("lie between the extremes, grow with p, and follow the values when these are scaled", arguments: 0..<20)
    func properties(seed: UInt64) {
        var stream = RandomStream(seed: seed, name: "percentiles")
        let values = (0..<1 + stream.below(50)).map { _ in stream.exponential(mean: 3) }.sorted()
        let ranks = stride(from: 0.0, through: 100, by: 2.5)
        let found = ranks.map { percentile($0, ofSorted: values) }
        #expect(found.first == values.first)
        #expect(found.last == values.last)
        #expect(zip(found, found.dropFirst()).allSatisfy { $0 <= $1 })
        let doubled = ranks.map { percentile($0, ofSorted: values.map { $0 * 2 }) }
        #expect(doubled == found.map { $0 * 2 })
    }

    @Test("a spread passes over what is missing and what is not a number")
    func spread() {
        #expect(Spread([Double?]()) == nil)
        #expect(Spread([nil, .nan, .infinity]) == nil)
        let spread = Spread([3, nil, 1, .nan, 2])
        #expect(spread?.median == 2)
        #expect(spread?.minimum == 1)
        #expect(spread?.maximum == 3)
        #expect(Spread([1, 2])?.median == 1.5)
    }
}

@Suite("Summaries")
struct SummaryTests {
    private func isClose(_ found: Double?, _ expected: Double) -> Bool {
        found.map { abs($0 - expected) <= 1e-12 * max(1, abs(expected)) } ?? false
    }

    @Test("serving figures of a log made by hand")
    func serving() throws {
        let summary = ServingSummary(Fixture.serving, trace: Fixture.trace)
        #expect(summary.finished == 2)
        #expect(summary.refused == 1)
        #expect(summary.unfinished == 0)
        #expect(summary.promptTokens == 30)
        #expect(summary.outputTokens == 4)
        #expect(summary.recordedTokens == 8)
        #expect(summary.droppedTokens == 2)
        let first = try #require(summary.timeToFirstToken)
        #expect(first.count == 2)
        #expect(isClose(first.mean, 0.020))
        #expect(isClose(first.p50, 0.020))
        #expect(isClose(first.p90, 0.028))
        #expect(isClose(first.p99, 0.0298))
        #expect(isClose(summary.queueing?.mean, 0.007))
        #expect(isClose(summary.prefill?.mean, 0.013))
        #expect(isClose(summary.interTokenLatency?.p50, 0.020))
        #expect(summary.timePerOutputToken?.count == 1, "one token has no time per output token")
        #expect(isClose(summary.timePerOutputToken?.mean, 0.020))
        #expect(isClose(summary.endToEnd?.mean, 0.040))
        #expect(isClose(summary.duration, 0.180))
        #expect(isClose(summary.requestThroughput, 2 / 0.180))
        #expect(isClose(summary.outputThroughput, 4 / 0.180))
        #expect(isClose(summary.totalThroughput, 34 / 0.180))
    }

    @Test("queueing and prefill add up to the time to the first token")
    func parts() throws {
        let summary = ServingSummary(Fixture.serving, trace: Fixture.trace)
        let sum = try #require(summary.queueing).mean + (try #require(summary.prefill).mean)
        #expect(isClose(summary.timeToFirstToken?.mean, sum))
    }

    @Test("intervals of means come from the spread of twenty batches")
    func intervals() throws {
        var log = ArmLog()
        // Two requests a batch; TTFT 1 to 20 ms, twice as long to the end. One more at the start, which no batch takes.
        log.requests = (0..<41).map { index in
            var record = RequestRecord(index: index)
            record.outcome = .finished
            let first = index == 0 ? 500 : Int64(1 + (index - 1) / 2)
            record.effectiveArrival = at(Int64(index) * 100)
            record.scheduled = at(Int64(index) * 100)
            record.firstToken = at(Int64(index) * 100 + first)
            record.finish = at(Int64(index) * 100 + 2 * first)
            return record
        }
        let trace = Trace(
            source: "batches",
            requests: (0..<41).map {
                Request(id: "r\($0)", arrival: at(Int64($0) * 100), promptTokens: 3, outputTokens: 2)
            })
        let summary = ServingSummary(log, trace: trace)
        // The means 1 to 20 have a variance of 35; t of 19 degrees of freedom is 2.093 at 97.5 %.
        let expected = 2.093 * (35.0 / 20).squareRoot() * 1e-3
        #expect(abs(try #require(summary.firstTokenInterval) - expected) < 1e-12)
        #expect(abs(try #require(summary.endToEndInterval) - 2 * expected) < 1e-12)
        #expect(abs(try #require(summary.perOutputTokenInterval) - expected) < 1e-12)
        log.requests.removeFirst(3)
        #expect(ServingSummary(log, trace: trace).firstTokenInterval == nil, "less than two for each batch")
    }

    @Test("training figures of a log made by hand")
    func training() throws {
        let summary = try #require(TrainingSummary(Fixture.training(forward: 50, reused: 40), devices: 2))
        #expect(summary.steps == 2)
        #expect(summary.samples == 4)
        #expect(summary.tokens == 200)
        #expect(summary.reusedTokens == 80)
        #expect(summary.staleTokens == 1)
        #expect(isClose(summary.reusedFraction, 0.4))
        #expect(summary.busy == ms(200))
        #expect(summary.compute == ms(180))
        #expect(isClose(summary.tokensPerBusySecond, 1000))
        #expect(isClose(summary.tokensPerWallSecond, 500))
        #expect(isClose(summary.tokensPerDeviceSecond, 250))
        #expect(isClose(summary.forwardShare, 0.5))
        #expect(summary.firstLoss == 3)
        #expect(summary.lastLoss == 2)
        #expect(summary.longestQuantum == ms(9))
        #expect(isClose(summary.meanAge, 1))
        #expect(summary.oldestAge == 2)
        #expect(summary.audits.count == 1)
        #expect(summary.roundingError == 1e-7)
        #expect(summary.stalenessError?.median == 0.02)
    }

    @Test("the mean age weighs steps by their reused tokens")
    func meanAge() {
        var log = Fixture.training(forward: 50, reused: 30)
        log.steps[1].reusedTokens = 90
        #expect(isClose(TrainingSummary(log)?.meanAge, (30 * 0.5 + 90 * 1.5) / 120))
        log.steps[0].reusedTokens = 0
        log.steps[1].reusedTokens = 0
        #expect(TrainingSummary(log)?.meanAge == nil)
        #expect(TrainingSummary(log)?.oldestAge == nil)
    }

    @Test("an arm without training has no figures of it, and an empty one no latencies")
    func absent() {
        let serving = ArmSummary(Fixture.serving, trace: Fixture.trace)
        #expect(serving.training == nil)
        let empty = ArmSummary(ArmLog(), trace: Trace(source: "", requests: []))
        let present = ArmSummary.metrics.filter { $0.value(empty) != nil }
        #expect(present.allSatisfy { $0.value(empty) == 0 }, "only counts and bytes, and these are zero")
        #expect(!present.contains { $0.name.hasPrefix("ttft") || $0.name.hasSuffix("throughput") })
    }

    @Test("bytes are told apart by owner, tier and direction")
    func memory() {
        let summary = ArmSummary(Fixture.training(forward: 50), trace: Fixture.trace)
        #expect(summary.memory.device == Bytes(600))
        #expect(summary.memory.peak(of: .weights, on: .device) == Bytes(500))
        #expect(summary.memory.peak(of: .kv, on: .device) == Bytes(100))
        #expect(summary.memory.peak(of: .kv, on: .host) == .zero)
        #expect(summary.memory.training == Bytes(300))
        #expect(summary.bytesToHost == Bytes(64))
        #expect(summary.bytesToDevice == Bytes(32))
    }

    @Test("names of metrics are unique, also with the marks of extremes")
    func names() {
        for names in [ArmSummary.metrics.map(\.name), Comparison.metrics.map(\.name)] {
            let all = names.flatMap { [$0, $0 + "_min", $0 + "_max"] }
            #expect(Set(all).count == all.count)
        }
    }
}

@Suite("Comparisons")
struct ComparisonTests {
    private func spread(_ metric: Metric<Comparison.Terms>, repeats: Int = 1) throws -> Spread? {
        try RunReport(Fixture.run(repeats: repeats)).comparisons[0].spread(of: metric)
    }

    @Test("ratios of a run made by hand")
    func ratios() throws {
        // Per step of 100 tokens: baseline 50 + 40 compute, 10 else; candidate 10 + 40 and 10.
        let speedup = try #require(try spread(Comparison.trainingSpeedup))
        #expect(abs(speedup.median - 100.0 / 60) < 1e-12)
        #expect(try spread(Comparison.trainingSpeedupWall)?.median == 1)
        let bound = try #require(try spread(Comparison.trainingSpeedupBound))
        #expect(abs(bound.median - 90.0 / 50) < 1e-12)
        #expect(try spread(Comparison.trainingPeakMemoryRatio)?.median == 0.5)
        #expect(try spread(Comparison.firstTokenRatio50)?.median == 1)
        #expect(try spread(Comparison.tokenGapRatio99)?.median == 1)
        #expect(try spread(Comparison.reusedTokenFraction)?.median == 0.8)
        #expect(try spread(Comparison.roundingError)?.median == 1e-7)
        #expect(try spread(Comparison.stalenessError)?.median == 0.02)
        #expect(try spread(Comparison.hostPeakBytes)?.median == 64)
    }

    @Test("over repeats the median stands between the extremes")
    func repeats() throws {
        let speedup = try #require(try spread(Comparison.trainingSpeedup, repeats: 3))
        #expect(abs(speedup.minimum - 100.0 / 60) < 1e-12)
        #expect(abs(speedup.median - 101.0 / 60) < 1e-12)
        #expect(abs(speedup.maximum - 102.0 / 60) < 1e-12)
    }

    @Test("a ratio is taken within a repeat, not between medians")
    func withinRepeat() throws {
        var run = Fixture.run()
        // Both arms slow down together in the second and third repeat: every ratio stays what it was.
        func slowed(_ log: ArmLog, by factor: Int64) -> ArmLog {
            var log = log
            for index in log.steps.indices {
                log.steps[index].stall = .zero
                log.steps[index].time.publish = .zero
                log.steps[index].time.loss = .zero
                log.steps[index].time.optimizer = .zero
                log.steps[index].time.forward = ms(factor * log.steps[index].time.forward.nanoseconds / 1_000_000)
                log.steps[index].time.backward = ms(factor * 25)
            }
            return log
        }
        for arm in 1...2 {
            let log = run.arms[arm].repeats[0]
            run.arms[arm].repeats = [1, 3, 2].map { slowed(log, by: $0) }
        }
        run.arms[0].repeats = Array(repeating: Fixture.serving, count: 3)
        let speedup = try #require(try RunReport(run).comparisons[0].spread(of: Comparison.trainingSpeedup))
        #expect(abs(speedup.minimum - 75.0 / 35) < 1e-12)
        #expect(abs(speedup.maximum - 75.0 / 35) < 1e-12)
    }

    @Test("a ratio whose terms are missing is none")
    func missing() throws {
        var run = Fixture.run()
        run.comparisons = [ComparedArms(baseline: "serve-only", candidate: "reuse", reference: nil)]
        let comparison = try RunReport(run).comparisons[0]
        #expect(comparison.spread(of: Comparison.trainingSpeedup) == nil)
        #expect(comparison.spread(of: Comparison.trainingSpeedupBound) == nil)
        #expect(comparison.spread(of: Comparison.trainingPeakMemoryRatio) == nil)
        #expect(comparison.spread(of: Comparison.firstTokenRatio50) == nil)
        #expect(comparison.spread(of: Comparison.reusedTokenFraction) != nil)
    }

    @Test("an arm that is not there is named")
    func unknownArm() throws {
        var run = Fixture.run()
        run.comparisons = [ComparedArms(baseline: "recompute", candidate: "resue", reference: nil)]
        let error = failure(ResultsError.self) { try RunReport(run) }
        #expect(error == .unknownArm("resue", known: ["serve-only", "recompute", "reuse"]))
    }

    @Test("repeats that some arm lacks are left out")
    func unevenRepeats() throws {
        var run = Fixture.run(repeats: 2)
        run.arms[2].repeats.removeLast()
        #expect(try RunReport(run).comparisons[0].terms.count == 1)
    }
}
