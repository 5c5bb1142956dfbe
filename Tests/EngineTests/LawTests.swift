import Engine
import Testing

/// The law of the project: at equal weights, a training pass over any mixture of recorded and recomputed tokens has the
/// loss and the gradients of the pass that recomputes everything.
@Suite("Reuse equals recompute")
struct LawTests {
    /// One way to record and reuse.
    struct Case: CustomTestStringConvertible, Sendable {
        var model = "grouped"
        var lora: LoRAConfig?
        /// Total length and recorded prompt of each sample.
        var samples: [(length: Int, prompt: Int)] = [(90, 70)]
        /// Prefill chunk; nil serves each prompt whole.
        var chunk: Int?
        /// Every so-manyth chunk is not kept; 0 keeps all.
        var gapEvery = 0
        /// Prompts are served in common batches.
        var together = false
        /// Rows of a unit of work.
        var unit = 512
        /// Loss on all tokens, not only the completion.
        var allTokens = false
        /// What the pass keeps of its own rows, and records of theirs.
        var plan = PassPlan()

        var testDescription: String {
            "\(model), \(lora == nil ? "full" : "LoRA"), \(samples.count) samples, chunk "
                + "\(chunk.map(String.init) ?? "whole"), gaps \(gapEvery), together \(together), unit \(unit), "
                + "all tokens \(allTokens), keeps \(plan.own)\(plan.keepsDerived ? " and more" : ""), records \((0..<3).map { plan.recorded($0).rawValue })"
        }
    }

    static let adapted = LoRAConfig(rank: 4, alpha: 8)
    static let many: [(length: Int, prompt: Int)] = [
        (40, 30), (7, 3), (129, 128), (64, 40), (2, 1), (33, 33), (150, 90), (20, 11),
    ]

    /// Every plan of the pass's own rows with every one of records, and records that differ from layer to layer.
    static let plans: [PassPlan] =
        SavePlan.allCases.flatMap { own in
            SavePlan.allCases.map { PassPlan(own: own, recorded: [$0, $0, $0]) }
        } + [
            PassPlan(keepsDerived: true),
            PassPlan(keepsDerived: true, recorded: [.lean, .full, .boundary]),
            PassPlan(own: .full, recorded: [.boundary, .lean, .full]),
            PassPlan(own: .boundary, recorded: [.full, .boundary, .lean]),
        ]

    static let cases: [Case] = {
        var cases: [Case] = []
        for model in ["grouped", "plain", "biased"] {
            for lora in [nil, adapted] {
                for chunk in [1, 7, 64, nil] { cases.append(Case(model: model, lora: lora, chunk: chunk)) }
                for unit in [1, 13, 64] { cases.append(Case(model: model, lora: lora, chunk: 16, unit: unit)) }
                for together in [false, true] {
                    cases.append(
                        Case(model: model, lora: lora, samples: many, chunk: 16, gapEvery: 3, together: together))
                    cases.append(
                        Case(
                            model: model, lora: lora, samples: many, chunk: 7, gapEvery: 2, together: together,
                            unit: 100,
                            allTokens: true))
                }
                cases.append(
                    Case(model: model, lora: lora, samples: Array(many.prefix(3)), chunk: 64, allTokens: true))
                cases.append(Case(model: model, lora: lora, samples: [(400, 360)], chunk: 48, gapEvery: 4))
                cases.append(Case(model: model, lora: lora, samples: [(50, 50)], allTokens: true))
                for plan in plans {
                    for allTokens in [false, true] {
                        for (gapEvery, unit) in [(0, 600), (2, 13)] {
                            cases.append(
                                Case(
                                    model: model, lora: lora, samples: Array(many.suffix(4)), chunk: 11,
                                    gapEvery: gapEvery, together: gapEvery > 0, unit: unit, allTokens: allTokens,
                                    plan: plan))
                        }
                    }
                }
            }
        }
        return cases
    }()

    static func model(_ name: String) -> ModelConfig {
        var config = ModelConfig(
            name: name, layers: 3, hidden: 48, heads: 6, kvHeads: 2, headSize: 8, intermediate: 72, vocabulary: 101,
            maxContext: 512)
        if name == "plain" { config.kvHeads = 6 }
        if name == "biased" {
            config.qkvBias = true
            config.tiedHead = false
        }
        return config
    }

    let pool = ThreadPool(width: 2)

    @Test("loss and every gradient within 1e-5", arguments: cases)
    func law(_ test: Case) {
        let config = Self.model(test.model)
        let tuning = test.lora.map { TuningMode.lora($0) } ?? .full
        // B must not be zero, but moderate: with the goldens' deviations (0.3, 0.2) these models are so ill-conditioned
        // that a recompute in other row ranges already differs from itself by 2.3e-5.
        let parameters = TestModels.parameters(config, tuning, seed: 7, lowRank: (0.15, 0.05))
        let transformer = Transformer(config, pool: pool)
        let workspace = TrainingWorkspace(transformer, unitRows: 600, lossChunk: 16)
        let texts = test.samples.enumerated().map { index, sample in
            (0...sample.length).map { Int32((7 * $0 * $0 + 3 * $0 + 17 * index) % config.vocabulary) }
        }
        let prompts = zip(texts, test.samples).map { Array($0[..<$1.prompt]) }
        let chunk = test.chunk ?? 512
        let lossStarts = test.samples.map { test.allTokens ? 0 : $0.prompt - 1 }
        let served =
            test.together
            ? RecordedSequence.together(
                prompts, chunk: chunk, transformer: transformer, parameters: parameters, plan: test.plan,
                lossStarts: lossStarts)
            : zip(prompts, lossStarts).map {
                RecordedSequence(
                    $0, count: $0.count, chunk: chunk, transformer: transformer, parameters: parameters,
                    plan: test.plan, lossStart: $1)
            }
        let isKept = { (number: Int) in test.gapEvery == 0 || number % test.gapEvery != test.gapEvery - 1 }
        let total = Float(test.samples.reduce(0) { $0 + $1.length })

        func sequences(recorded: Bool) -> [TrainingSequence] {
            texts.indices.map { index in
                let sample = test.samples[index]
                let first = lossStarts[index]
                return TrainingSequence(
                    tokens: Array(texts[index].dropLast()), targets: Array(texts[index].dropFirst()),
                    weights: (0..<sample.length).map { $0 < first ? 0 : 1 / total },
                    recorded: recorded ? served[index].recorded(keeping: isKept) : [])
            }
        }
        let expected = GradientBuffer(config, tuning)
        let recompute = TrainingPass(
            workspace, parameters: parameters, sequences: sequences(recorded: false), gradients: expected)
        let expectedLoss = runPass(recompute, unit: 600)

        let computed = GradientBuffer(config, tuning)
        let reuse = TrainingPass(
            workspace, parameters: parameters, sequences: sequences(recorded: true), gradients: computed,
            plan: test.plan)
        let loss = runPass(
            reuse, unit: test.unit,
            prepare: { layer in
                for index in served.indices {
                    served[index].attach(to: reuse, sequence: index, layer: layer, keeping: isKept)
                }
                // Serving goes on between units and must not disturb them.
                _ = RecordedSequence(prompts[0], count: 1, chunk: 1, transformer: transformer, parameters: parameters)
            })
        #expect(reuse.packing.freshRows.count < recompute.packing.freshRows.count, "nothing was reused")
        #expect(
            workspace.scratchByteCount
                == workspace.byteCount(tuning, rows: recompute.packing.rowCount)
                + TrainingWorkspace.recomputeByteCount(config, test.plan, reuse.rows),
            "the workspace is not what its formula says")
        #expect(reuse.activationByteCount == 0 && recompute.activationByteCount == 0)
        #expect(abs(loss - expectedLoss) <= 1e-5 * abs(expectedLoss), "loss \(loss), recomputed \(expectedLoss)")
        let whole = expected.norm(pool: pool)
        #expect(whole > 0)
        for parameter in expected.table.parameters {
            expectClose(
                computed.buffer.floats[parameter.range], expected.buffer.floats[parameter.range], within: 1e-5,
                floor: 1e-6 * whole, parameter.name)
        }
    }

    /// Which positions carry loss; the last layer computes the output of these only.
    enum LossRows: String, CaseIterable, Sendable {
        case tails, scattered, second, oneSequence

        func carries(_ position: Int, of length: Int, sequence: Int) -> Bool {
            switch self {
            case .tails: position >= length - 1 - length / 5
            case .scattered: (position * position + sequence) % 7 < 2
            case .second: position == 1
            case .oneSequence: sequence == 1 && position % 3 > 0
            }
        }
    }

    @Test(
        "rows without loss may as well carry next to none", arguments: LossRows.allCases,
        [nil, adapted, LoRAConfig(rank: 3, alpha: 3, targets: [.q, .down])])
    func lossRows(_ lossRows: LossRows, lora: LoRAConfig?) {
        for (layers, unit) in [(3, 1), (3, 13), (3, 600), (1, 13)] {
            var config = Self.model("biased")
            config.layers = layers
            let tuning = lora.map { TuningMode.lora($0) } ?? .full
            let parameters = TestModels.parameters(config, tuning, seed: 13, lowRank: (0.15, 0.05))
            let transformer = Transformer(config, pool: pool)
            let workspace = TrainingWorkspace(transformer, unitRows: 600, lossChunk: 16)
            let texts = [40, 75, 2, 9].enumerated().map { ServingTests.text($1 + 1, config.vocabulary, salt: $0) }
            let served = texts.map {
                RecordedSequence(
                    $0, count: $0.count / 2, chunk: 8, transformer: transformer, parameters: parameters)
            }
            // With a weight that float sums cannot feel, every row counts as a loss row.
            func run(least: Float, unit: Int, reusing: Bool) -> (loss: Double, gradients: GradientBuffer) {
                let isKept = { (number: Int) in number != 1 }
                let sequences = texts.enumerated().map { index, text in
                    TrainingSequence(
                        tokens: Array(text.dropLast()), targets: Array(text.dropFirst()),
                        weights: (0..<text.count - 1).map {
                            lossRows.carries($0, of: text.count - 1, sequence: index) ? 0.05 : least
                        }, recorded: reusing ? served[index].recorded(keeping: isKept) : [])
                }
                let gradients = GradientBuffer(config, tuning)
                let pass = TrainingPass(
                    workspace, parameters: parameters, sequences: sequences, gradients: gradients)
                #expect((pass.packing.lossRows.count < pass.packing.rowCount) == (least == 0))
                let loss = runPass(pass, unit: unit) { layer in
                    guard reusing else { return }
                    for index in served.indices {
                        served[index].attach(to: pass, sequence: index, layer: layer, keeping: isKept)
                    }
                }
                return (loss, gradients)
            }
            let expected = run(least: 1e-30, unit: 600, reusing: false)
            let whole = expected.gradients.norm(pool: pool)
            for reusing in [false, true] {
                let computed = run(least: 0, unit: unit, reusing: reusing)
                #expect(abs(computed.loss - expected.loss) <= 1e-5 * abs(expected.loss))
                for parameter in expected.gradients.table.parameters {
                    expectClose(
                        computed.gradients.buffer.floats[parameter.range],
                        expected.gradients.buffer.floats[parameter.range], within: 1e-5, floor: 1e-6 * whole,
                        "\(parameter.name), \(layers) layers, unit \(unit), reusing \(reusing)")
                }
            }
        }
    }

    @Test("a micro-batch without loss has no gradient", arguments: [nil, adapted])
    func noLoss(lora: LoRAConfig?) {
        let config = Self.model("grouped")
        let tuning = lora.map { TuningMode.lora($0) } ?? .full
        let parameters = TestModels.parameters(config, tuning, seed: 13, lowRank: (0.15, 0.05))
        let gradients = GradientBuffer(config, tuning)
        let text = ServingTests.text(31, config.vocabulary)
        let sequence = TrainingSequence(
            tokens: Array(text.dropLast()), targets: Array(text.dropFirst()),
            weights: [Float](repeating: 0, count: 30))
        let workspace = TrainingWorkspace(Transformer(config, pool: pool))
        let pass = TrainingPass(workspace, parameters: parameters, sequences: [sequence], gradients: gradients)
        #expect(runPass(pass, unit: 8) == 0)
        #expect(gradients.buffer.floats.allSatisfy { $0 == 0 })
    }

    @Test("records copied out, and back layer by layer before backward, give the same bits", arguments: [nil, adapted])
    func reloaded(lora: LoRAConfig?) {
        let config = Self.model("grouped")
        let tuning = lora.map { TuningMode.lora($0) } ?? .full
        let parameters = TestModels.parameters(config, tuning, seed: 11, lowRank: (0.15, 0.05))
        let transformer = Transformer(config, pool: pool)
        let workspace = TrainingWorkspace(transformer)
        let text = ServingTests.text(61, config.vocabulary)
        let served = RecordedSequence(text, count: 48, chunk: 20, transformer: transformer, parameters: parameters)
        let sequence = TrainingSequence(
            tokens: Array(text.dropLast()), targets: Array(text.dropFirst()),
            weights: (0..<60).map { $0 < 47 ? 0 : 0.1 }, recorded: served.recorded { _ in true })
        let runs = [false, true].map { copies in
            let gradients = GradientBuffer(config, tuning)
            let pass = TrainingPass(
                workspace, parameters: parameters, sequences: [sequence], gradients: gradients)
            var reloaded: [KVBlock] = []
            let loss = runPass(
                pass, unit: 25,
                prepare: { layer in
                    served.attach(to: pass, sequence: 0, layer: layer) { _ in true }
                    // Records may leave right after the forward pass of the layer above has begun.
                    if copies, layer > 0 { pass.detach(layer: layer - 1) }
                },
                reload: { layer in
                    guard copies else { return }
                    pass.detach(layer: layer)
                    for chunk in served.chunks {
                        let block = ActivationBlock(config, rows: chunk.positions.count)
                        chunk.layers[layer].copyContents(to: block)
                        let kv = KVBlock(config, capacity: chunk.positions.count, layers: 1)
                        kv.bytes(layer: 0, rows: 0..<kv.capacity).copyMemory(
                            from: UnsafeRawBufferPointer(served.kv.bytes(layer: layer, rows: chunk.positions)))
                        reloaded.append(kv)
                        pass.attachKV(
                            layer: layer, sequence: 0,
                            kv.segment(layer: 0, start: chunk.positions.lowerBound, count: chunk.positions.count))
                        pass.attachActivations(layer: layer, sequence: 0, positions: chunk.positions, block)
                    }
                })
            return withExtendedLifetime(reloaded) { (loss, Array(gradients.buffer.floats)) }
        }
        #expect(runs[0].0 == runs[1].0)
        #expect(runs[0].1.contains { $0 != 0 })
        #expect(runs[0].1 == runs[1].1)
    }
}
