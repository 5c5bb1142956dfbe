import Foundation
import Simulator
import Testing

/// Generated traces against what they were asked for.
@Suite struct TraceFitTests {
    private static func generate(
        _ options: TraceGeneratorOptions = TraceGeneratorOptions(), change: (inout TraceGeneratorOptions) -> Void
    ) throws -> Trace {
        var options = options
        change(&options)
        return try TraceGenerator(options).generate()
    }

    @Test(
        "Named fits meet their data sets", arguments: NamedFit.allCases.filter { $0.targets != nil },
        [0, 1, 2, 3, 4, 5, 6, 7] as [UInt64])
    func fits(fit: NamedFit, seed: UInt64) throws {
        let trace = try Self.generate(TraceGeneratorOptions(fit)) { ($0.requests, $0.seed) = (30_000, seed) }
        var builder = TraceSummaryBuilder()
        for request in trace.requests { builder.add(request) }
        let comparison = try #require(builder.comparison(with: fit))
        for side in [comparison.prompt, comparison.output] {
            #expect(abs(side.mean) <= 0.05 && abs(side.p50) <= 0.05 && abs(side.p90) <= 0.05, "\(side)")
            #expect(abs(side.p99) <= 0.1, "\(side)")
            #expect(side.distance <= 0.05, "\(side)")
        }
        let targets = try #require(fit.targets)
        let p = targets.prompt.mean / (targets.prompt.mean + targets.output.mean - 1)
        #expect(abs(builder.summary().prefillShare / p - 1) <= 0.03)
    }

    @Test("Single turns meet their data set in a few hundred requests", arguments: [0, 1, 2] as [UInt64])
    func fewRequestsMeetTheirFit(seed: UInt64) throws {
        for fit in [NamedFit.azureConversation, .mooncake] {
            let trace = try Self.generate(TraceGeneratorOptions(fit)) { ($0.requests, $0.seed) = (500, seed) }
            var builder = TraceSummaryBuilder()
            for request in trace.requests { builder.add(request) }
            let comparison = try #require(builder.comparison(with: fit))
            for side in [comparison.prompt, comparison.output] {
                #expect(max(abs(side.mean), abs(side.p50), abs(side.p90)) <= 0.05 && abs(side.p99) <= 0.1, "\(side)")
                #expect(side.distance <= 0.005, "\(side)")
            }
        }
    }

    /// Evenly spread does not mean in order: neighbours know nothing of each other, but texts and answers do.
    @Test func spreadLengthsKeepTheirDependence() throws {
        func correlation(_ pairs: [(Int, Int)]) -> Double {
            func ranks(_ values: [Int]) -> [Double] {
                var ranks = Array(repeating: 0.0, count: values.count)
                for (rank, index) in values.indices.sorted(by: { values[$0] < values[$1] }).enumerated() {
                    ranks[index] = Double(rank) - Double(values.count - 1) / 2
                }
                return ranks
            }
            let (a, b) = (ranks(pairs.map(\.0)), ranks(pairs.map(\.1)))
            return zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } / a.reduce(0) { $0 + $1 * $1 }
        }
        let requests = try Self.generate(TraceGeneratorOptions(.mooncake)) { $0.requests = 5000 }.requests
        // Of normal scores that correlate by -0.534, the ranks do by 6 / pi asin(-0.534 / 2).
        #expect(abs(correlation(requests.map { ($0.promptTokens, $0.outputTokens) }) + 0.516) < 0.04)
        let neighbours = zip(requests, requests.dropFirst()).map { ($0.promptTokens, $1.promptTokens) }
        #expect(abs(correlation(neighbours)) < 0.04)
    }

    /// A sample of one value lies at one step: the distance is what the data set has on the larger side of it.
    @Test(arguments: [(1020, 0.4, 0.6), (14_050, 0.95, 1.0), (1, 0.95, 1.0)])
    func aSampleOfOneValueIsFarAway(prompt: Int, least: Double, most: Double) throws {
        var builder = TraceSummaryBuilder()
        for index in 0..<4 {
            builder.add(
                Request(
                    id: "\(index)", arrival: SimTime(nanoseconds: Int64(index)), promptTokens: prompt,
                    outputTokens: 1000))
        }
        let comparison = try #require(builder.comparison(with: .azureConversation))
        #expect((least...most).contains(comparison.prompt.distance), "\(comparison.prompt)")
    }

    @Test func publishedMeansAreMet() throws {
        let first = TraceSummary(try Self.generate(TraceGeneratorOptions(.shareGPTFirst)) { $0.requests = 30_000 })
        #expect(abs(first.prompt.mean / 161.31 - 1) <= 0.05 && abs(first.output.mean / 337.99 - 1) <= 0.05, "\(first)")
        let code = TraceSummary(try Self.generate(TraceGeneratorOptions(.azureCode)) { $0.requests = 30_000 })
        #expect(abs(code.prompt.p50 / 1500 - 1) <= 0.05 && abs(code.output.p50 / 13 - 1) <= 0.05, "\(code)")
    }

    @Test("The variation of gaps is met", arguments: [0.3, 1, 2, 4], [500, 5000])
    func gamma(variation: Double, requests: Int) throws {
        let trace = try Self.generate {
            ($0.requests, $0.arrivals) = (requests, .gamma(rate: 5, variation: variation))
        }
        let summary = TraceSummary(trace)
        #expect(abs(try #require(summary.gapVariation) / variation - 1) <= 0.03)
        #expect(abs(try #require(summary.rate) / 5 - 1) <= 1e-6)
    }

    @Test("A variation that so few gaps cannot have is refused", arguments: [(20, 50.0), (5, 3), (100, 20)])
    func unreachableVariation(requests: Int, variation: Double) throws {
        let error = #expect(throws: TraceGeneratorError.self) {
            try Self.generate { ($0.requests, $0.arrivals) = (requests, .gamma(rate: 5, variation: variation)) }
        }
        let message = try #require(error).description
        #expect(message.hasPrefix("--cv: found \(variation), expected a variation that the gaps of \(requests)"))
    }

    @Test("Windows are whole, and their edges exact")
    func dispersionOfABeat() throws {
        // A request each tenth of a second, of which binary fractions know nothing: ten in each window, the last of which
        // ends where the last arrival is.
        let requests = (0...300).map {
            Request(
                id: "\($0)", arrival: SimTime(nanoseconds: 7_000_000_003 + Int64($0) * 100_000_000), promptTokens: 1,
                outputTokens: 1)
        }
        for count in [301, 300, 296] {
            let arrivals = TraceSummary(Trace(source: "beat", requests: Array(requests.prefix(count)))).arrivals
            #expect(arrivals.dispersion == [1: 0], "\(arrivals)")
            #expect(arrivals.series.reduce(0, +) == count)
        }
    }

    @Test func burstsComeInBursts() throws {
        let model = ArrivalModel.bursts(rate: 5, factor: 20, meanCalm: 30, meanBurst: 5)
        let arrivals = TraceSummary(try Self.generate { ($0.requests, $0.arrivals) = (50_000, model) }).arrivals
        #expect(abs(try #require(arrivals.rate) / 5 - 1) < 0.1, "\(arrivals)")
        #expect(try #require(arrivals.gapVariation) > 1.5)
        #expect(try #require(arrivals.dispersion[10]) > 10)
        let poisson = TraceSummary(try Self.generate { ($0.requests, $0.arrivals) = (50_000, .poisson(rate: 5)) })
        #expect(abs(try #require(poisson.arrivals.dispersion[10]) - 1) < 0.2)
    }

    @Test func daysHaveNights() throws {
        let model = ArrivalModel.diurnal(rate: 10, amplitude: 0.8, period: 1000)
        let trace = try Self.generate { ($0.requests, $0.arrivals) = (100_000, model) }
        var counts = [0, 0, 0, 0]
        for request in trace.requests where request.arrival.seconds < 9000 {
            counts[Int(request.arrival.seconds / 250) % 4] += 1
        }
        // The integral of 1 - a cos over each quarter: a quarter of the whole, less or more a / (2 pi) of it.
        let swing = 0.8 / (2 * Double.pi)
        for (count, share) in zip(counts, [0.25 - swing, 0.25 + swing, 0.25 + swing, 0.25 - swing]) {
            #expect(abs(Double(count) / Double(counts.reduce(0, +)) - share) < 0.01, "\(counts)")
        }
    }

    @Test func arrivalsAndLengthsCanBeThoseOfAnother() throws {
        let other = try Self.generate { ($0.requests, $0.seed) = (200, 9) }
        let times = other.requests.map(\.arrival)
        let pairs = other.requests.map { LengthPair(user: $0.promptTokens, answer: $0.outputTokens) }
        let trace = try Self.generate {
            ($0.requests, $0.meanTurns, $0.maxContext) = (150, 1, 100_000)
            ($0.arrivals, $0.lengths) = (.replay(times), .empirical(pairs))
        }
        #expect(trace.requests.map(\.arrival) == Array(times.prefix(150)))
        let known = Set(pairs.map { [$0.user, $0.answer] })
        #expect(trace.requests.allSatisfy { known.contains([$0.promptTokens, $0.outputTokens]) })
        #expect(throws: TraceGeneratorError.self) {
            try Self.generate { ($0.requests, $0.arrivals) = (201, .replay(times)) }
        }
    }

    @Test("Feedback is of the kind asked for", arguments: Feedback.Kind.allCases, TraceContent.allCases)
    func feedback(kind: Feedback.Kind, content: TraceContent) throws {
        let trace = try Self.generate(.sample) {
            ($0.content, $0.requests) = (content, 200)
            $0.feedback?.kind = kind
            if kind == .sft, content == .ids { $0.feedback?.editedShare = 0.5 }
        }
        #expect(
            try readTrace(written(trace.requests), limits: TraceLimits(maxContext: 1024)).requests == trace.requests)
        let given = trace.requests.compactMap { if case .given(let feedback) = $0.feedback { feedback } else { nil } }
        #expect(given.count > 100 && given.allSatisfy { $0.kind == kind })
        let others = given.flatMap(\.otherAnswers)
        #expect(others.allSatisfy { ($0.ids != nil) == (content == .ids) })
        switch kind {
        case .sft: #expect(content == .counts || abs(Double(others.count) / Double(given.count) - 0.5) < 0.15)
        case .dpo:
            let chosen = given.count { if case .dpo(.chosen) = $0.signal { true } else { false } }
            #expect(others.count == given.count && chosen > given.count / 4 && chosen < given.count * 3 / 4)
        case .group:
            for case .group(let weight, let others) in given.map(\.signal) {
                let weights: [Double] = [weight] + others.map(\.weight)
                let sum = weights.reduce(0, +)
                let squares = weights.reduce(0) { $0 + $1 * $1 }
                #expect(weights.count == 4 && abs(sum) < 1e-3)
                #expect(abs(squares / 4 - 1) < 1e-2)
            }
        }
        let plain = try Self.generate(.sample) { ($0.content, $0.requests) = (content, 200) }
        #expect(plain.requests.map(\.arrival) == trace.requests.map(\.arrival))
        #expect(plain.requests.map(\.outputTokens) == trace.requests.map(\.outputTokens))
    }

    @Test func beginningsAreShared() throws {
        let options = TraceGeneratorOptions(.azureConversation)
        let trace = try Self.generate(options) {
            ($0.requests, $0.sharedPrefix) = (2000, .init(tokens: 600, groups: 5))
        }
        let summary = TraceSummary(trace)
        #expect(summary.sharedPromptTokens == 600 * (2000 - 5))
        let counts = Dictionary(grouping: trace.requests) { $0.prefix?.blocks ?? [] }.mapValues(\.count)
        #expect(counts.count == 5)
        // Of five ranks with weights 1 / r, the first has 60 / 137.
        let first = Double(try #require(counts[[0]])) / 2000
        #expect(abs(first - 60.0 / 137) < 0.05)
        let ids = try Self.generate(options) {
            ($0.requests, $0.content) = (50, .ids)
            ($0.sharedPrefix, $0.language.vocabulary) = (.init(tokens: 608, groups: 2), 500)
        }
        #expect(TraceSummary(ids).sharedPromptTokens >= 608 * 48, "ids are seen to be shared without names")
    }

    @Test func languageShifts() throws {
        func generated(_ shift: TraceGeneratorOptions.LanguageShift?) throws -> [Request] {
            try Self.generate(.sample) { ($0.requests, $0.languageShift) = (200, shift) }.requests
        }
        let plain = try generated(nil)
        let shifted = try generated(.init(share: 0.5, start: 0.5))
        #expect(plain.map(\.promptTokens) == shifted.map(\.promptTokens))
        #expect(plain[..<100] == shifted[..<100])
        let differing = zip(plain[100...], shifted[100...]).count { $0.prompt != $1.prompt }
        #expect(differing > 50)
        #expect(try generated(.init(share: 0, start: 0.5)) == plain)
    }
}
