import Engine
import MeasuredBackend
import Simulator
import Testing

/// Pairs and groups, from serving to gradients: every gradient that comes out of reuse is audited.
@Suite(.serialized) struct ObjectiveSimulationTests {
    struct Setting: CustomTestStringConvertible, Sendable {
        var kind: Feedback.Kind
        var isFull: Bool
        var checkpointing: Checkpointing
        var shared: Bool

        var testDescription: String {
            "\(kind), \(isFull ? "full" : "LoRA"), checkpointing \(checkpointing)" + (shared ? ", shared prompts" : "")
        }
    }

    static let settings: [Setting] = [Feedback.Kind.dpo, .group].flatMap { kind in
        [false, true].flatMap { isFull in
            Checkpointing.allCases.enumerated().map { index, checkpointing in
                // Every checkpointing apart and shared, in one way of tuning or the other.
                Setting(
                    kind: kind, isFull: isFull, checkpointing: checkpointing,
                    shared: index.isMultiple(of: 2) != isFull)
            }
        }
    }

    static func trace(_ kind: Feedback.Kind, requests: Int = 6) throws -> Trace {
        var options = TraceGeneratorOptions()
        options.requests = requests
        options.maxContext = 160
        options.scale = 0.07
        options.language.vocabulary = 512
        options.arrivals = .poisson(rate: 300)
        options.meanThinkTime = 0.002
        options.content = .ids
        options.feedback = TraceGeneratorOptions.FeedbackModel(rate: 1, meanDelay: 0.005)
        options.feedback?.kind = kind
        options.feedback?.groupSize = 3
        return try TraceGenerator(options).generate()
    }

    private static func configuration(
        _ setting: Setting, _ trace: Trace, _ change: (inout ArmConfiguration) -> Void = { _ in }
    ) -> ArmConfiguration {
        TinyArm.configuration {
            if setting.isFull { $0.training.tuning = .full }
            $0.training.learningRate = 1e-3
            $0.training.checkpointing = setting.checkpointing
            $0.training.sharedPrompts = setting.shared
            $0.training.updateEvery = 3
            change(&$0)
            $0.adapt(to: trace)
        }
    }

    @Test(arguments: settings) func reusedGradientsAreThoseOfTheRecordsWeights(setting: Setting) throws {
        let trace = try Self.trace(setting.kind)
        let configuration = Self.configuration(setting, trace) {
            // Answers' records, loss over odd chunks, small quanta: whatever can lie differently between the layouts.
            $0.serving.tokenBudget = 13
            $0.recording.scope = .all
            $0.training.quantumMax = SimDuration(nanoseconds: 400_000)
        }
        #expect(configuration.training.learnsPairs == (setting.kind == .dpo))
        let (log, backend) = try TinyArm.run(configuration, trace)
        #expect(log.steps.allSatisfy { $0.objective == setting.kind })
        #expect(log.steps.reduce(0) { $0 + $1.reusedTokens } > 0)
        #expect(log.steps.contains { $0.sharedTokens > 0 } == setting.shared)
        #expect(log.steps.allSatisfy { ($0.time.reference > .zero) == (setting.kind == .dpo) })
        let audits = log.steps.compactMap(\.audit)
        #expect(audits.count == log.steps.count && !audits.isEmpty)
        let worst = audits.map(\.roundingError).max() ?? .infinity
        #expect(worst <= 1e-5, "rounding error \(worst)")
        #expect(backend.arenaIsEmpty)
        TinyArm.expectRealBytes(log)
        let losses = log.steps.compactMap(\.loss)
        #expect(losses.count == log.steps.count && losses.allSatisfy { $0.isFinite })
        if setting.kind == .dpo { #expect(losses.allSatisfy { $0 > 0 }) }
    }

    /// One step over the same samples: records or none, prompts shared or not, loss and gradient are the same.
    @Test(arguments: [Feedback.Kind.dpo, .group], [false, true])
    func allArmsTakeTheSameStep(kind: Feedback.Kind, isFull: Bool) throws {
        let trace = try Self.trace(kind, requests: 8)
        var steps: [StepRecord] = []
        for (reuse, shared) in [(false, false), (false, true), (true, false), (true, true)] {
            let setting = Setting(kind: kind, isFull: isFull, checkpointing: .selective, shared: shared)
            let configuration = Self.configuration(setting, trace) {
                $0.training.reuse = reuse
                $0.recording.scope = reuse ? .prefill : .none
                $0.training.staleness = .exact
                $0.training.updateEvery = 100
            }
            let (log, _) = try TinyArm.run(configuration, trace)
            #expect(log.steps.count == 1)
            let step = try #require(log.steps.first)
            #expect((step.audit?.stalenessError ?? .infinity) <= 1e-5)
            steps.append(step)
        }
        let first = steps[0]
        let prompts = trace.requests.reduce(0) { $0 + $1.promptTokens }
        for step in steps {
            let (loss, reference) = (try #require(step.loss), try #require(first.loss))
            #expect(abs(loss - reference) <= 1e-5 * max(1, abs(reference)))
            let (norm, expected) = (try #require(step.gradientNorm), try #require(first.gradientNorm))
            #expect(abs(norm - expected) <= 1e-5 * expected)
            #expect(step.tokens == first.tokens && step.lossTokens == first.lossTokens)
        }
        // At the weights that training starts from nothing is preferred yet.
        if kind == .dpo, let loss = first.loss { #expect(abs(loss - 0.693147) < 1e-5) }
        let answers = kind == .dpo ? 2 : 3
        let shared = (answers - 1) * (prompts - trace.requests.count)
        #expect(steps.map(\.sharedTokens) == [0, shared, 0, shared])
        #expect(steps.map(\.reusedTokens) == [0, 0, answers * prompts, prompts + (answers - 1) * trace.requests.count])
    }

    /// Learning from pairs lowers their loss, where what is preferred can be told from what is not.
    @Test func pairsAreLearned() throws {
        var trace = try Self.trace(.dpo, requests: 40)
        for index in trace.requests.indices {
            guard case .given(var feedback) = trace.requests[index].feedback else { continue }
            feedback.signal = .dpo(.rejected(Feedback.Answer(ids: [Int32](repeating: 5, count: 6))))
            trace.requests[index].feedback = .given(feedback)
        }
        let setting = Setting(kind: .dpo, isFull: true, checkpointing: .selective, shared: true)
        let configuration = Self.configuration(setting, trace) {
            $0.training.auditEvery = 0
            $0.training.updateEvery = 2
            $0.training.beta = 0.1
        }
        let (log, _) = try TinyArm.run(configuration, trace)
        let losses = log.steps.compactMap(\.loss)
        #expect(abs((losses.first ?? 0) - 0.693147) < 1e-4)
        let last = losses.suffix(5).reduce(0, +) / 5
        #expect(last < 0.5, "the loss of pairs ended at \(last)")
    }
}
