import Engine
import Testing

/// What is booked before it runs is what is held after.
@Suite("Memory")
struct MemoryTests {
    static let tunings: [TuningMode] = [
        .full, .lora(LoRAConfig(rank: 4, alpha: 8)), .lora(LoRAConfig(rank: 16, alpha: 8, targets: [.down])),
    ]

    @Test(
        "a training pass holds what its formula books", arguments: ["grouped", "plain", "biased"], tunings)
    func training(model: String, tuning: TuningMode) {
        let config = LawTests.model(model)
        let parameters = TestModels.parameters(config, tuning, seed: 3)
        for threads in [1, 3] {
            let transformer = Transformer(config, pool: ThreadPool(width: threads))
            for (length, recorded, unit) in [(1, 0, 1), (300, 0, 37), (300, 299, 64), (300, 120, 512), (300, 300, 20)] {
                // The workspace admits more than the pass asks for.
                let workspace = TrainingWorkspace(transformer, unitRows: 600, lossChunk: 24)
                let text = ServingTests.text(length + 1, config.vocabulary)
                let served = RecordedSequence(
                    text, count: recorded, chunk: 512, transformer: transformer, parameters: parameters)
                let sequence = TrainingSequence(
                    tokens: Array(text.dropLast()), targets: Array(text.dropFirst()),
                    weights: (0..<length).map { $0 < length / 2 ? 0 : 0.1 }, recorded: served.recorded { _ in true })
                let pass = TrainingPass(
                    workspace, parameters: parameters, sequences: [sequence],
                    gradients: GradientBuffer(config, tuning), unitRows: unit)
                let booked = TrainingWorkspace.byteCount(
                    config, tuning, rows: length, unitRows: unit, lossChunk: 24, threads: threads)
                #expect(workspace.byteCount(tuning, rows: length, unitRows: unit) == booked)
                pass.reserve()
                #expect(workspace.scratchByteCount == booked, "reserved, \(length) rows in units of \(unit)")
                _ = runPass(pass, unit: unit) { layer in
                    served.attach(to: pass, sequence: 0, layer: layer) { _ in true }
                }
                #expect(workspace.scratchByteCount == booked, "run, \(length) rows in units of \(unit)")
            }
        }
    }

    @Test("serving holds what its formula books", arguments: ["grouped", "plain"], tunings)
    func serving(model: String, tuning: TuningMode) {
        let config = LawTests.model(model)
        let parameters = TestModels.parameters(config, tuning, seed: 3)
        for threads in [1, 2, 5] {
            let pool = ThreadPool(width: threads)
            for (lengths, ends) in [([1], 1), ([200], 0), ([70, 30, 1], 2), ([Int](repeating: 1, count: 12), 12)] {
                let transformer = Transformer(config, pool: pool)
                let batch = lengths.enumerated().map { index, length in
                    // Far enough into its context for a lone query's keys to be cut into parts.
                    let start = length == 1 ? 400 : 0
                    let kv = KVBlock(config, capacity: start + length)
                    return ServingSlice(
                        tokens: ServingTests.text(length, config.vocabulary), start: start,
                        kv: [KVSpan(kv, count: start + length)], wantsLogits: index < ends)
                }
                _ = transformer.forward(batch, parameters)
                let booked = Transformer.workspaceByteCount(
                    config, lora: tuning.lora, rows: lengths.reduce(0, +), logits: ends, threads: threads)
                #expect(transformer.scratchByteCount == booked, "slices of \(lengths), \(threads) threads")
            }
        }
    }
}
