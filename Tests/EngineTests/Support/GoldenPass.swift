import Engine
import Testing

/// A case of a golden file as the engine's training pass, on what serving recorded or without.
struct GoldenPass {
    /// How the completions of a prompt are laid out in a micro-batch.
    enum Layout: String, CaseIterable, Sendable {
        /// Each with a prompt of its own.
        case plain
        /// All but the prompt's last token once, with the completions as branches.
        case shared
        /// The same, and the prompt's forward pass is served and recorded. Texts that are learned by themselves share
        /// nothing: of each the first half is recorded, at least.
        case recorded
    }

    struct Result {
        let loss: Double
        let gradients: GradientBuffer
        /// Tokens that went through the model, and those that ran forward.
        let tokens: Int
        let freshTokens: Int

        /// Holds loss and gradients against the file's.
        func expect(_ golden: (description: GoldenFile.Case, values: [String: [Float]]), _ text: String) throws {
            let loss = golden.description.loss
            #expect(abs(self.loss - loss) <= 1e-5 * abs(loss), "loss \(self.loss), \(loss) in the file: \(text)")
            let named = golden.description.tensors.filter { $0.name != "logits" }
            #expect(gradients.table.parameters.count == named.count)
            let whole = norm
            for parameter in gradients.table.parameters {
                let expected = try #require(golden.values[parameter.name], "\(parameter.name) is not in the file")
                expectClose(
                    gradients.buffer.floats[parameter.range], expected, within: 1e-5, floor: 1e-6 * whole,
                    "\(parameter.name): \(text)")
            }
        }

        var norm: Double { gradients.buffer.floats.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot() }
    }

    /// A micro-batch, where the completions are in it, and what was served for it.
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

    let description: GoldenFile.Case
    let transformer: Transformer
    let parameters: ModelParameters

    init(_ description: GoldenFile.Case, pool: ThreadPool) {
        self.description = description
        transformer = Transformer(description.config, pool: pool)
        parameters = TestModels.parameters(description.config, description.tuning, seed: description.seed)
    }

    func run(_ layout: Layout, _ plan: PassPlan, unit: Int) throws -> Result {
        let workspace = TrainingWorkspace(transformer, lossChunk: 4)
        let gradients = GradientBuffer(description.config, description.tuning)
        let batch = batch(layout, plan)
        let preference = try preference(workspace, unit: unit)
        let pass = TrainingPass(
            workspace, parameters: parameters, sequences: batch.sequences, gradients: gradients, plan: plan)
        pass.reserve()
        pass.forwardWhole(unit: unit) { batch.attach(to: pass, layer: $0) }
        var loss: Double
        if let preference {
            var scores = [Double](repeating: 0, count: batch.sequences.count)
            pass.score(rows: 0..<pass.packing.lossRows.count, into: &scores)
            let (value, factors) = preference.evaluate(batch.places.map { scores[$0] })
            var ofSequences = [Float](repeating: 0, count: batch.sequences.count)
            for (place, factor) in zip(batch.places, factors) { ofSequences[place] = factor }
            pass.scaleLoss(by: ofSequences)
            _ = pass.backwardWhole(unit: unit)
            loss = value
        } else {
            loss = pass.backwardWhole(unit: unit)
        }
        // What serving recorded was read up to here.
        withExtendedLifetime(batch) {}
        return Result(
            loss: loss, gradients: gradients, tokens: pass.packing.rowCount,
            freshTokens: pass.packing.freshRows.count)
    }

    /// The loss of pairs, with the reference's scores. The reference is the model without adapters, or other weights;
    /// nothing that serving recorded is its own.
    private func preference(_ workspace: TrainingWorkspace, unit: Int) throws -> PreferenceLoss? {
        guard let objective = description.objective, let beta = objective.beta, let pairs = objective.pairs else {
            return nil
        }
        let reference =
            description.lora == nil
            ? TestModels.parameters(description.config, .full, seed: try #require(objective.referenceSeed))
            : ModelParameters(parameters.weights)
        let plain = batch(.shared, PassPlan())
        let pass = TrainingPass(scoring: workspace, parameters: reference, sequences: plain.sequences)
        pass.reserve()
        pass.forwardWhole(unit: unit)
        var scores = [Double](repeating: 0, count: plain.sequences.count)
        pass.score(rows: 0..<pass.packing.lossRows.count, into: &scores)
        #expect(
            pass.activationByteCount == FinalBlock.byteCount(description.config, rows: pass.packing.freshLossCount))
        return PreferenceLoss(
            beta: beta, pairs: pairs.map { PreferenceLoss.Pair(chosen: $0[0], rejected: $0[1]) },
            reference: plain.places.map { scores[$0] })
    }

    private func batch(_ layout: Layout, _ plan: PassPlan) -> Batch {
        var batch = Batch()
        var trunk: (tokens: ArraySlice<Int32>, number: Int)?
        for completion in description.sequences {
            guard layout != .plain, let prompt = completion.prompt else {
                add(completion, isRecorded: layout == .recorded, plan, to: &batch)
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

    /// A text by itself, or the whole of a completion; recorded of it, if anything is, are the first tokens.
    private func add(
        _ text: GoldenFile.Sequence, isRecorded: Bool, _ plan: PassPlan, to batch: inout Batch
    ) {
        let count = (text.tokens.count + 1) / 2
        let served =
            isRecorded
            ? RecordedSequence(
                text.tokens, count: count, chunk: count, transformer: transformer, parameters: parameters, plan: plan,
                lossStart: text.weights.firstIndex { $0 != 0 } ?? text.tokens.count) : nil
        if let served { batch.served.append((served, batch.sequences.count, [])) }
        batch.places.append(batch.sequences.count)
        batch.sequences.append(
            TrainingSequence(
                tokens: text.tokens, targets: text.targets, weights: text.weights,
                recorded: served?.recorded() ?? []))
    }
}
