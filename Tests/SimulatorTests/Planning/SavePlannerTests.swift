import Simulator
import Testing

/// The planner against every combination there is.
@Suite struct SavePlannerTests {
    /// A step with random costs; some layers alike, as a model's are, some not.
    private static func step(seed: UInt64, layers: Int) -> (step: RecordedStep, recomputed: SimDuration) {
        var random = RandomStream(seed: seed, name: "planner")
        func ns(_ most: Int) -> SimDuration { SimDuration(nanoseconds: Int64(random.below(most))) }
        let isUniform = random.uniform() < 0.5
        func layer() -> RecordedStep.Layer {
            let lean = 1 + random.below(500)
            let boundary = random.below(lean + 1)
            let (again, more) = (ns(400), ns(400))
            return RecordedStep.Layer(
                choices: [
                    .init(plan: .full, bytes: Bytes(lean + random.below(500)), recompute: .zero),
                    .init(plan: .lean, bytes: Bytes(lean), recompute: again),
                    .init(plan: .boundary, bytes: Bytes(boundary), recompute: again + more),
                ], forward: random.uniform() < 0.3 ? .zero : ns(200), backward: ns(900))
        }
        let first = layer()
        let all = (0..<layers).map { _ in isUniform ? first : layer() }
        let link: RecordedStep.Link? =
            random.uniform() < 0.8
            ? .init(
                bandwidth: 1e9 * (0.05 + 3 * random.uniform()), latency: ns(60), transfers: 1 + random.below(3),
                prefetchLayers: random.below(4)) : nil
        let step = RecordedStep(
            layers: all, kvBytes: Bytes(random.below(100)), finalBytes: Bytes(random.below(50)),
            loss: ns(300), closing: ns(100), link: link)
        return (step, SimDuration(nanoseconds: 4000) + ns(4000))
    }

    private static func combinations(_ layers: Int) -> [[Int]] {
        (0..<layers).reduce([[]]) { all, _ in all.flatMap { chosen in (0..<3).map { chosen + [$0] } } }
    }

    @Test(arguments: 0..<150)
    func findsTheBestOfAllCombinations(seed: UInt64) throws {
        let layers = 1 + Int(seed % 6)
        let (step, recomputed) = Self.step(seed: seed, layers: layers)
        var random = RandomStream(seed: seed, name: "allowed")
        let most = step.outcome(of: [Int](repeating: 0, count: layers)).bytes.count
        for allowed in [nil, Double(most) * random.uniform(), Double(most) * 0.3 * random.uniform()] {
            let planner = SavePlanner(step: step, recomputed: recomputed, allowedBytes: allowed)
            let all = Self.combinations(layers).map(planner.plan)
            let best = try #require(planner.search().best)
            // Nothing has to be recorded.
            let none = recomputed.seconds
            let least = min(none, all.map(\.expectedSeconds).min() ?? none)
            #expect(min(none, best.expectedSeconds) == least)
            if least < none { #expect(best.expectedSeconds == least) }
            for kind in SavePlan.allCases {
                let fixed = try #require(planner.fixed(kind))
                #expect(min(none, best.expectedSeconds) <= fixed.expectedSeconds)
            }
        }
    }

    @Test(arguments: 0..<60)
    func theFrontierHoldsWhatNoOtherCombinationBeats(seed: UInt64) {
        let (step, recomputed) = Self.step(seed: seed &+ 1000, layers: 5)
        let planner = SavePlanner(step: step, recomputed: recomputed, allowedBytes: nil)
        let all = Self.combinations(5).map { step.outcome(of: $0) }
        let unbeaten = Set(
            all.filter { one in
                !all.contains {
                    ($0.bytes < one.bytes && $0.duration <= one.duration)
                        || ($0.bytes <= one.bytes && $0.duration < one.duration)
                }
            }.map { [$0.bytes.count, Int($0.duration.nanoseconds)] })
        let found = planner.search().efficient.map { [$0.outcome.bytes.count, Int($0.outcome.duration.nanoseconds)] }
        #expect(Set(found) == unbeaten)
        #expect(found.count == unbeaten.count)
    }

    /// By hand: two layers of 100 bytes over a link of 1 byte/ns with no room ahead.
    @Test func waitsForCopiesThatHaveNoRoomAhead() {
        let layer = RecordedStep.Layer(
            choices: [.init(plan: .full, bytes: Bytes(100), recompute: .zero)], forward: .zero,
            backward: SimDuration(nanoseconds: 70))
        func step(ahead: Int) -> RecordedStep {
            RecordedStep(
                layers: [layer, layer], kvBytes: .zero, finalBytes: .zero, loss: SimDuration(nanoseconds: 10),
                closing: SimDuration(nanoseconds: 5),
                link: .init(bandwidth: 1e9, latency: .zero, transfers: 1, prefetchLayers: ahead))
        }
        // Without room ahead: loss 0-10, copy 10-110, backward 110-180, copy 180-280, backward 280-350, closing 355.
        #expect(step(ahead: 0).outcome(of: [0, 0]).duration.nanoseconds == 355)
        #expect(step(ahead: 0).outcome(of: [0, 0]).stall.nanoseconds == 200)
        // With one ahead: copies 0-100 and, once the loss is through, 100-200; backward 100-170 and 200-270.
        #expect(step(ahead: 1).outcome(of: [0, 0]).duration.nanoseconds == 275)
    }

    /// Half of the bytes: half of the requests.
    @Test func whatDoesNotFitIsRecomputed() throws {
        let layer = RecordedStep.Layer(
            choices: [.init(plan: .full, bytes: Bytes(100), recompute: .zero)], forward: .zero,
            backward: SimDuration(nanoseconds: 70))
        let step = RecordedStep(
            layers: [layer], kvBytes: .zero, finalBytes: .zero, loss: .zero, closing: .zero, link: nil)
        let planner = SavePlanner(step: step, recomputed: SimDuration(nanoseconds: 130), allowedBytes: 50)
        let plan = try #require(planner.search().best)
        #expect(plan.coverage == 0.5)
        #expect(abs(plan.expectedSeconds - 100e-9) < 1e-15)
    }

    /// Eighty alike layers are a matter of a moment, not of 3^80.
    @Test func aLargeModelIsPlanned() throws {
        let layer = RecordedStep.Layer(
            choices: [
                .init(plan: .full, bytes: Bytes(1000), recompute: .zero),
                .init(plan: .lean, bytes: Bytes(420), recompute: SimDuration(nanoseconds: 300)),
                .init(plan: .boundary, bytes: Bytes(100), recompute: SimDuration(nanoseconds: 500)),
            ], forward: SimDuration(nanoseconds: 50), backward: SimDuration(nanoseconds: 700))
        let step = RecordedStep(
            layers: [RecordedStep.Layer](repeating: layer, count: 80), kvBytes: Bytes(50), finalBytes: Bytes(10),
            loss: .zero, closing: .zero,
            link: .init(bandwidth: 0.9e9, latency: SimDuration(nanoseconds: 10), transfers: 2, prefetchLayers: 2))
        let planner = SavePlanner(step: step, recomputed: SimDuration(nanoseconds: 120_000), allowedBytes: 50_000)
        let search = planner.search()
        #expect(search.isExact)
        let best = try #require(search.best)
        for kind in SavePlan.allCases {
            let fixed = try #require(planner.fixed(kind))
            #expect(best.expectedSeconds <= fixed.expectedSeconds)
        }
    }
}
