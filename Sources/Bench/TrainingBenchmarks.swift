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

    /// The sequences, of whose tokens the first `recorded` skip the forward pass.
    private func sequences(recorded: Int) -> [TrainingSequence] {
        let text = Samples.text(length + 1, config.vocabulary)
        let share = 1 / Float(batch * lossTokens)
        let sequence = TrainingSequence(
            tokens: Array(text.dropLast()), targets: Array(text.dropFirst()),
            weights: (0..<length).map { $0 < length - lossTokens ? 0 : share },
            recorded: recorded > 0 ? [0..<recorded] : [])
        return [TrainingSequence](repeating: sequence, count: batch)
    }

    /// What serving would leave of the first `recorded` tokens of one sequence.
    func record(_ recorded: Int) -> (kv: KVBlock, slice: SliceRecord) {
        let kv = KVBlock(config, capacity: recorded)
        let record = SliceRecord(
            layers: (0..<config.layers).map { _ in ActivationBlock(config, rows: recorded) },
            final: FinalBlock(config, rows: recorded))
        let slice = ServingSlice(
            tokens: Array(Samples.text(recorded, config.vocabulary)), start: 0, kv: [KVSpan(kv, count: recorded)],
            record: record)
        _ = transformer.forward([slice], parameters)
        return (kv, record)
    }

    /// A step; the seconds that its forward pass below the head took.
    @discardableResult
    func step(
        on bench: Bench, reusing records: [(kv: KVBlock, slice: SliceRecord)] = [], recorded: Int = 0
    ) -> Double {
        let pass = TrainingPass(
            workspace, parameters: parameters, sequences: sequences(recorded: recorded), gradients: gradients)
        pass.reserve()
        for (sequence, record) in records.enumerated() {
            for layer in 0..<config.layers {
                pass.attachKV(layer: layer, sequence: sequence, record.kv.segment(layer: layer, start: 0, count: recorded))
                if let block = record.slice.layers[layer] {
                    pass.attachActivations(layer: layer, sequence: sequence, positions: 0..<recorded, block)
                }
            }
            if let final = record.slice.final {
                pass.attachFinal(sequence: sequence, positions: 0..<recorded, final)
            }
        }
        let fresh = pass.packing.freshRows.count
        let forward = bench.seconds {
            for layer in 0..<config.layers {
                for start in stride(from: 0, to: fresh, by: pass.unitRows) {
                    pass.forward(layer: layer, rows: start..<min(fresh, start + pass.unitRows))
                }
            }
        }
        _ = pass.loss(rows: 0..<pass.packing.lossRows.count)
        for layer in (0..<config.layers).reversed() {
            for end in stride(from: pass.packing.rowCount, to: 0, by: -pass.unitRows) {
                pass.backward(layer: layer, rows: max(0, end - pass.unitRows)..<end)
            }
            pass.finishedBackward(layer: layer)
        }
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
        let records = setup.record(counts.max() ?? 0)
        setup.step(on: bench)
        var ratios = [[Double]](repeating: [], count: counts.count)
        var gains = [[Double]](repeating: [], count: counts.count)
        for _ in 0..<bench.rounds {
            func timed(_ body: () -> Double) -> (total: Double, forward: Double) {
                var forward = 0.0
                let total = bench.seconds { forward = body() }
                return (total, forward)
            }
            let before = timed { setup.step(on: bench) }
            let reused = counts.map { count in timed { setup.step(on: bench, reusing: [records], recorded: count) } }
            let after = timed { setup.step(on: bench) }
            let whole = (before.total + after.total) / 2
            let forward = (before.forward + after.forward) / 2
            for (index, part) in reused.enumerated() {
                ratios[index].append(part.total / (whole - forward + part.forward))
                gains[index].append(whole / part.total)
            }
        }
        return zip(shares, counts).enumerated().flatMap { index, share in
            let title = "\(name(isLoRA)) step \(config.name) 1x\(length) p=\(share.0)"
            return [
                Figure("reuse \(title), time", ratios[index], unit: "of T - F + F_u"),
                Figure("reuse \(title), speed-up", gains[index], unit: "x"),
            ]
        }
    }
}
