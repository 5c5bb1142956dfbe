import Foundation
import Simulator
import Testing

@Suite struct TraceGeneratorTests {
    private static func trace(_ change: (inout TraceGeneratorOptions) -> Void) throws -> Trace {
        var options = TraceGeneratorOptions()
        options.requests = 1000
        options.content = .counts
        options.maxContext = 8192
        change(&options)
        return try TraceGenerator(options).generate()
    }

    @Test(arguments: [0.3, 0.5, 0.7, 0.84, 0.95], [UInt64(0), 1]) func hitsTheShareThatIsAskedFor(
        share: Double, seed: UInt64
    ) throws {
        let trace = try Self.trace {
            $0.targetPrefillShare = share
            $0.seed = seed
        }
        let prompts = trace.requests.reduce(0) { $0 + $1.promptTokens }
        let all = trace.requests.reduce(0) { $0 + $1.promptTokens + $1.outputTokens - 1 }
        #expect(abs(Double(prompts) / Double(all) / share - 1) < 0.01)
    }

    @Test func anUnreachableShareIsRefused() {
        #expect(throws: TraceGeneratorError.self) {
            _ = try Self.trace {
                $0.targetPrefillShare = 0.01
                $0.maxContext = 64
            }
        }
    }

    @Test func theSameOptionsGiveTheSameTraceAndOtherSeedsOthers() throws {
        for content in TraceGeneratorOptions.Content.allCases {
            func make(_ seed: UInt64) throws -> [Request] {
                try Self.trace {
                    $0.requests = 60
                    $0.content = content
                    $0.seed = seed
                }.requests
            }
            #expect(try make(3) == make(3))
            #expect(try make(3) != make(4))
        }
    }

    /// Conversations are a Poisson process and bring a geometric number of turns each: the count over a span of T has a
    /// variance of rate T (2 meanTurns - 1).
    @Test(arguments: [0.5, 20, 3000], [1.0, 4.0]) func arrivesAtTheMeanRate(rate: Double, turns: Double) throws {
        let trace = try Self.trace {
            $0.requests = 20_000
            $0.rate = rate
            $0.meanTurns = turns
            $0.meanThinkTime = 0.1 / rate
        }
        let measured = 19_999 / (trace.requests[19_999].arrival - trace.requests[0].arrival).seconds
        let error = ((2 * turns - 1) / 20_000).squareRoot()
        #expect(abs(measured / rate - 1) < 4 * error)
        #expect(zip(trace.requests, trace.requests.dropFirst()).allSatisfy { $0.arrival <= $1.arrival })
        let conversations = Double(trace.requests.count { $0.previousTurn == nil })
        #expect(abs(20_000 / conversations / turns - 1) < 4 * error)
    }

    @Test(arguments: [8, 60, 500, 4000], [0.1, 1, 20]) func keepsWithinTheContextAndItsConversations(
        context: Int, scale: Double
    ) throws {
        let trace = try Self.trace {
            $0.maxContext = context
            $0.scale = scale
            $0.meanTurns = 5
        }
        #expect(trace.requests.count == 1000)
        #expect(Set(trace.requests.map(\.id)).count == 1000)
        var last: [String: Int] = [:]
        for (index, request) in trace.requests.enumerated() {
            #expect(request.promptTokens >= 1 && request.outputTokens >= 1)
            #expect(request.promptTokens + request.outputTokens <= context)
            let conversation = try #require(request.conversation)
            #expect(request.previousTurn == last[conversation])
            if let previous = request.previousTurn.map({ trace.requests[$0] }) {
                #expect(request.turn == previous.turn + 1)
                #expect(request.promptTokens > previous.promptTokens + previous.outputTokens)
            } else {
                #expect(request.turn == 0 && request.thinkTime == .zero)
            }
            last[conversation] = index
        }
    }

    @Test func everyTurnBeginsWithTheOneBefore() throws {
        let trace = try Self.trace {
            $0.requests = 150
            $0.content = .ids
            $0.scale = 0.2
            $0.vocabulary = 300
        }
        var continued = 0
        for request in trace.requests {
            let prompt = try #require(request.prompt)
            #expect(prompt.count == request.promptTokens && request.output?.count == request.outputTokens)
            #expect((prompt + (request.output ?? [])).allSatisfy { (0..<300).contains($0) })
            guard let previous = request.previousTurn.map({ trace.requests[$0] }) else { continue }
            #expect(prompt.starts(with: (previous.prompt ?? []) + (previous.output ?? [])))
            continued += 1
        }
        #expect(continued > 50)
    }

    private static func turns(_ change: (inout TraceGeneratorOptions) -> Void) throws -> [String: Request] {
        let trace = try trace {
            $0.maxContext = 1_000_000
            change(&$0)
        }
        return Dictionary(
            uniqueKeysWithValues: trace.requests.map { ("\($0.conversation ?? "")/\($0.turn)", $0) })
    }

    /// What one option decides is all that it changes: turns that are in both traces differ in nothing else.
    @Test func everyDrawHasItsOwnStream() throws {
        let base = try Self.turns { _ in }
        func compare(
            _ change: (inout TraceGeneratorOptions) -> Void, _ same: (Request, Request) -> Bool
        ) throws {
            let other = try Self.turns(change)
            let common = base.keys.filter { other[$0] != nil }
            #expect(common.count > 500)
            for key in common {
                guard let a = base[key], let b = other[key] else { continue }
                #expect(same(a, b), "\(key)")
            }
        }
        func lengths(_ a: Request, _ b: Request) -> Bool {
            a.promptTokens == b.promptTokens && a.outputTokens == b.outputTokens
        }
        try compare({ $0.rate = 30 }) { lengths($0, $1) && $0.thinkTime == $1.thinkTime }
        try compare({ $0.meanThinkTime = 9 }) { lengths($0, $1) }
        try compare({ $0.feedbackRate = 0.1 }) {
            lengths($0, $1) && $0.arrival == $1.arrival && $0.thinkTime == $1.thinkTime
        }
        try compare({ $0.scale = 0.5 }) {
            $0.arrival == $1.arrival && $0.thinkTime == $1.thinkTime && $0.feedback == $1.feedback
        }
    }

    @Test(arguments: [0, 0.3, 1]) func feedbackComesAtItsRateAndDelay(rate: Double) throws {
        let trace = try Self.trace {
            $0.requests = 10_000
            $0.feedbackRate = rate
            $0.meanFeedbackDelay = 2.5
        }
        let delays = trace.requests.compactMap { request in
            if case .given(let feedback) = request.feedback { feedback.delay.seconds } else { nil }
        }
        #expect(trace.requests.allSatisfy { $0.feedback != .unstated })
        let share = Double(delays.count) / 10_000
        #expect(abs(share - rate) <= 4 * (rate * (1 - rate) / 10_000).squareRoot())
        guard !delays.isEmpty else { return }
        let mean = delays.reduce(0, +) / Double(delays.count)
        #expect(abs(mean / 2.5 - 1) < 4 / Double(delays.count).squareRoot())
    }
}

@Suite struct FeedbackConfigurationTests {
    @Test(arguments: [0, 0.25, 1]) func hasItsRateAndDelay(rate: Double) {
        var configuration = FeedbackConfiguration()
        configuration.rate = rate
        configuration.meanDelay = .milliseconds(40)
        let ids = (0..<20_000).map { "request \($0)" }
        let given = ids.compactMap { configuration.feedback(for: $0, seed: 6) }
        let share = Double(given.count) / 20_000
        #expect(abs(share - rate) <= 4 * (rate * (1 - rate) / 20_000).squareRoot())
        guard !given.isEmpty else { return }
        let mean = given.reduce(0) { $0 + $1.delay.seconds } / Double(given.count)
        #expect(abs(mean / 0.040 - 1) < 4 / Double(given.count).squareRoot())
    }

    /// The answer depends on the request and the seed alone, and a higher rate only adds feedback.
    @Test func dependsOnNothingElse() {
        let configuration = FeedbackConfiguration()
        let ids = (0..<500).map { "r\($0)" }
        let forward = ids.map { configuration.feedback(for: $0, seed: 1) }
        let backward = ids.reversed().map { configuration.feedback(for: $0, seed: 1) }
        #expect(forward == backward.reversed())
        #expect(forward != ids.map { configuration.feedback(for: $0, seed: 2) })
        var generous = configuration
        generous.rate = 0.9
        for (id, feedback) in zip(ids, forward) where feedback != nil {
            #expect(generous.feedback(for: id, seed: 1) == feedback)
        }
    }
}
