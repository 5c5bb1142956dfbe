import Foundation
import MeasuredBackend
import Simulator
import Testing

/// What a step's loss is the mean over.
@Suite(.serialized) struct StepMeanTests {
    /// One step over all samples of a trace, nothing of it reused.
    private static func step(
        _ trace: Trace, _ change: (inout ArmConfiguration) -> Void = { _ in }
    ) throws -> StepRecord {
        let configuration = TinyArm.configuration {
            $0.training.reuse = false
            $0.recording.scope = .none
            $0.training.auditEvery = 0
            $0.training.updateEvery = 100
            change(&$0)
            $0.adapt(to: trace)
        }
        let (log, _) = try TinyArm.run(configuration, trace)
        #expect(log.steps.count == 1)
        return try #require(log.steps.first)
    }

    private static func expectEqual(_ a: StepRecord, _ b: StepRecord) throws {
        let (loss, expected) = (try #require(a.loss), try #require(b.loss))
        #expect(abs(loss - expected) <= 1e-5 * abs(expected), "\(loss) and \(expected)")
        let (norm, other) = (try #require(a.gradientNorm), try #require(b.gradientNorm))
        #expect(abs(norm - other) <= 1e-4 * other, "\(norm) and \(other)")
    }

    @Test("A step is the same however it is cut into micro-batches", arguments: [Feedback.Kind.sft, .dpo, .group])
    func cuts(kind: Feedback.Kind) throws {
        let trace = try ObjectiveSimulationTests.trace(kind, requests: 6)
        let apart = try Self.step(trace) { $0.training.microBatchTokens = 1 }
        let together = try Self.step(trace) { $0.training.microBatchTokens = 1_000_000 }
        #expect(apart.microBatches == 6 && together.microBatches == 1)
        try Self.expectEqual(apart, together)
        // A model that knows nothing yet takes all tokens for about as likely.
        if kind == .sft { #expect(abs((apart.loss ?? 0) - log(512)) < 1) }
    }

    @Test("A group in which only the answer served counts is learned from as that answer alone")
    func groupOfOne() throws {
        let alone = try ObjectiveSimulationTests.trace(.sft, requests: 5)
        var groups = alone
        for index in groups.requests.indices {
            guard case .given(var feedback) = groups.requests[index].feedback else { continue }
            let other = Feedback.Completion(answer: .init(ids: [1, 2, 3]), weight: 0)
            feedback.signal = .group(weight: 1, others: [other])
            groups.requests[index].feedback = .given(feedback)
        }
        let step = try Self.step(groups)
        #expect(step.objective == .group)
        try Self.expectEqual(step, Self.step(alone))
    }
}
