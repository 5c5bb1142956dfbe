import Foundation
import Results
import Simulator
import Testing

@Suite("Digests")
struct DigestTests {
    private func digest(_ change: (inout RunResult) -> Void = { _ in }) throws -> String {
        let directory = try TemporaryDirectory()
        var run = Fixture.run()
        change(&run)
        return try run.write(to: directory.file("run.h5"))
    }

    @Test("equal contents give equal digests, and equal files")
    func equal() throws {
        let directory = try TemporaryDirectory()
        #expect(try Fixture.run().write(to: directory.file("a.h5")) == Fixture.run().write(to: directory.file("b.h5")))
        #expect(
            try Data(contentsOf: URL(fileURLWithPath: directory.file("a.h5")))
                == Data(contentsOf: URL(fileURLWithPath: directory.file("b.h5"))))
    }

    @Test("where a run comes from leaves the digest alone")
    func provenance() throws {
        let changed = try digest { run in
            run.provenance.commandLine = "another"
            run.provenance.created = "2030-01-01T00:00:00Z"
            run.provenance.threads = 16
            run.provenance.seed = 7
            run.scenario = "another: 1"
            run.trace.source = "elsewhere.jsonl"
        }
        #expect(try changed == digest())
    }

    @Test("one changed value changes the digest")
    func changed() throws {
        let changes: [(inout RunResult) -> Void] = [
            { $0.trace.requests[0].id = "A" },
            { $0.trace.requests[2].feedback = .none },
            {
                $0.arms[0].name = "serve"; $0.comparisons = []
            },
            {
                $0.arms[1].repeats[0].tokenGaps = [
                    TokenGap(request: 0, gap: ms(15)), TokenGap(request: 0, gap: ms(26)),
                ]
            },
            { $0.arms[1].repeats[0].steps[0].loss = 3.0.nextUp },
            { $0.arms[1].repeats[0].shapes[0].key = "prefill 11" },
            { run in
                var transfers = Array(run.arms[2].repeats[0].transfers)
                transfers[0].bytes = Bytes(65)
                run.arms[2].repeats[0].transfers = BoundedLog(transfers)
            },
            { $0.arms[2].repeats[0].memory.trainingPeak = Bytes(151) },
            { $0.arms[2].repeats[0].end = at(401) },
            { $0.arms[2].repeats.append($0.arms[2].repeats[0]) },
            { $0.arms[1].repeats[0].units = [UnitRecord(quantum: 1, phase: .loss, duration: ms(9))] },
            { $0.paired = $0.arms },
        ]
        let digests = try [digest()] + changes.map { try digest($0) }
        #expect(Set(digests).count == digests.count)
        #expect(digests.allSatisfy { $0.count == 64 && $0.allSatisfy(\.isHexDigit) })
    }
}
