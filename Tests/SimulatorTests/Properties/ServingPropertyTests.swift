import Simulator
import Synchronization
import Testing

@Suite struct ServingPropertyTests {
    private static let groups = 50
    private static let casesPerGroup = 100
    private static let seen = Mutex((groups: 0, sum: ServingLaws.Seen()))

    /// Thousands of small scenarios with every policy, in memory that is mostly too tight. A case that breaks a law is
    /// cut down, and printed as what makes it again: see `knownCases`.
    @Test(arguments: 0..<groups) func lawsHold(group: Int) {
        var sum = ServingLaws.Seen()
        for number in 0..<Self.casesPerGroup {
            var stream = RandomStream(seed: UInt64(group * Self.casesPerGroup + number), name: "serving case")
            let drawn = ServingCase.random(&stream)
            guard ServingLaws.broken(by: drawn, seen: &sum) != nil else { continue }
            var ignored = ServingLaws.Seen()
            let smallest = drawn.shrunk { ServingLaws.broken(by: $0, seen: &ignored) != nil }
            let law = ServingLaws.broken(by: smallest, seen: &ignored) ?? "no law"
            Issue.record("\(law)\n\(smallest)")
            return
        }
        let total = Self.seen.withLock { seen in
            seen.groups += 1
            seen.sum += sum
            return seen
        }
        guard total.groups == Self.groups else { return }
        let reached = total.sum
        #expect(reached.preemptions > 400 && reached.swaps > 80 && reached.cachedTokens > 5_000, "\(reached)")
        #expect(reached.refused > 200 && reached.steps > 1_000 && reached.dropped > 100, "\(reached)")
        #expect(reached.held > 20 && reached.admissionsHeld > 20 && reached.evicted > 50, "\(reached)")
        #expect(reached.hedged > 20 && reached.sealed > 10, "\(reached)")
        #expect(reached.linked > 500 && reached.unlinked > 500, "\(reached)")
    }

    /// Cases that broke a law once.
    static let knownCases: [ServingCase] = [
        // Who had been swapped out came back before the one it had made room for got its block, for ever.
        ServingCase(
            items: [.init(gap: 0, user: 1, output: 5), .init(gap: 0, user: 1, output: 5)], budget: 64, batch: 8,
            policy: .prefillFirst, preemption: .swap, spareHost: 1000),
        // Two middling samples fill a micro-batch more than the largest one does, for which there was room.
        ServingCase(
            items: [
                .init(gap: 0, user: 14, output: 2, feedback: 19650), .init(gap: 0, user: 6, output: 12, feedback: 2601),
                .init(gap: 0, user: 24, output: 3),
            ], budget: 64, batch: 8, block: 2, spareDevice: 10, spareHost: 1000, trains: true, updateEvery: 3),
    ]

    @Test(arguments: knownCases) func lawsHoldWhereTheyDidNot(drawn: ServingCase) {
        var seen = ServingLaws.Seen()
        let law = ServingLaws.broken(by: drawn, seen: &seen)
        #expect(law == nil)
    }
}
