import Engine
import Foundation
import Testing

@Suite("Checkpoints against transformers in float64")
struct CheckpointTests {
    let pool = ThreadPool(width: 2)

    @Test("every family's logits", arguments: Checkpoints.models)
    func logits(folder: String) throws {
        let golden = try Checkpoints.golden(folder)
        let checkpoint = try ModelCheckpoint(Checkpoints.path(folder))
        #expect(checkpoint.config.name == folder)
        let parameters = ModelParameters(try checkpoint.weights(pool: pool))
        let computed = Checkpoints.logits(golden.description.tokens, parameters, pool: pool)
        expectClose(
            computed, golden.logits, within: 1e-5, "\(folder); if it changed on purpose, run: \(golden.command)")
    }

    @Test("logits of adapted models", arguments: Checkpoints.adapters.sorted { $0.key < $1.key })
    func adapted(folder: String, base: String) throws {
        let golden = try Checkpoints.golden(folder)
        let model = try ModelCheckpoint(Checkpoints.path(base))
        let adapter = try AdapterCheckpoint(Checkpoints.path(folder))
        let parameters = ModelParameters(
            try model.weights(pool: pool), adapters: try adapter.adapters(for: model.config, pool: pool))
        let computed = Checkpoints.logits(golden.description.tokens, parameters, pool: pool)
        expectClose(
            computed, golden.logits, within: 1e-5, "\(folder); if it changed on purpose, run: \(golden.command)")
        // The adapter must matter.
        let plain = Checkpoints.logits(golden.description.tokens, ModelParameters(parameters.weights), pool: pool)
        #expect(Closeness(plain, golden.logits).relative > 0.01)
    }

    @Test func configurationsAreReadFromBothLayouts() throws {
        let config = { (folder: String) in try ModelCheckpoint(Checkpoints.path(folder)).config }
        #expect(
            try config("llama")
                == ModelConfig(
                    name: "llama", layers: 2, hidden: 32, heads: 4, kvHeads: 2, headSize: 8, intermediate: 40,
                    vocabulary: 64, maxContext: 128, rmsEpsilon: 1e-5, tiedHead: false))
        let rule = RotaryScaling.Llama3(
            factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 64)
        #expect(try config("llama3").ropeScaling == .llama3(rule))
        // The window of 64 tokens, not the 256 positions.
        #expect(try config("mistral").maxContext == 64 && config("mistral").headSize == 12)
        #expect(try config("qwen2").qkvBias && config("qwen2").tiedHead && config("qwen2").ropeTheta == 1e6)
        // As transformers wrote it before version 5.
        #expect(try config("smollm").ropeScaling == .linear(factor: 2) && config("smollm").ropeTheta == 1e5)
        let rankStabilised = try AdapterCheckpoint(Checkpoints.path("smollm-adapter")).lora
        #expect(rankStabilised.rank == 4 && rankStabilised.alpha == 10)
        #expect(rankStabilised.targets == Set(Projection.allCases))
        let some = try AdapterCheckpoint(Checkpoints.path("llama-adapter")).lora
        #expect(some == LoRAConfig(rank: 3, alpha: 6, targets: [.q, .v, .o, .up, .down]))
    }

    // MARK: Round trips

    @Test("what is written reads back", arguments: Checkpoints.models, CheckpointPrecision.allCases)
    func modelRoundTrip(folder: String, precision: CheckpointPrecision) throws {
        let original = try ModelCheckpoint(Checkpoints.path(folder)).weights(pool: pool)
        let target = try TemporaryFolder()
        try ModelCheckpoint.write(original, to: target.file("new/\(folder)"), precision: precision)
        let checkpoint = try ModelCheckpoint(target.file("new/\(folder)/"))
        #expect(checkpoint.config == original.config)
        let read = try checkpoint.weights(pool: pool)
        let isExact = precision == .float32 || ["llama3", "qwen2"].contains(folder)
        if isExact {
            #expect(read.buffer.floats.elementsEqual(original.buffer.floats))
        } else {
            // Half a unit of bfloat16's eight bits.
            #expect(zip(read.buffer.floats, original.buffer.floats).allSatisfy { abs($0 - $1) <= abs($1) * 0x1p-8 })
            #expect(!read.buffer.floats.elementsEqual(original.buffer.floats))
        }
        let names = try FileManager.default.contentsOfDirectory(atPath: target.file("new/\(folder)")).sorted()
        #expect(names == ["config.json", "model.safetensors"])
    }

    @Test("adapters written read back", arguments: Checkpoints.adapters.sorted { $0.key < $1.key })
    func adapterRoundTrip(folder: String, base: String) throws {
        let config = try ModelCheckpoint(Checkpoints.path(base)).config
        let original = try AdapterCheckpoint(Checkpoints.path(folder)).adapters(for: config, pool: pool)
        let target = try TemporaryFolder()
        try AdapterCheckpoint.write(original, base: base, to: target.path)
        let checkpoint = try AdapterCheckpoint(target.path)
        #expect(checkpoint.lora == original.lora)
        let read = try checkpoint.adapters(for: config, pool: pool)
        #expect(read.buffer.floats.elementsEqual(original.buffer.floats))
        #expect(target.names == ["adapter_config.json", "adapter_model.safetensors"])
    }

    @Test(arguments: CheckpointPrecision.allCases, [Float.nan, .infinity])
    func valuesThatNothingCouldReadAgainAreNotWritten(precision: CheckpointPrecision, bad: Float) throws {
        let weights = try ModelCheckpoint(Checkpoints.path("llama")).weights(pool: pool)
        weights.buffer.base[7] = bad
        let target = try TemporaryFolder()
        let error = #expect(throws: CheckpointError.self) {
            try ModelCheckpoint.write(weights, to: target.path, precision: precision)
        }
        let text = "tensor `model.embed_tokens.weight`: found \(bad) at index 7, expected finite values"
        #expect(error?.description.hasSuffix(text) == true)
        #expect(target.names.isEmpty)
    }

    /// Two machines that share a folder may have processes of the same number: the other one's file stays as it is.
    @Test func aProcessOfTheSameNumberElsewhereIsLeftAlone() throws {
        let target = try TemporaryFolder()
        let other = target.file(".model.safetensors.partial-\(getpid())")
        try Data("elsewhere".utf8).write(to: URL(fileURLWithPath: other))
        try ModelCheckpoint.write(ModelCheckpoint(Checkpoints.path("llama")).weights(pool: pool), to: target.path)
        #expect(try Data(contentsOf: URL(fileURLWithPath: other)) == Data("elsewhere".utf8))
    }

    @Test func aFailedWriteLeavesWhatWasThere() throws {
        let weights = try ModelCheckpoint(Checkpoints.path("llama")).weights(pool: pool)
        let target = try TemporaryFolder()
        // A folder of the target's name can not be replaced by a file.
        try FileManager.default.createDirectory(
            atPath: target.file("model.safetensors/inner"), withIntermediateDirectories: true)
        let error = #expect(throws: CheckpointError.self) { try ModelCheckpoint.write(weights, to: target.path) }
        #expect(error?.isInputOutput == true)
        #expect(error?.description.contains("model.safetensors: cannot give the finished file this name") == true)
        #expect(target.names == ["model.safetensors"])
        #expect(throws: CheckpointError.self) { try ModelCheckpoint.write(weights, to: "/proc/nowhere") }
    }

    /// Writes every fixture again, for `make_checkpoints.py --check`.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["ALCHEMIST_CHECKPOINTS"] != nil))
    func writeForCheck() throws {
        let target = try #require(ProcessInfo.processInfo.environment["ALCHEMIST_CHECKPOINTS"])
        for folder in Checkpoints.models {
            let weights = try ModelCheckpoint(Checkpoints.path(folder)).weights(pool: pool)
            // These two are stored in bfloat16, so nothing is lost by it.
            let precision: CheckpointPrecision = ["llama3", "qwen2"].contains(folder) ? .bfloat16 : .float32
            try ModelCheckpoint.write(weights, to: "\(target)/\(folder)", precision: precision)
        }
        for (folder, base) in Checkpoints.adapters {
            let config = try ModelCheckpoint(Checkpoints.path(base)).config
            let adapters = try AdapterCheckpoint(Checkpoints.path(folder)).adapters(for: config, pool: pool)
            try AdapterCheckpoint.write(adapters, base: "\(target)/\(base)", to: "\(target)/\(folder)")
        }
    }
}

@Suite("Conversion of stored floats")
struct ConversionTests {
    @Test("every binary16 and bfloat16 value") func everyHalf() {
        for bits in UInt16.min...UInt16.max {
            var source = [UInt8](repeating: 0xaa, count: 3)
            source[1] = UInt8(truncatingIfNeeded: bits)
            source[2] = UInt8(truncatingIfNeeded: bits >> 8)
            let half = Float(Float16(bitPattern: bits))
            let brain = Float(bitPattern: UInt32(bits) << 16)
            var value: Float = 7
            // An odd address on purpose.
            func converted(_ convert: (UnsafeRawPointer, UnsafeMutablePointer<Float>, Int) -> Bool) -> (Bool, Float) {
                let isFinite = source.withUnsafeBytes { bytes in
                    bytes.baseAddress.map { convert($0 + 1, &value, 1) } ?? false
                }
                return (isFinite, value)
            }
            let (isHalfFinite, fromHalf) = converted { FloatConversion.fromFloat16($0, to: $1, count: $2) }
            let (isBrainFinite, fromBrain) = converted { FloatConversion.fromBFloat16($0, to: $1, count: $2) }
            if isHalfFinite != half.isFinite || half.isFinite && fromHalf.bitPattern != half.bitPattern
                || isBrainFinite != brain.isFinite || fromBrain.bitPattern != brain.bitPattern
            {
                Issue.record("\(bits): \(fromHalf), expected \(half); \(fromBrain), expected \(brain)")
                return
            }
        }
    }

    @Test("one value that is not finite among many", arguments: [Float.infinity, -.infinity, .nan, -.nan])
    func notFinite(bad: Float) {
        for count in [1, 15, 16, 17, 100] {
            var source = [Float](repeating: -.greatestFiniteMagnitude, count: count)
            var target = [Float](repeating: 0, count: count)
            #expect(FloatConversion.fromFloat32(source, to: &target, count: count))
            #expect(source == target)
            for place in [0, count / 2, count - 1] {
                source[place] = bad
                #expect(!FloatConversion.fromFloat32(source, to: &target, count: count))
                source[place] = 1
            }
        }
    }

    @Test("rounding to bfloat16 is to nearest, ties to even") func rounding() {
        let cases: [(Float, UInt16)] = [
            (1, 0x3f80), (-2, 0xc000), (0, 0), (-0.0, 0x8000), (Float(bitPattern: 0x3f80_8000), 0x3f80),
            (Float(bitPattern: 0x3f81_8000), 0x3f82), (Float(bitPattern: 0x3f80_8001), 0x3f81),
            (Float(bitPattern: 0x0000_7fff), 0), (Float(bitPattern: 0x0000_8001), 1),
        ]
        for (value, bits) in cases {
            var rounded: UInt16 = 0
            FloatConversion.roundToBFloat16([value], to: &rounded, count: 1)
            #expect(rounded == bits, "\(value)")
        }
    }
}
