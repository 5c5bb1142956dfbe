internal import Crypto
internal import Engine
internal import Foundation
internal import MeasuredBackend
internal import Results
internal import Simulator

/// Teaches a small model the synthetic language, so that what a run learns from feedback of another language means
/// something: losses that go down on the one, and up on the other.
public struct Pretraining: Sendable {
    /// What decides the result. The same settings give the same weights on the same machine.
    public struct Settings: Sendable, Equatable {
        public var steps = 400
        /// Texts of one step.
        public var sequences = 16
        /// Tokens of each text.
        public var length = 128
        /// The peak of a cosine with a warm-up of a twentieth of the steps.
        public var learningRate = 3e-3
        public var seed: UInt64 = 0
        /// Threads of the engine; 0 takes every processor. Not part of what the result is known by.
        public var threads = 0

        public init() {}
    }

    /// What came of it.
    public struct Report: Sendable, Codable, Equatable {
        public var model: String
        public var folder: String
        /// Whether it was there already.
        public var cached: Bool
        public var steps: Int
        public var tokens: Int
        public var seconds: Double
        /// Mean loss on held-out texts of the language before and after, in nats.
        public var lossBefore: Double
        public var lossAfter: Double
        /// The least that any model can reach in long texts: the entropy of a token given the one before it and the topic.
        public var entropy: Double

        enum CodingKeys: String, CodingKey {
            case model, folder, cached, steps, tokens, seconds
            case lossBefore = "loss_before"
            case lossAfter = "loss_after"
            case entropy
        }
    }

    /// Held-out tokens that losses are taken on.
    private static let heldOutTokens = 8192
    private static let reportFile = "pretraining.json"

    private let config: ModelConfig
    private let settings: Settings

    /// - Parameter model: a preset; what it knows is not looked at.
    public init(_ model: ScenarioModel, _ settings: Settings) throws(PretrainingError) {
        config = model.config
        self.settings = settings
        guard settings.length >= 2, settings.length <= config.maxContext else {
            throw .option(
                "length", found: "\(settings.length)", expected: "2 to \(config.maxContext), the model's context")
        }
        guard settings.steps >= 1, settings.sequences >= 1 else {
            throw .option("steps", found: "\(settings.steps)", expected: "at least one step of at least one text")
        }
    }

    /// Where the weights go unless told otherwise: a folder named by the settings.
    public var defaultFolder: String { "results/pretrained/\(config.name)-\(key.prefix(10))" }

    /// Hash of everything that decides the weights.
    private var key: String {
        let language = SyntheticLanguage.Parameters(vocabulary: config.vocabulary)
        let text = """
            alchemist-sim pretraining 1
            \(config)
            \(language)
            \(settings.steps) \(settings.sequences) \(settings.length) \(settings.learningRate) \(settings.seed)
            """
        var hash = SHA256()
        Array(text.utf8).withUnsafeBytes { hash.update(bufferPointer: $0) }
        return hash.finalize().hexadecimal
    }

    /// Trains, or finds what the same settings left before.
    ///
    /// - Parameters:
    ///   - folder: where the checkpoint is written, whole or not at all.
    ///   - now: the time in seconds.
    ///   - progress: told the steps done and the last loss.
    /// - Returns: `nil` if it was stopped.
    public func run(
        to folder: String, now: () -> Double, progress: (_ step: Int, _ loss: Double) -> Void = { _, _ in },
        shouldStop: () -> Bool = { false }
    ) throws -> Report? {
        if let known = try known(in: folder) { return known }
        let start = now()
        let pool = ThreadPool(width: settings.threads > 0 ? settings.threads : ThreadPool.processorCount)
        let engine = EngineContext(config, pool: pool)
        let weights = Weights(config, seed: settings.seed, pool: pool)
        let language = SyntheticLanguage(.init(vocabulary: config.vocabulary))
        let heldOut = HeldOutTexts(
            vocabulary: config.vocabulary, tokens: Self.heldOutTokens, shift: 0, maxContext: config.maxContext)
        let before = HeldOut.loss(of: ModelParameters(weights), on: heldOut.base, engine)
        guard try train(weights, language, pool, progress: progress, shouldStop: shouldStop) else { return nil }
        let report = Report(
            model: config.name, folder: folder, cached: false, steps: settings.steps,
            tokens: settings.steps * settings.sequences * settings.length, seconds: now() - start,
            lossBefore: before, lossAfter: HeldOut.loss(of: ModelParameters(weights), on: heldOut.base, engine),
            entropy: language.entropyRate())
        try write(weights, report, to: folder)
        return report
    }

    private func train(
        _ weights: Weights, _ language: SyntheticLanguage, _ pool: ThreadPool,
        progress: (Int, Double) -> Void, shouldStop: () -> Bool
    ) throws(PretrainingError) -> Bool {
        let rows = settings.sequences * settings.length
        let workspace = TrainingWorkspace(Transformer(config, pool: pool), unitRows: rows, lossChunk: 256)
        let gradients = GradientBuffer(config, .full)
        let state = OptimizerState(gradients.table)
        let rule = AdamW(weightDecay: 0.01, clipNorm: 1)
        let schedule = LearningRateSchedule(.cosine, warmup: settings.steps / 20, steps: settings.steps)
        let parameters = ModelParameters(weights)
        for step in 0..<settings.steps {
            if shouldStop() { return false }
            let pass = TrainingPass(
                workspace, parameters: parameters, sequences: sequences(language, step: step), gradients: gradients)
            pass.forwardWhole()
            let loss = pass.backwardWhole()
            let norm = gradients.norm(pool: pool)
            guard loss.isFinite, norm.isFinite else { throw .diverged(step: step, loss: loss) }
            state.beginStep()
            rule.step(
                0..<gradients.table.count, state: state, gradients: gradients, from: weights.buffer, to: weights.buffer,
                learningRate: settings.learningRate * schedule.factor(at: step),
                gradientScale: rule.gradientScale(norm: norm), pool: pool)
            gradients.clear()
            progress(step + 1, loss)
        }
        return true
    }

    /// Texts of a step: of its own, so that no text comes twice.
    private func sequences(_ language: SyntheticLanguage, step: Int) -> [TrainingSequence] {
        let weight = 1 / Float(settings.sequences * settings.length)
        var stream = RandomStream(seed: settings.seed, name: "pretraining step \(step)")
        return (0..<settings.sequences).map { _ in
            var text: [Int32] = []
            let topic = language.topic(using: &stream)
            language.extend(&text, by: settings.length + 1, topic: topic, using: &stream)
            return TrainingSequence(
                tokens: Array(text.dropLast()), targets: Array(text.dropFirst()),
                weights: [Float](repeating: weight, count: settings.length))
        }
    }

    // MARK: Files

    private struct Saved: Codable {
        var key: String
        var report: Report
    }

    private func known(in folder: String) throws(PretrainingError) -> Report? {
        let manager = FileManager.default
        guard manager.fileExists(atPath: folder) else { return nil }
        guard let data = manager.contents(atPath: folder + "/" + Self.reportFile),
            let saved = try? JSONDecoder().decode(Saved.self, from: data)
        else { throw .foreignFolder(folder) }
        guard saved.key == key else { throw .otherSettings(folder) }
        var report = saved.report
        report.cached = true
        report.folder = folder
        return report
    }

    /// Writes beside the folder and gives it its name when it is whole.
    private func write(_ weights: Weights, _ report: Report, to folder: String) throws {
        let partial = folder + ".partial-\(StagedFile.writer)"
        let manager = FileManager.default
        do {
            try ModelCheckpoint.write(weights, to: partial)
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            try encoder.encode(Saved(key: key, report: report)).write(
                to: URL(fileURLWithPath: partial + "/" + Self.reportFile))
            try manager.moveItem(atPath: partial, toPath: folder)
        } catch {
            try? manager.removeItem(atPath: partial)
            throw error
        }
    }
}

/// Why nothing can be pretrained.
public enum PretrainingError: Error, Sendable, Equatable, CustomStringConvertible {
    case option(String, found: String, expected: String)
    case diverged(step: Int, loss: Double)
    case foreignFolder(String)
    case otherSettings(String)

    public var description: String {
        switch self {
        case .option(let name, let found, let expected): "--\(name): found `\(found)`, expected \(expected)"
        case .diverged(let step, let loss):
            "pretraining diverged in step \(step), with a loss of \(loss): lower --learning-rate"
        case .foreignFolder(let folder):
            "\(folder): found something that pretraining did not write, expected a folder that is not there yet"
        case .otherSettings(let folder):
            "\(folder): found a model pretrained with other settings, expected a folder that is not there yet"
        }
    }
}
