import Foundation
import Simulator
import Synchronization
import Testing

@Suite struct ServingPropertyTests {
    private static let groups = 50
    private static let casesPerGroup =
        ProcessInfo.processInfo.environment["ALCHEMIST_CASES"].flatMap { Int($0) }.map { max(1, $0 / groups) } ?? 100
    private static let seen = Mutex((groups: 0, sum: ServingLaws.Seen()))

    /// Thousands of small scenarios with every policy, in memory that is mostly too tight. A case that breaks a law is
    /// cut down, and printed as what makes it again: see `knownCases`. One that ends the process, by a broken precondition,
    /// is left in a file: see `CaseTrail`.
    @Test(arguments: 0..<groups) func lawsHold(group: Int) {
        var sum = ServingLaws.Seen()
        let trail = CaseTrail(group: group)
        defer { trail.close() }
        for number in 0..<Self.casesPerGroup {
            var stream = RandomStream(seed: UInt64(group * Self.casesPerGroup + number), name: "serving case")
            let drawn = ServingCase.random(&stream)
            trail.note(drawn)
            guard let law = ServingLaws.broken(by: drawn, seen: &sum) else { continue }
            // Cutting it down must not end at a case that breaks another law. What differs between two breaches of one
            // law is figures.
            func kind(_ law: String?) -> String? { law?.filter { !$0.isNumber } }
            var ignored = ServingLaws.Seen()
            let smallest = drawn.shrunk {
                trail.note($0)
                return kind(ServingLaws.broken(by: $0, seen: &ignored)) == kind(law)
            }
            let broken = ServingLaws.broken(by: smallest, seen: &ignored) ?? "no law"
            Issue.record("\(broken)\n\(smallest)")
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
        #expect(reached.taken > 100 && reached.otherObjectives > 100 && reached.separateSteps > 100, "\(reached)")
        #expect(reached.mixedRecords > 20, "\(reached)")
        #expect(reached.splitSteps > 5, "\(reached)")
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
        // A record referred to a chunk twice, with tokens of another in between; training gave back one reference.
        ServingCase(
            ids: true,
            items: [
                .init(gap: 0, user: 12, output: 1), .init(gap: 0, user: 1, output: 1, after: 0),
                .init(gap: 0, user: 1, output: 1, after: 1, feedback: 16563), .init(gap: 0, user: 6, output: 3),
            ], budget: 64, batch: 8, prefixCache: true, spareDevice: 1000, spareHost: 1000, trains: true, reuses: true,
            scope: .all, onPrefixHit: .reprefill),
        ServingCase(
            ids: true,
            items: [
                .init(gap: 0, user: 3, output: 1), .init(gap: 0, user: 1, output: 1, after: 0, feedback: 17329),
                .init(gap: 0, user: 1, output: 1), .init(gap: 0, user: 2, output: 1),
            ], budget: 64, batch: 8, block: 1, prefixCache: true, spareDevice: 1000, spareHost: 1000, trains: true,
            reuses: true, onPrefixHit: .reprefill),
    ]

    @Test(arguments: knownCases) func lawsHoldWhereTheyDidNot(drawn: ServingCase) {
        var seen = ServingLaws.Seen()
        let law = ServingLaws.broken(by: drawn, seen: &seen)
        #expect(law == nil)
    }
}

/// The case that a group of tests is at, in a file that outlives a process which the case ends:
/// `alchemist-serving-case-GROUP` in the folder of temporary files.
private struct CaseTrail {
    private let file: URL

    init(group: Int) {
        file = FileManager.default.temporaryDirectory.appendingPathComponent("alchemist-serving-case-\(group)")
    }

    func note(_ drawn: ServingCase) { try? Data("\(drawn)\n".utf8).write(to: file) }

    func close() { try? FileManager.default.removeItem(at: file) }
}
