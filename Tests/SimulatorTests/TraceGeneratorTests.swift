import Simulator
import Testing

@Suite struct TraceGeneratorTests {
    private static func generate(
        _ base: TraceGeneratorOptions = TraceGeneratorOptions(),
        change: (inout TraceGeneratorOptions) -> Void = { _ in }
    ) throws(TraceGeneratorError) -> Trace {
        var options = base
        change(&options)
        return try TraceGenerator(options).generate()
    }

    @Test(
        "The prefill share is met within 1 %",
        arguments: [0.7, 0.8, 0.88, 0.95], [60, 300, 2000])
    func prefillShare(target: Double, requests: Int) throws {
        for seed in 0..<10 as Range<UInt64> {
            let trace = try Self.generate(.sample) {
                $0.requests = requests
                $0.seed = seed
                $0.content = .counts
                $0.targetPrefillShare = target
            }
            let share = TraceSummary(trace).prefillShare
            #expect(abs(share - target) <= 0.01 * target, "seed \(seed): \(share)")
        }
    }

    @Test(arguments: [0.05, 0.3, 0.5, 0.9])
    func prefillShareOfSingleTurns(target: Double) throws {
        let trace = try Self.generate {
            $0.meanTurns = 1
            $0.targetPrefillShare = target
        }
        #expect(abs(TraceSummary(trace).prefillShare - target) <= 0.01 * target)
        #expect(trace.requests.allSatisfy { $0.conversation == nil && $0.turn == 0 })
    }

    @Test func whatCannotBeReachedIsSaid() {
        #expect(throws: TraceGeneratorError.self) {
            try Self.generate {
                $0.meanTurns = 20
                $0.scale = 0.05
                $0.targetPrefillShare = 0.3
            }
        }
    }

    @Test("Lengths are in ShareGPT's proportions")
    func lengths() throws {
        let summary = TraceSummary(try Self.generate { $0.requests = 20_000 })
        func isNear(_ value: Double, _ target: Double, _ tolerance: Double) -> Bool {
            abs(value - target) <= tolerance * target
        }
        #expect(isNear(summary.output.mean, 439, 0.1), "\(summary.output)")
        #expect(isNear(summary.output.p50, 415, 0.1), "\(summary.output)")
        #expect(isNear(summary.output.p90, 834, 0.1), "\(summary.output)")
        #expect(isNear(summary.output.p99, 998, 0.1), "\(summary.output)")
        #expect(isNear(summary.prompt.mean, 2340, 0.1), "\(summary.prompt)")
        #expect(isNear(summary.prompt.p50, 1730, 0.15), "\(summary.prompt)")
        #expect(isNear(summary.prompt.p90, 5696, 0.1), "\(summary.prompt)")
        #expect(isNear(summary.prompt.p99, 7434, 0.1), "\(summary.prompt)")
        let first = TraceSummary(try Self.generate { ($0.requests, $0.meanTurns) = (20_000, 1) })
        #expect(isNear(first.prompt.mean, 161, 0.1), "\(first.prompt)")
        let half = TraceSummary(
            try Self.generate { ($0.requests, $0.scale, $0.maxContext) = (20_000, 0.5, 4096) })
        #expect(isNear(half.prompt.mean, summary.prompt.mean / 2, 0.02))
    }

    @Test func arrivalsArePoisson() throws {
        let summary = TraceSummary(
            try Self.generate {
                $0.requests = 20_000
                $0.arrivals = .poisson(rate: 7)
            })
        let rate = try #require(summary.rate)
        let variation = try #require(summary.gapVariation)
        #expect(abs(rate - 7) < 0.2)
        #expect(abs(variation - 1) < 0.05)
    }

    @Test func theSampleIsAsPromised() throws {
        let trace = try TraceGenerator(.sample).generate()
        let summary = TraceSummary(trace)
        #expect(summary.requests == 60 && summary.hasIDs)
        #expect(300...400 ~= summary.prompt.mean, "\(summary.prompt)")
        #expect(45...60 ~= summary.output.mean, "\(summary.output)")
        #expect(2.5...3.5 ~= summary.turns.mean, "\(summary.turns)")
        #expect(abs(summary.prefillShare - 0.88) < 0.0088)
        #expect(0.6...0.8 ~= summary.feedbackShare, "\(summary.feedbackShare)")
        #expect(15...25 ~= summary.span.seconds, "\(summary.span)")
        #expect(written(trace.requests).count < 250_000, "\(written(trace.requests).count)")
        let limits = TraceLimits(maxContext: 1024, vocabulary: 2048)
        #expect(try readTrace(written(trace.requests), limits: limits).requests == trace.requests)
    }

    @Test func sameSeedSameBytes() throws {
        let bytes = written(try Self.generate(.sample).requests)
        #expect(bytes == written(try Self.generate(.sample).requests))
        #expect(bytes != written(try Self.generate(.sample) { $0.seed += 1 }.requests))
    }

    struct Change: Sendable, CustomTestStringConvertible {
        let name: String
        let apply: @Sendable (inout TraceGeneratorOptions) -> Void
        /// What must stay as it was.
        let invariant: @Sendable (Request) -> [Int]
        var testDescription: String { name }
    }

    private static func delay(_ request: Request) -> Int {
        if case .given(let feedback) = request.feedback { Int(feedback.delay.nanoseconds) } else { 0 }
    }

    static let changes: [Change] = [
        Change(
            name: "turns leave arrivals and feedback", apply: { $0.meanTurns = 8 },
            invariant: { [Int($0.arrival.nanoseconds), delay($0)] }),
        Change(
            name: "scale and share leave arrivals and feedback",
            apply: { ($0.scale, $0.targetPrefillShare) = (0.2, 0.8) },
            invariant: { [Int($0.arrival.nanoseconds), delay($0)] }),
        Change(
            name: "the feedback's rate leaves all but itself", apply: { $0.feedback?.rate = 0 },
            invariant: { [Int($0.arrival.nanoseconds), $0.promptTokens, $0.outputTokens, $0.turn] }),
        Change(
            name: "the vocabulary leaves all but ids", apply: { $0.language.vocabulary = 99 },
            invariant: { [Int($0.arrival.nanoseconds), $0.promptTokens, $0.outputTokens, delay($0)] }),
        Change(
            name: "content leaves all but ids", apply: { $0.content = .counts },
            invariant: { [Int($0.arrival.nanoseconds), $0.promptTokens, $0.outputTokens, delay($0)] }),
    ]

    @Test("One option does not shift what others draw", arguments: changes)
    func independence(_ change: Change) throws {
        let before = try Self.generate(.sample)
        let after = try Self.generate(.sample, change: change.apply)
        #expect(before.requests != after.requests)
        #expect(before.requests.map(change.invariant) == after.requests.map(change.invariant))
    }

    @Test("Conversations keep their lengths when arrivals come faster")
    func conversationsAreIndependentOfTheRate() throws {
        func opening(_ trace: Trace) -> [String: [Int]] {
            var lengths: [String: [Int]] = [:]
            for request in trace.requests where request.turn == 0 {
                lengths[request.conversation ?? ""] = [request.promptTokens, request.outputTokens]
            }
            return lengths
        }
        let slow = opening(try Self.generate())
        let fast = opening(try Self.generate { $0.arrivals = .poisson(rate: 100) })
        let common = slow.filter { fast[$0.key] != nil }
        #expect(common.count > 50)
        #expect(common.allSatisfy { fast[$0.key] == $0.value })
    }

    @Test func contextIsNeverExceeded() throws {
        for maxContext in [2, 3, 100, 1000] {
            let trace = try Self.generate { ($0.maxContext, $0.requests) = (maxContext, 500) }
            #expect(
                trace.requests.allSatisfy {
                    $0.promptTokens >= 1 && $0.outputTokens >= 1 && $0.promptTokens + $0.outputTokens <= maxContext
                })
        }
    }

    @Test(arguments: [
        "--requests: found 0, expected at least 1", "--turns: found nan, expected a mean from 1 to 1000000",
        "--scale: found 0.0, expected a factor above 0, up to 1000000",
        "--rate: found -1.0, expected requests a second, more than 2.5e-05, up to 1000000",
        "--target-p: found 1.0, expected a share between 0 and 1",
        "--feedback-rate: found 1.5, expected a share from 0 to 1",
        "--max-context: found 1, expected at least 2 tokens", "--vocabulary: found 1, expected at least 2 tokens",
    ])
    func optionsOutOfRange(_ message: String) {
        var options = TraceGeneratorOptions()
        switch message.split(separator: ":").first {
        case "--requests": options.requests = 0
        case "--turns": options.meanTurns = .nan
        case "--scale": options.scale = 0
        case "--rate": options.arrivals = .poisson(rate: -1)
        case "--target-p": options.targetPrefillShare = 1
        case "--feedback-rate": options.feedback = .init(rate: 1.5, meanDelay: 1)
        case "--max-context": options.maxContext = 1
        default: options.language.vocabulary = 1
        }
        do throws(TraceGeneratorError) {
            _ = try TraceGenerator(options)
            Issue.record("accepted")
        } catch {
            #expect(error.description == message)
        }
    }
}

@Suite struct TraceSummaryTests {
    @Test func figuresOfAHandMadeTrace() throws {
        let trace = try readTrace(
            """
            {"id":1,"arrival":1,"prompt_tokens":10,"output_tokens":5,"conversation":"c","feedback":{"delay":1}}
            {"id":2,"arrival":2,"prompt_tokens":20,"output_tokens":1,"feedback":null}
            {"id":3,"arrival":5,"prompt_tokens":30,"output_tokens":3,"conversation":"c","turn":1}
            """)
        let summary = TraceSummary(trace)
        #expect(summary.requests == 3 && summary.conversations == 2)
        #expect(summary.prompt.mean == 20 && summary.prompt.p50 == 20 && summary.prompt.p90 == 28)
        #expect(summary.prompt.least == 10 && summary.prompt.most == 30)
        #expect(summary.totalPromptTokens == 60 && summary.totalOutputTokens == 9)
        #expect(summary.prefillShare == 60.0 / 66)
        #expect(summary.turns.mean == 1.5 && summary.turns.most == 2)
        #expect(summary.span == .milliseconds(4000))
        #expect(summary.rate == 0.5)
        #expect(summary.gapVariation == 0.5)
        #expect([summary.feedbackGiven, summary.feedbackNone, summary.feedbackUnstated] == [1, 1, 1])
        #expect(!summary.hasIDs)
    }

    @Test func traceOfNothing() {
        let summary = TraceSummary(Trace(source: "none", requests: []))
        #expect(summary.requests == 0 && summary.rate == nil && summary.prefillShare == 0)
    }
}
