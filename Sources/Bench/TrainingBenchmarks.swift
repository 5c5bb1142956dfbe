import Engine

/// A training step over equal sequences, the loss on their last tenth: forward, backward, AdamW.
final class TrainingSetup {
    static let rank = 16

    let config: ModelConfig
    let batch: Int
    let length: Int
    let lossTokens: Int
    private let pool: ThreadPool
    private let transformer: Transformer
    private let workspace: TrainingWorkspace
    private let parameters: ModelParameters
    private let gradients: GradientBuffer
    private let moments: OptimizerState
    private let rule = AdamW()

    init(_ config: ModelConfig, isLoRA: Bool, batch: Int, length: Int, pool: ThreadPool) {
        self.config = config
        self.batch = batch
        self.length = length
        self.pool = pool
        lossTokens = length / 10
        let lora = LoRAConfig(rank: Self.rank, alpha: 2 * Double(Self.rank))
        transformer = Transformer(config, pool: pool)
        workspace = TrainingWorkspace(transformer, unitRows: 1024)
        parameters = ModelParameters(
            Weights(config, seed: 1, pool: pool), adapters: isLoRA ? Adapters(config, lora, seed: 2) : nil)
        gradients = GradientBuffer(config, isLoRA ? .lora(lora) : .full)
        moments = OptimizerState(gradients.table)
    }

    /// The sequences, whose tokens at `recorded` skip the forward pass.
    private func sequences(recorded: [Range<Int>]) -> [TrainingSequence] {
        let text = Samples.text(length + 1, config.vocabulary)
        let share = 1 / Float(batch * lossTokens)
        let sequence = TrainingSequence(
            tokens: Array(text.dropLast()), targets: Array(text.dropFirst()),
            weights: (0..<length).map { $0 < length - lossTokens ? 0 : share },
            recorded: recorded)
        return [TrainingSequence](repeating: sequence, count: batch)
    }

    /// What serving leaves of the first `count` tokens of a sequence.
    func record(_ count: Int) -> RecordedSequence {
        RecordedSequence(
            Samples.text(count, config.vocabulary), count: count, chunk: count, transformer: transformer,
            parameters: parameters)
    }

    /// A step that reuses `record`, if there is one; the seconds that its forward pass below the head took.
    @discardableResult
    func step(on bench: Bench, reusing record: RecordedSequence? = nil) -> Double {
        let pass = TrainingPass(
            workspace, parameters: parameters, sequences: sequences(recorded: record?.recorded() ?? []),
            gradients: gradients)
        pass.reserve()
        if let record {
            for layer in 0..<config.layers { record.attach(to: pass, sequence: 0, layer: layer) }
        }
        let forward = bench.seconds { pass.forwardWhole() }
        _ = pass.backwardWhole()
        update()
        return forward
    }

    private func update() {
        let trained = parameters.adapters?.buffer ?? parameters.weights.buffer
        moments.beginStep()
        rule.step(
            0..<trained.count, state: moments, gradients: gradients, from: trained, to: trained, learningRate: 1e-6,
            pool: pool)
        gradients.clear()
    }
}

enum TrainingBenchmarks {
    static let shapes = [(1, 256), (1, 1024), (4, 256)]

    static func all(_ config: ModelConfig) -> [Benchmark] {
        [true, false].flatMap { isLoRA in
            shapes.map { batch, length in
                let work = NominalWork(config).step(
                    length: length, lossTokens: length / 10, lora: isLoRA ? TrainingSetup.rank : nil)
                return Benchmark(
                    name: "\(name(isLoRA)) step \(config.name) \(batch)x\(length)", tokens: batch * length,
                    work: Double(batch) * work, limit: .arithmetic
                ) { bench in
                    let setup = TrainingSetup(config, isLoRA: isLoRA, batch: batch, length: length, pool: bench.pool)
                    return { setup.step(on: bench) }
                }
            }
        }
    }

    static func name(_ isLoRA: Bool) -> String { isLoRA ? "lora" : "full" }

    /// The time of a step that reuses the first p of its tokens, over what reuse promises: T - F + F_u, with T and F the
    /// whole step's and its forward pass's time without reuse and F_u that of the unrecorded tokens at their positions,
    /// each measured in the same round.
    static func reuse(_ config: ModelConfig, isLoRA: Bool, length: Int, shares: [Double], _ bench: Bench) -> [Figure] {
        let setup = TrainingSetup(config, isLoRA: isLoRA, batch: 1, length: length, pool: bench.pool)
        let counts = shares.map { Int((Double(length) * $0).rounded()) }
        let records = counts.map(setup.record)
        setup.step(on: bench)
        var ratios = [[Double]](repeating: [], count: counts.count)
        var gains = [[Double]](repeating: [], count: counts.count)
        // Each round holds two steps for each share; short ones are measured more often.
        for round in 0..<(bench.rounds + 1) / 2 * max(1, 512 / length) {
            func timed(_ record: RecordedSequence?) -> (total: Double, forward: Double) {
                var forward = 0.0
                let total = bench.seconds { forward = setup.step(on: bench, reusing: record) }
                return (total, forward)
            }
            // Every second round goes the other way, so that a drift does not fall on the same shares.
            let order = round.isMultiple(of: 2) ? Array(records.indices) : records.indices.reversed()
            var before = timed(nil)
            for index in order {
                let reused = timed(records[index])
                let after = timed(nil)
                let whole = (before.total + after.total) / 2
                let forward = (before.forward + after.forward) / 2
                ratios[index].append(reused.total / (whole - forward + reused.forward))
                gains[index].append(whole / reused.total)
                before = after
            }
        }
        return shares.enumerated().flatMap { index, share in
            let title = "\(name(isLoRA)) step \(config.name) 1x\(length) p=\(share)"
            return [
                Figure("reuse \(title), time", ratios[index], unit: "of T - F + F_u"),
                Figure("reuse \(title), speed-up", gains[index], unit: "x"),
            ]
        }
    }
}
