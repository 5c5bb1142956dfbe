import Engine
import Testing

@Suite("Optimizer")
struct OptimizerTests {
    let pool = ThreadPool(width: 2)

    @Test("AdamW in quanta, into a second buffer, equals its oracle", arguments: [1, 37, 1000, 1 << 20], [nil, 0.5])
    func oracle(quantum: Int, clip: Double?) {
        let config = ModelConfig(
            name: "tiny", layers: 1, hidden: 10, heads: 2, kvHeads: 1, headSize: 6, intermediate: 9, vocabulary: 13,
            tiedHead: false, qkvBias: true)
        let rule = AdamW(beta1: 0.8, beta2: 0.95, epsilon: 1e-6, weightDecay: 0.1, clipNorm: clip)
        let gradients = GradientBuffer(config, .full)
        let state = OptimizerState(gradients.table)
        var buffers = [Weights(zeros: config), Weights(zeros: config)]
        TestModels.fill(buffers[0].table, buffers[0].buffer, seed: 1)
        var expected = buffers[0].buffer.floats.map(Double.init)
        var moments = [(first: Double, second: Double)](repeating: (0, 0), count: expected.count)
        for step in 1...4 {
            TestModels.fill(gradients.table, gradients.buffer, seed: UInt64(step))
            let values = gradients.buffer.floats.map(Double.init)
            let norm = inner(values, values).squareRoot()
            #expect(abs(gradients.norm(pool: pool) - norm) <= 1e-12 * norm)
            let scale = rule.gradientScale(norm: norm)
            #expect(scale == (clip.map { $0 / norm } ?? 1))
            state.beginStep()
            for start in stride(from: 0, to: expected.count, by: quantum) {
                rule.step(
                    start..<min(start + quantum, expected.count), state: state, gradients: gradients,
                    from: buffers[0].buffer, to: buffers[1].buffer, learningRate: 0.01, gradientScale: scale,
                    pool: pool)
            }
            buffers.swapAt(0, 1)
            for parameter in gradients.table.parameters {
                for index in parameter.range {
                    expected[index] = Oracle.adamW(
                        rule, step: step, value: expected[index], gradient: scale * values[index],
                        moments: &moments[index], learningRate: 0.01, decays: parameter.shape.count == 2)
                }
            }
        }
        expectClose(buffers[0].buffer.floats, expected, within: 1e-6, "parameters")
        expectClose(state.first.floats, moments.map(\.first), within: 1e-6, "first moments")
        expectClose(state.second.floats, moments.map(\.second), within: 1e-6, "second moments")
    }

    @Test("a model learns a sequence by heart", arguments: [TuningMode.full, .lora(LoRAConfig(rank: 8, alpha: 16))])
    func learning(tuning: TuningMode) throws {
        let config = try #require(ModelConfig.preset("nano"))
        let transformer = Transformer(config, pool: pool)
        let workspace = TrainingWorkspace(transformer)
        var parameters = ModelParameters(Weights(config, seed: 1))
        if case .lora(let lora) = tuning { parameters.adapters = Adapters(config, lora, seed: 1) }
        let trained = try #require(parameters.adapters?.buffer ?? parameters.weights.buffer)
        let text = ServingTests.text(25, config.vocabulary)
        let sequence = TrainingSequence(
            tokens: Array(text.dropLast()), targets: Array(text.dropFirst()),
            weights: Array(repeating: 1.0 / 24, count: 24))
        let gradients = GradientBuffer(config, tuning)
        let state = OptimizerState(gradients.table)
        var losses: [Double] = []
        for _ in 0..<60 {
            gradients.clear()
            let pass = TrainingPass(
                workspace, parameters: parameters, sequences: [sequence], gradients: gradients)
            losses.append(runPass(pass, unit: 10))
            state.beginStep()
            AdamW().step(
                0..<trained.count, state: state, gradients: gradients, from: trained, to: trained,
                learningRate: 0.01, pool: pool)
        }
        #expect(abs(losses[0] - 6.24) < 0.2, "an untrained model's loss is ln 512 = 6.24, not \(losses[0])")
        // Behind a frozen random head, adapters get less far.
        let goal = parameters.adapters == nil ? 0.5 : 0.85
        #expect(losses[59] < goal * losses[0], "the loss fell from \(losses[0]) to \(losses[59]) only")
    }

    @Test("the same pass twice gives the same bits, on any number of threads' timing")
    func determinism() throws {
        let config = try #require(ModelConfig.preset("micro"))
        let transformer = Transformer(config, pool: pool)
        let workspace = TrainingWorkspace(transformer)
        let parameters = ModelParameters(Weights(config, seed: 1, pool: pool))
        let text = ServingTests.text(201, config.vocabulary)
        let sequence = TrainingSequence(
            tokens: Array(text.dropLast()), targets: Array(text.dropFirst()),
            weights: Array(repeating: 0.005, count: 200))
        var runs: [[Float]] = []
        for _ in 0..<2 {
            let gradients = GradientBuffer(config, .full)
            _ = runPass(
                TrainingPass(workspace, parameters: parameters, sequences: [sequence], gradients: gradients), unit: 512)
            runs.append(Array(gradients.buffer.floats))
        }
        #expect(runs[0] == runs[1])
    }

    @Test("byte counts are what is allocated", arguments: ModelConfig.presets.dropLast())
    func bytes(config: ModelConfig) {
        let lora = LoRAConfig(rank: 4, alpha: 8, targets: [.q, .up])
        #expect(config.problems.isEmpty)
        #expect(Weights.byteCount(config) == Weights(zeros: config).byteCount)
        #expect(Adapters.byteCount(config, lora) == Adapters(config, lora, seed: 1).byteCount)
        #expect(GradientBuffer.byteCount(config, .lora(lora)) == GradientBuffer(config, .lora(lora)).byteCount)
        let state = OptimizerState(TuningMode.lora(lora).table(for: config))
        #expect(OptimizerState.byteCount(config, .lora(lora)) == state.byteCount)
        #expect(KVBlock.byteCount(config, capacity: 7, layers: config.layers) == 7 * config.kvByteCountPerToken)
    }
}
