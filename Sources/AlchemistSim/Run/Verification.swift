internal import Engine
internal import MeasuredBackend
public import Simulator

/// The law on a given model: a training pass over what serving recorded has the loss and every gradient of the pass that
/// recomputes, within 1e-5.
public struct Verification: Sendable {
    /// What is checked, and how.
    public struct Options: Sendable {
        /// Input tokens of the one sample.
        public var length = 256
        /// Tokens of one prefill chunk.
        public var chunk = 64
        public var tuning = VerificationTuning.lora
        /// Seed of the tokens, of a preset's weights and of the adapters.
        public var seed: UInt64 = 0
        /// Threads of the engine; 0 takes every processor.
        public var threads = 0

        public init() {}
    }

    /// Largest error allowed, of the loss and of every tensor's gradient.
    public static let limit = 1e-5
    /// LoRA's rank and alpha.
    private static let lora = LoRAConfig(rank: 8, alpha: 16)
    /// Deviation of the adapters' B, which training starts at zero. Then the gradients of A would be zero as well and the
    /// law say nothing of them.
    private static let adapterDeviation = 0.02

    private let model: ScenarioModel
    private let options: Options

    /// - Throws: `VerificationError` when the model takes no sample of that length.
    public init(_ model: ScenarioModel, _ options: Options) throws(VerificationError) {
        guard options.length >= 2, options.length <= model.config.maxContext else {
            throw .length(options.length, longest: model.config.maxContext)
        }
        guard options.chunk >= 1 else { throw .chunk(options.chunk) }
        self.model = model
        self.options = options
    }

    /// Serves the prompt in chunks, recording; trains a step on the records and one without; compares.
    ///
    /// - Throws: `VerificationError.memory` when the model does not fit this machine, and a `CheckpointError` when it can not be
    ///   read.
    public func run() throws -> VerificationReport {
        // Weights, and two gradients of what is trained, all in 32 bits.
        let parameters32 = ModelShape(model.config).parameters * (options.tuning == .full ? 3 : 1)
        let needed = Bytes(4 * parameters32)
        if let available = Machine.availableMemory, needed > available {
            throw VerificationError.memory(needed: needed, available: available)
        }
        let pool = ThreadPool(width: options.threads > 0 ? options.threads : ThreadPool.processorCount)
        let start = try model.load(pool: pool).start
        let tuning: TuningMode = options.tuning == .full ? .full : .lora(Self.lora)
        var parameters = ModelParameters(start.weights(seed: options.seed, isTrained: false, pool: pool))
        if case .lora(let lora) = tuning { parameters.adapters = adapters(lora) }
        let transformer = Transformer(model.config, pool: pool)
        let workspace = TrainingWorkspace(transformer, unitRows: options.length, lossChunk: 64)
        let served = RecordedSequence(
            text, count: promptTokens, chunk: options.chunk, transformer: transformer, parameters: parameters)

        let recomputed = GradientBuffer(model.config, tuning)
        let recomputedLoss = step(workspace, parameters, recomputed, nil)
        let reused = GradientBuffer(model.config, tuning)
        let reusedLoss = step(workspace, parameters, reused, served)
        return VerificationReport(
            model: model.config.name, options: options, promptTokens: promptTokens,
            recomputedLoss: recomputedLoss, reusedLoss: reusedLoss,
            groups: VerificationReport.compare(reused, with: recomputed))
    }

    /// Seven tokens of eight are the prompt; the others carry loss.
    private var promptTokens: Int { max(1, options.length - max(1, options.length / 8)) }

    /// The sample and the token after it.
    private var text: [Int32] {
        var stream = RandomStream(seed: options.seed, name: "verification")
        return (0...options.length).map { _ in Int32(truncatingIfNeeded: stream.below(model.config.vocabulary)) }
    }

    private func adapters(_ lora: LoRAConfig) -> Adapters {
        let adapters = Adapters(model.config, lora, seed: options.seed)
        for parameter in adapters.table.parameters where parameter.name.hasSuffix(".B") {
            let floats = UnsafeMutableBufferPointer(rebasing: adapters.buffer.floats[parameter.range])
            NormalStream(seed: options.seed, name: parameter.name).fill(floats, deviation: Self.adapterDeviation)
        }
        return adapters
    }

    /// Adds one step's gradient; returns its loss, the mean over the loss tokens.
    private func step(
        _ workspace: TrainingWorkspace, _ parameters: ModelParameters, _ gradients: GradientBuffer,
        _ served: RecordedSequence?
    ) -> Double {
        let text = text
        // The last prompt token predicts the first token of the answer.
        let first = promptTokens - 1
        let weight = 1 / Float(options.length - first)
        let sequence = TrainingSequence(
            tokens: Array(text.dropLast()), targets: Array(text.dropFirst()),
            weights: (0..<options.length).map { $0 < first ? 0 : weight },
            recorded: served?.recorded() ?? [])
        let pass = TrainingPass(workspace, parameters: parameters, sequences: [sequence], gradients: gradients)
        pass.forwardWhole { layer in served?.attach(to: pass, sequence: 0, layer: layer) }
        return pass.backwardWhole()
    }
}

/// What the checked step trains.
public enum VerificationTuning: String, Sendable, CaseIterable, Encodable {
    case lora, full
}

/// Why a verification can not be made.
public enum VerificationError: Error, Sendable, Equatable, CustomStringConvertible {
    case length(Int, longest: Int)
    case chunk(Int)
    /// The machine that runs this can not hold the model.
    case memory(needed: Bytes, available: Bytes)

    public var description: String {
        switch self {
        case .length(let found, let longest):
            "--length: found `\(found)`, expected 2 to \(longest), the model's longest context"
        case .memory(let needed, let available):
            "this machine has \(available) of memory left, but verifying the model in 32 bits needs \(needed) at least"
        case .chunk(let found): "--chunk: found `\(found)`, expected at least 1"
        }
    }
}
