import Engine
import Foundation
import Testing

@Suite("Objectives against PyTorch in float64")
struct ObjectiveTests {
    /// How the completions of a prompt are laid out in a micro-batch.
    enum Layout: String, CaseIterable, Sendable {
        /// Each with a prompt of its own.
        case plain
        /// All but the prompt's last token once, with the completions as branches.
        case shared
        /// The same, and the prompt's forward pass is served and recorded.
        case recorded
    }

    /// What a case is run with.
    struct Setting: CustomTestStringConvertible, Sendable {
        let index: Int
        let layout: Layout
        let plan: PassPlan
        let unit: Int

        var testDescription: String {
            "case \(index), \(layout), keeps \(plan.own) and \(plan.recorded(0)), unit \(unit)"
        }
    }

    static let plans = [
        PassPlan(), PassPlan(keepsDerived: true), PassPlan(own: .lean, recorded: [.lean, .lean]),
        PassPlan(own: .boundary, recorded: [.boundary, .boundary]),
    ]
    static let settings: [Setting] = (0..<4).flatMap { index in
        Layout.allCases.flatMap { layout in
            plans.flatMap { plan in
                [512, 3].map { Setting(index: index, layout: layout, plan: plan, unit: $0) }
            }
        }
    }

    let file: GoldenFile
    let pool = ThreadPool(width: 2)

    init() throws { file = try GoldenFile("objectives") }

    /// A micro-batch, where the completions are in it, and the prompts that were served for it.
    private struct Batch {
        var sequences: [TrainingSequence] = []
        /// Sequence of each completion.
        var places: [Int] = []
        /// Served prompts with the trunk's sequence and its branches.
        var served: [(record: RecordedSequence, trunk: Int, branches: [Int])] = []

        func attach(to pass: TrainingPass, layer: Int) {
            for (record, trunk, branches) in served {
                record.attach(to: pass, sequence: trunk, layer: layer) { $0 == 0 }
                for branch in branches { record.attach(to: pass, sequence: branch, layer: layer) { $0 == 1 } }
            }
        }
    }

    private func batch(
        _ completions: [GoldenFile.Sequence], _ layout: Layout, _ plan: PassPlan, _ transformer: Transformer,
        _ parameters: ModelParameters
    ) -> Batch {
        var batch = Batch()
        var trunk: (tokens: ArraySlice<Int32>, number: Int)?
        for completion in completions {
            let prompt = completion.prompt ?? 1
            guard layout != .plain else {
                batch.places.append(batch.sequences.count)
                batch.sequences.append(
                    TrainingSequence(
                        tokens: completion.tokens, targets: completion.targets, weights: completion.weights))
                continue
            }
            let shared = completion.tokens[..<(prompt - 1)]
            let isRecorded = layout == .recorded
            if trunk?.tokens != shared {
                trunk = (shared, batch.sequences.count)
                batch.sequences.append(
                    TrainingSequence(
                        tokens: Array(shared), targets: Array(shared), weights: shared.map { _ in 0 },
                        recorded: isRecorded ? [0..<shared.count] : []))
                if isRecorded {
                    let record = RecordedSequence(
                        completion.tokens, count: prompt, chunk: prompt - 1, transformer: transformer,
                        parameters: parameters, plan: plan, lossStart: prompt - 1)
                    batch.served.append((record, batch.sequences.count - 1, []))
                }
            }
            if isRecorded { batch.served[batch.served.count - 1].branches.append(batch.sequences.count) }
            batch.places.append(batch.sequences.count)
            batch.sequences.append(
                TrainingSequence(
                    tokens: Array(completion.tokens[(prompt - 1)...]),
                    targets: Array(completion.targets[(prompt - 1)...]),
                    weights: Array(completion.weights[(prompt - 1)...]), recorded: isRecorded ? [0..<1] : [],
                    after: trunk?.number))
        }
        return batch
    }

    @Test("loss and every gradient, completions apart or behind a shared prompt", arguments: settings)
    func golden(setting: Setting) throws {
        let (description, values) = file.cases[setting.index]
        let again = "\(description.title); if the objective changed on purpose, run: \(file.command)"
        let objective = try #require(description.objective)
        let config = description.config
        let transformer = Transformer(config, pool: pool)
        let workspace = TrainingWorkspace(transformer, lossChunk: 4)
        let parameters = TestModels.parameters(config, description.tuning, seed: description.seed)
        let gradients = GradientBuffer(config, description.tuning)
        let batch = batch(description.sequences, setting.layout, setting.plan, transformer, parameters)
        if setting.layout != .plain {
            let tokens = batch.sequences.reduce(0) { $0 + $1.tokens.count }
            #expect(tokens < description.sequences.reduce(0) { $0 + $1.tokens.count }, "nothing is shared")
        }

        var preference: PreferenceLoss?
        if let beta = objective.beta, let pairs = objective.pairs {
            // The reference is the model without adapters, or other weights; nothing that serving recorded is its own.
            let reference =
                description.lora == nil
                ? TestModels.parameters(config, .full, seed: try #require(objective.referenceSeed))
                : ModelParameters(parameters.weights)
            let plain = self.batch(description.sequences, .shared, PassPlan(), transformer, parameters)
            let pass = TrainingPass(scoring: workspace, parameters: reference, sequences: plain.sequences)
            pass.reserve()
            pass.forwardWhole(unit: setting.unit)
            var scores = [Double](repeating: 0, count: plain.sequences.count)
            pass.score(rows: 0..<pass.packing.lossRows.count, into: &scores)
            #expect(pass.activationByteCount == FinalBlock.byteCount(config, rows: pass.packing.freshLossCount))
            preference = PreferenceLoss(
                beta: beta, pairs: pairs.map { PreferenceLoss.Pair(chosen: $0[0], rejected: $0[1]) },
                reference: plain.places.map { scores[$0] })
        }

        let pass = TrainingPass(
            workspace, parameters: parameters, sequences: batch.sequences, gradients: gradients, plan: setting.plan)
        pass.reserve()
        pass.forwardWhole(unit: setting.unit) { batch.attach(to: pass, layer: $0) }
        var loss: Double
        if let preference {
            var scores = [Double](repeating: 0, count: batch.sequences.count)
            pass.score(rows: 0..<pass.packing.lossRows.count, into: &scores)
            let (value, factors) = preference.evaluate(batch.places.map { scores[$0] })
            var ofSequences = [Float](repeating: 0, count: batch.sequences.count)
            for (place, factor) in zip(batch.places, factors) { ofSequences[place] = factor }
            pass.scaleLoss(by: ofSequences)
            _ = pass.backwardWhole(unit: setting.unit)
            loss = value
        } else {
            loss = pass.backwardWhole(unit: setting.unit)
        }
        // What serving recorded was read up to here.
        withExtendedLifetime(batch) {}
        #expect(abs(loss - description.loss) <= 1e-5 * abs(description.loss), "loss \(loss); \(again)")
        let whole = gradients.norm(pool: pool)
        #expect(gradients.table.parameters.count == description.tensors.count)
        for parameter in gradients.table.parameters {
            let expected = try #require(values[parameter.name], "\(parameter.name) is not in the file")
            expectClose(
                gradients.buffer.floats[parameter.range], expected, within: 1e-5, floor: 1e-6 * whole,
                "\(parameter.name): \(again)")
        }
    }

    @Test("factors are the loss's derivatives, by finite differences")
    func factors() {
        let loss = PreferenceLoss(
            beta: 0.3,
            pairs: [
                .init(chosen: 0, rejected: 1), .init(chosen: 0, rejected: 2), .init(chosen: 3, rejected: 2),
            ], stepPairs: 5, reference: [-3, -2.5, -60, -1])
        for scores in [[-3, -2.5, -60, -1], [-2, -9, -4, -8.5], [-900, -1, -5, -3]] as [[Double]] {
            let slopes = centralDifferences(at: scores) { loss.evaluate($0).loss }
            for (factor, slope) in zip(loss.evaluate(scores).factors, slopes) {
                #expect(abs(Double(factor) + slope) < 1e-7)
            }
        }
        // Without a difference to the reference each pair costs log 2.
        #expect(abs(loss.evaluate(loss.reference).loss - 3 * log(2.0) / 5) < 1e-12)
    }
}
