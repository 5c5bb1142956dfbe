import Engine

/// A model to serve, with its prompts' K and V.
struct ServingSetup {
    let config: ModelConfig
    let transformer: Transformer
    let parameters: ModelParameters

    init(_ config: ModelConfig, pool: ThreadPool) {
        self.config = config
        transformer = Transformer(config, pool: pool)
        parameters = ModelParameters(Weights(config, seed: 1, pool: pool))
    }

    /// `batch` prompts of `length` tokens from position 0; each records its activations when `recorded`.
    func prompts(batch: Int, length: Int, recorded: Bool = false) -> [ServingSlice] {
        (0..<batch).map { _ in
            let kv = KVBlock(config, capacity: length)
            var slice = ServingSlice(
                tokens: Samples.text(length, config.vocabulary), start: 0, kv: [KVSpan(kv, count: length)],
                wantsLogits: true)
            if recorded {
                slice.record = SliceRecord(
                    layers: (0..<config.layers).map { layer in
                        ActivationBlock(config, rows: length, queryRows: layer + 1 < config.layers ? length : 1)
                    },
                    final: FinalBlock(config, rows: 1))
            }
            return slice
        }
    }

    /// `batch` sequences that decode the token after `context` others.
    func decoding(batch: Int, context: Int) -> [ServingSlice] {
        (0..<batch).map { _ in
            let kv = KVBlock(config, capacity: context + 1)
            return ServingSlice(
                tokens: [3], start: context, kv: [KVSpan(kv, count: context + 1)], wantsLogits: true)
        }
    }
}

enum ServingBenchmarks {
    static let prefills = [(1, 256), (1, 1024), (8, 128)]
    static let decodes = [1, 16, 64]
    static let context = 512

    static func all(_ config: ModelConfig) -> [Benchmark] {
        prefills.map { prefill(config, batch: $0.0, length: $0.1) } + decodes.map { decode(config, batch: $0) }
    }

    private static func prefill(_ config: ModelConfig, batch: Int, length: Int) -> Benchmark {
        Benchmark(
            name: "prefill \(config.name) \(batch)x\(length)", tokens: batch * length,
            work: Double(batch) * NominalWork(config).prefill(length: length), limit: .arithmetic
        ) { bench in
            let setup = ServingSetup(config, pool: bench.pool)
            let slices = setup.prompts(batch: batch, length: length)
            return { _ = setup.transformer.forward(slices, setup.parameters) }
        }
    }

    private static func decode(_ config: ModelConfig, batch: Int) -> Benchmark {
        let bytes = NominalWork(config).decodedBytes(
            batch: batch, context: context, weightBytes: Weights.byteCount(config))
        return Benchmark(
            name: "decode \(config.name) \(batch)x\(context)", tokens: batch, work: bytes, limit: .streaming
        ) { bench in
            let setup = ServingSetup(config, pool: bench.pool)
            let slices = setup.decoding(batch: batch, context: context)
            return { _ = setup.transformer.forward(slices, setup.parameters) }
        }
    }

    /// Rate of a prefill that records its full save plan, over that of one that records nothing.
    static func recording(_ config: ModelConfig, batch: Int, length: Int, _ bench: Bench) -> Figure {
        let setup = ServingSetup(config, pool: bench.pool)
        let plain = setup.prompts(batch: batch, length: length)
        let recorded = setup.prompts(batch: batch, length: length, recorded: true)
        let times = bench.compared(
            { _ = setup.transformer.forward(plain, setup.parameters) },
            { _ = setup.transformer.forward(recorded, setup.parameters) })
        return Figure(
            "recording \(config.name) \(batch)x\(length)", times.map { $0.first / $0.second },
            unit: "of prefill's rate")
    }
}

enum Samples {
    /// Tokens that repeat late.
    static func text(_ count: Int, _ vocabulary: Int) -> [Int32] {
        (0..<count).map { Int32((7919 * $0 + 13) % vocabulary) }
    }
}
