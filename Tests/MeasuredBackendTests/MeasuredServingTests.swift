import Engine
import MeasuredBackend
import Simulator
import Testing

/// Paged KV on real K and V: whatever blocks are shared, copied, lost or moved, every emitted token has the logits of the
/// plain path.
@Suite(.serialized) struct MeasuredServingTests {
    private struct Place: Hashable {
        var request: Int
        var position: Int
    }

    private final class Observed {
        var logits: [Place: [Float]] = [:]
    }

    private static func run(
        _ trace: Trace, _ change: (inout ArmConfiguration) -> Void
    ) throws -> (log: ArmLog, logits: [Place: [Float]]) {
        var configuration = ArmConfiguration(seed: 3)
        configuration.serving.tokenBudget = 64
        change(&configuration)
        let backend = TinyArm.backend(configuration, TinyTokens(trace))
        let observed = Observed()
        backend.logitsObserver = { observed.logits[Place(request: $0, position: $1)] = $2 }
        var simulation = try TinyArm.simulation(configuration, trace, backend)
        simulation.checksEveryEvent = true
        let log = try simulation.run()
        #expect(backend.arenaIsEmpty)
        for peak in log.memory.arenas {
            #expect(peak.held == peak.booked, "\(peak.purpose.name) on the \(peak.tier.name)")
        }
        return (log, observed.logits)
    }

    enum Way: CaseIterable {
        case prefixes, wholePrompts, recompute, swap, both

        func apply(_ configuration: inout ArmConfiguration) {
            switch self {
            case .prefixes: configuration.serving.prefixCache = true
            case .wholePrompts:
                configuration.serving.prefixCache = true
                configuration.serving.kvBlockTokens = 2
            case .recompute: TinyArm.limitKV(&configuration)
            case .swap:
                TinyArm.limitKV(&configuration)
                configuration.serving.preemption = .swap
            case .both:
                TinyArm.limitKV(&configuration)
                configuration.serving.prefixCache = true
                configuration.serving.kvBlockTokens = 8
                configuration.serving.policy = .prefillFirst
            }
        }
    }

    @Test(arguments: Way.allCases) func logitsAreThoseOfThePlainPath(way: Way) throws {
        var trace = try TinyArm.trace(requests: 30)
        if way == .wholePrompts {
            // Every prompt again, long after: all of it is found, and its last block copied.
            let last = trace.requests.last?.arrival ?? .zero
            let ids = TokenSource(trace: trace, vocabulary: 512, seed: 5)
            for index in trace.requests.indices {
                trace.requests[index].prompt = ids.prompt(of: index)
                trace.requests[index].output = ids.output(of: index)
            }
            let again = trace.requests.enumerated().map { index, request in
                Request(
                    id: request.id + " again", arrival: last + SimDuration.milliseconds(Int64(60_000 + index)),
                    promptTokens: request.promptTokens, outputTokens: request.outputTokens, prompt: request.prompt,
                    output: request.output)
            }
            trace.requests += again
        }
        let plain = try Self.run(trace) { _ in }
        let other = try Self.run(trace, way.apply)
        let requests = other.log.requests
        switch way {
        case .prefixes: #expect(requests.reduce(0) { $0 + $1.cachedTokens } > 500)
        case .wholePrompts:
            let whole = requests.filter { $0.cachedTokens == trace.requests[$0.index].promptTokens - 1 }
            #expect(whole.count > 5, "no prompt was found whole")
        case .recompute: #expect(requests.reduce(0) { $0 + $1.recomputedTokens } > 100)
        case .swap: #expect(requests.contains { $0.swappedBytes > .zero })
        case .both: #expect(requests.contains { $0.preemptions > 0 } && requests.contains { $0.cachedTokens > 0 })
        }
        #expect(Set(other.logits.keys) == Set(plain.logits.keys))
        var worst: Float = 0
        var differing = 0
        for (place, expected) in plain.logits {
            guard let found = other.logits[place] else { continue }
            let scale = expected.reduce(0) { max($0, abs($1)) }
            worst = max(worst, zip(found, expected).reduce(0) { max($0, abs($1.0 - $1.1)) } / scale)
            if Self.greedy(found) != Self.greedy(expected) { differing += 1 }
        }
        #expect(worst <= 1e-5, "logits differ by \(worst) of their largest")
        #expect(differing == 0)
    }

    private static func greedy(_ logits: [Float]) -> Int? { logits.indices.max { logits[$0] < logits[$1] } }
}
