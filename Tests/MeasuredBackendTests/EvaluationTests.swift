import Engine
import MeasuredBackend
import Simulator
import Testing

/// Held-out losses and each sample's audit, which no clock sees.
@Suite(.serialized) struct EvaluationTests {
    private static func run(_ change: (inout ArmConfiguration) -> Void) throws -> ArmLog {
        let trace = try TinyArm.trace(requests: 16)
        let configuration = TinyArm.configuration {
            $0.training.updateEvery = 2
            change(&$0)
        }
        let backend = TinyArm.backend(
            configuration, TinyTokens(trace), heldOut: HeldOutTexts(vocabulary: 512, tokens: 512, shift: 0.5))
        var simulation = try TinyArm.simulation(configuration, trace, backend)
        return try simulation.run()
    }

    @Test func learningCurvesBeginBeforeTheFirstStepAndEndAfterTheLast() throws {
        let log = try Self.run {
            $0.training.evaluateEvery = 3
            $0.training.tuning = .full
            $0.training.lossTokens = .all
            $0.training.auditEvery = 0
        }
        let steps = log.steps.count
        #expect(steps > 3)
        let expected = Array(stride(from: 0, through: steps, by: 3)) + (steps % 3 == 0 ? [] : [steps])
        #expect(log.evaluations.map(\.version) == expected)
        for record in log.evaluations {
            #expect(record.trainedTokens == log.steps.prefix(record.version).reduce(0) { $0 + $1.tokens })
            #expect(record.version == 0 || record.time >= log.steps[record.version - 1].end)
        }
        let (first, last) = (try #require(log.evaluations.first?.loss), try #require(log.evaluations.last?.loss))
        // Nothing is known yet, of either language.
        #expect(abs(first.base - 6.238) < 0.3 && abs(first.shifted - 6.238) < 0.3)
        #expect(last.base < first.base)
    }

    @Test func withoutTrainingOrWishNothingIsEvaluated() throws {
        #expect(try Self.run { $0.training.evaluateEvery = 0 }.evaluations.isEmpty)
        let serving = try Self.run {
            $0.training.enabled = false
            $0.training.evaluateEvery = 1
        }
        #expect(serving.evaluations.isEmpty)
    }

    @Test func everySampleWithRecordsIsAuditedByAgeAndLayer() throws {
        let log = try Self.run { $0.training.auditsSamples = true }
        var ages: Set<Int> = []
        for step in log.steps {
            let audit = try #require(step.audit)
            #expect(
                Set(audit.samples.map(\.request)) == Set(step.learned.filter { $0.reusedTokens > 0 }.map(\.request)))
            #expect((audit.samples.map(\.age).max() ?? 0) == step.oldestAge)
            for sample in audit.samples {
                ages.insert(sample.age)
                let learned = step.learned.first { $0.request == sample.request }
                #expect(sample.reusedTokens == learned?.reusedTokens && sample.tokens == learned?.tokens)
                #expect(sample.layers.count == TinyArm.model.layers)
                for distance in sample.layers + [sample.whole] {
                    #expect(distance.error.isFinite && distance.cosine <= 1 + 1e-12)
                    if sample.age == 0 {
                        #expect(distance.error <= 1e-5)
                    } else {
                        #expect(distance.error > 1e-5)
                    }
                }
            }
        }
        #expect(ages.contains(0) && ages.count > 1)
    }
}
