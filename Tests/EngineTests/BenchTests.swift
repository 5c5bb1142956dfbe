import Engine
import Foundation
import Testing

/// Speed on this machine, printed as a table. Off unless `ALCHEMIST_BENCH=1`: timing is no test.
///
/// "Of peak" divides by the rate of a 2048-cubed matrix product measured in the same run. Work counts two floating point
/// operations per multiply-add of matrix products and of attention, causal attention by half.
@Suite("Benchmarks", .serialized, .enabled(if: ProcessInfo.processInfo.environment["ALCHEMIST_BENCH"] == "1"))
struct BenchTests {
    let pool = ThreadPool()

    /// Best of some runs, in seconds.
    static func best(_ runs: Int, _ body: () -> Void) -> Double {
        (0..<runs).map { _ in
            let clock = ContinuousClock()
            let duration = clock.measure(body)
            return Double(duration.components.seconds) + 1e-18 * Double(duration.components.attoseconds)
        }.min() ?? 0
    }

    /// Multiply-adds, times two, of a square product, per second.
    func peak() -> Double {
        let n = 2048
        let buffers = (0..<3).map { _ in FloatBuffer(count: n * n) }
        for buffer in buffers { buffer.floats.update(repeating: 0.5) }
        let matrices = buffers.map { Matrix($0.base, rows: n, columns: n) }
        let seconds = withExtendedLifetime(buffers) {
            Self.best(5) { MatrixProduct.forward(matrices[0], matrices[1], matrices[2], pool: pool) }
        }
        return 2 * Double(n * n * n) / seconds
    }

    /// Multiply-adds, times two, of the layers' matrix products and attention over one sequence from position 0.
    static func layerWork(_ c: ModelConfig, length: Int) -> Double {
        let linear = c.hidden * c.projectedWidth + c.queryWidth * c.hidden + 3 * c.hidden * c.intermediate
        return Double(c.layers) * 2 * Double(length)
            * (Double(linear) + Double(length) / 2 * 2 * Double(c.queryWidth))
    }

    static func text(_ count: Int, _ vocabulary: Int) -> [Int32] {
        (0..<count).map { Int32((7919 * $0 + 13) % vocabulary) }
    }

    @Test func matrixProducts() {
        let peak = peak()
        print("kernels \(BLAS.kernelName), peak \(Int(peak / 1e9)) GF/s on \(pool.width) threads")
        for rows in [1, 2, 4, 8, 12, 16, 24, 32, 64, 256, 1024] {
            let x = FloatBuffer(count: rows * 576)
            let w = FloatBuffer(count: 3072 * 576)
            let y = FloatBuffer(count: rows * 3072)
            let seconds = Self.best(20) {
                for _ in 0..<5 {
                    MatrixProduct.forward(
                        Matrix(x.base, rows: rows, columns: 576), Matrix(w.base, rows: 3072, columns: 576),
                        Matrix(y.base, rows: rows, columns: 3072), pool: pool)
                }
            }
            let work = 5 * 2.0 * Double(rows * 3072 * 576)
            print("  \(rows) x 576 x 3072: \(Int(work / seconds / 1e9)) GF/s, \(seconds / 5 * 1e6) us")
        }
    }

    @Test func reading() {
        let buffer = FloatBuffer(count: 128 << 20)
        let w = Matrix(buffer.base, rows: (128 << 20) / 1024, columns: 1024)
        let x = FloatBuffer(count: 1024)
        let y = FloatBuffer(count: w.rows)
        let seconds = Self.best(5) {
            MatrixProduct.forward(
                Matrix(x.base, rows: 1, columns: 1024), w, Matrix(y.base, rows: 1, columns: w.rows), pool: pool)
        }
        print("streaming one row's product: \(Double(buffer.byteCount) / seconds / 1e9) GB/s")
    }

    /// Conversions of stored floats by one thread, within the second-level cache; bytes read and written.
    @Test func converting() {
        let count = 1 << 15
        let source = FloatBuffer(count: count)
        let target = FloatBuffer(count: count)
        let conversions: [(String, Int, (UnsafeRawPointer) -> Bool)] = [
            ("float32", 4, { FloatConversion.fromFloat32($0, to: target.base, count: count) }),
            ("bfloat16", 2, { FloatConversion.fromBFloat16($0, to: target.base, count: count) }),
            ("float16", 2, { FloatConversion.fromFloat16($0, to: target.base, count: count) }),
        ]
        for (name, size, convert) in conversions {
            let seconds = Self.best(20) { for _ in 0..<100 { _ = convert(UnsafeRawPointer(source.base)) } }
            print("converting \(name): \(100 * Double(count * (size + 4)) / seconds / 1e9) GB/s")
        }
    }

    /// Reading a checkpoint that lies in the system's cache; bytes are those of the file and of the weights made of it.
    @Test(arguments: CheckpointPrecision.allCases)
    func loading(precision: CheckpointPrecision) throws {
        let config = try #require(ModelConfig.preset("smollm2-135m"))
        let folder = try TemporaryFolder()
        try ModelCheckpoint.write(Weights(config, seed: 1, pool: pool), to: folder.path, precision: precision)
        let opened = try ModelCheckpoint(folder.path)
        let target = Weights(zeros: opened.config)
        let opening = Self.best(3) { _ = try? ModelCheckpoint(folder.path) }
        let reading = Self.best(5) { try? opened.read(into: target, pool: pool) }
        let whole = Self.best(3) { _ = try? ModelCheckpoint(folder.path).weights(pool: pool) }
        let bytes = Double(opened.byteCount + target.byteCount)
        print(
            "loading \(precision.rawValue): open \(opening * 1e3) ms, read \(reading * 1e3) ms, "
                + "\(bytes / reading / 1e9) GB/s; whole \(whole * 1e3) ms, \(bytes / whole / 1e9) GB/s")
    }

    @Test(arguments: [("smollm2-135m", 1024), ("smollm2-135m", 256), ("mini", 1024), ("mini", 256)])
    func prefill(name: String, length: Int) throws {
        let config = try #require(ModelConfig.preset(name))
        let peak = peak()
        let transformer = Transformer(config, pool: pool)
        let parameters = ModelParameters(Weights(config, seed: 1, pool: pool))
        let kv = KVBlock(config, capacity: length)
        let tokens = Self.text(length, config.vocabulary)
        let record = SliceRecord(
            layers: (0..<config.layers).map { _ in ActivationBlock(config, rows: length) },
            final: FinalBlock(config, rows: 1))
        var plain = ServingSlice(tokens: tokens, start: 0, kv: [KVSpan(kv, count: length)], wantsLogits: true)
        let seconds = Self.best(4) { _ = transformer.forward([plain], parameters) }
        plain.record = record
        let recorded = Self.best(4) { _ = transformer.forward([plain], parameters) }
        let work = Self.layerWork(config, length: length)
        var quarters = (0..<4).map { _ in
            let kv = KVBlock(config, capacity: length / 4)
            return ServingSlice(tokens: Array(tokens.prefix(length / 4)), start: 0, kv: [KVSpan(kv, count: length / 4)])
        }
        let batch = Self.best(4) { _ = transformer.forward(quarters, parameters) }
        for index in quarters.indices {
            let blocks = (0..<config.layers).map { _ in ActivationBlock(config, rows: length / 4) }
            quarters[index].record = SliceRecord(layers: blocks)
        }
        let recordedBatch = Self.best(4) { _ = transformer.forward(quarters, parameters) }
        print(
            "prefill \(name) 1 x \(length): \(Int(Double(length) / seconds)) tokens/s, "
                + "\(work / seconds / peak) of peak \(Int(peak / 1e9)) GF/s; recording costs \(recorded / seconds - 1), of four slices \(recordedBatch / batch - 1)"
        )
    }

    /// One decode step after a context of some length; reads all weights, and K and V of every sequence.
    @Test(arguments: [("smollm2-135m", 1024), ("smollm2-135m", 256), ("mini", 1024)])
    func decode(name: String, length: Int) throws {
        let config = try #require(ModelConfig.preset(name))
        let transformer = Transformer(config, pool: pool)
        let parameters = ModelParameters(Weights(config, seed: 1, pool: pool))
        for batch in [1, 4, 8] {
            let slices = (0..<batch).map { _ in
                let kv = KVBlock(config, capacity: length + 1)
                return ServingSlice(tokens: [3], start: length, kv: [KVSpan(kv, count: length + 1)], wantsLogits: true)
            }
            let step = Self.best(20) { _ = transformer.forward(slices, parameters) }
            let bytes = Double(parameters.weights.byteCount) + Double(batch * length * config.kvByteCountPerToken)
            print("decode \(name), context \(length), \(batch) rows: \(step * 1e3) ms, \(bytes / step / 1e9) GB/s")
        }
    }

    @Test(arguments: [("smollm2-135m", 1024), ("smollm2-135m", 256), ("mini", 1024)], [false, true])
    func trainingStep(model: (name: String, length: Int), isLoRA: Bool) throws {
        let config = try #require(ModelConfig.preset(model.name))
        let peak = peak()
        let length = model.length
        let tuning: TuningMode = isLoRA ? .lora(LoRAConfig(rank: 16, alpha: 32)) : .full
        let transformer = Transformer(config, pool: pool)
        let workspace = TrainingWorkspace(transformer, unitRows: 1024)
        let weights = Weights(config, seed: 1, pool: pool)
        var parameters = ModelParameters(weights)
        if case .lora(let lora) = tuning { parameters.adapters = Adapters(config, lora, seed: 2) }
        let gradients = GradientBuffer(config, tuning)
        let lossTokens = length / 10
        let text = Self.text(length + 1, config.vocabulary)
        let sequence = TrainingSequence(
            tokens: Array(text.dropLast()), targets: Array(text.dropFirst()),
            weights: (0..<length).map { $0 < length - lossTokens ? 0 : 1 / Float(lossTokens) })
        let seconds = Self.best(3) {
            let pass = TrainingPass(
                workspace, parameters: parameters, sequences: [sequence], gradients: gradients)
            _ = runPass(pass, unit: 1024)
        }
        let head = 2 * Double(lossTokens * config.hidden * config.vocabulary)
        let layers = Self.layerWork(config, length: length)
        let attention = Double(config.layers * length * length) * 2 * Double(config.queryWidth)
        // Full: forward once, backward twice. LoRA: no weight gradients, but the adapters' own products: forward one of
        // A and one of B, backward three and two.
        var work = 3 * layers + 3 * head
        if case .lora(let lora) = tuning {
            let a = 6 * config.hidden + config.queryWidth - config.hidden + config.intermediate
            let b = config.projectedWidth + 2 * config.hidden + 2 * config.intermediate
            let adapters = Double(config.layers * length * lora.rank) * 2 * Double(4 * a + 3 * b)
            work = 2 * layers + attention / 2 + 2 * head + adapters
        }
        print(
            "\(isLoRA ? "LoRA" : "full") step \(model.name) 1 x \(length): \(Int(Double(length) / seconds)) tokens/s, "
                + "\(work / seconds / peak) of peak \(Int(peak / 1e9)) GF/s")
    }

    /// Recompute against reuse on packed short samples; the bound is T / (T - F + F_u).
    @Test(arguments: [false, true])
    func reuse(isLoRA: Bool) throws {
        let config = try #require(ModelConfig.preset("mini"))
        let tuning: TuningMode = isLoRA ? .lora(LoRAConfig(rank: 8, alpha: 16)) : .full
        let transformer = Transformer(config, pool: pool)
        let workspace = TrainingWorkspace(transformer, unitRows: 1024)
        var parameters = ModelParameters(Weights(config, seed: 1, pool: pool))
        if case .lora(let lora) = tuning { parameters.adapters = Adapters(config, lora, seed: 2) }
        let gradients = GradientBuffer(config, tuning)
        let samples = [(250, 220), (180, 158), (300, 264), (200, 176)]
        var served: [ServedSequence] = []
        var sequences: [[TrainingSequence]] = [[], []]
        for (length, prompt) in samples {
            let text = Self.text(length + 1, config.vocabulary)
            served.append(
                ServedSequence(text, count: prompt, chunk: 256, transformer: transformer, parameters: parameters))
            for recorded in [false, true] {
                sequences[recorded ? 1 : 0].append(
                    TrainingSequence(
                        tokens: Array(text.dropLast()), targets: Array(text.dropFirst()),
                        weights: (0..<length).map { $0 < prompt - 1 ? 0 : 0.01 },
                        recorded: recorded ? [0..<prompt] : []))
            }
        }
        var times: [[Double]] = []
        for arm in [0, 1] {
            var forward = Double.infinity
            var total = Double.infinity
            for _ in 0..<10 {
                let pass = TrainingPass(
                    workspace, parameters: parameters, sequences: sequences[arm], gradients: gradients)
                let fresh = pass.packing.freshRows.count
                if arm == 1 {
                    for layer in 0..<config.layers {
                        for index in served.indices {
                            served[index].attach(to: pass, sequence: index, layer: layer) { _ in true }
                        }
                    }
                }
                let ahead = Self.best(1) {
                    for layer in 0..<config.layers { pass.forward(layer: layer, rows: 0..<fresh) }
                }
                let back = Self.best(1) {
                    _ = pass.loss(rows: 0..<pass.packing.lossRows.count)
                    for layer in (0..<config.layers).reversed() {
                        pass.backward(layer: layer, rows: 0..<pass.packing.rowCount)
                        pass.finishedBackward(layer: layer)
                    }
                }
                forward = min(forward, ahead)
                total = min(total, ahead + back)
            }
            times.append([forward, total])
        }
        let bound = times[0][1] / (times[0][1] - times[0][0] + times[1][0])
        print(
            "reuse, mini, \(isLoRA ? "LoRA" : "full"): recompute \(times[0][1] * 1e3) ms (forward \(times[0][0] * 1e3)), "
                + "reuse \(times[1][1] * 1e3) ms (forward \(times[1][0] * 1e3)), ratio \(times[0][1] / times[1][1]), "
                + "bound \(bound)")
    }
}
