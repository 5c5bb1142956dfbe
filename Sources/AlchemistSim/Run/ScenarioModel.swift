internal import Crypto
public import Engine
internal import MeasuredBackend
internal import Results

/// The model that a scenario names: one of the registry, a file that gives its sizes, or a checkpoint whose configuration
/// and headers are checked and whose values are not yet read.
public struct ScenarioModel: Sendable {
    public let config: ModelConfig
    private let checkpoint: ModelCheckpoint?
    private let adapter: AdapterCheckpoint?

    /// Opens what the scenario names.
    public init(of scenario: Scenario) throws(ExperimentError) {
        try self.init(named: scenario.model, adapter: scenario.adapter)
    }

    /// Opens a model of the registry, the file that describes one or a checkpoint's folder, and a folder with adapters for
    /// it.
    public init(named name: String, adapter: String? = nil) throws(ExperimentError) {
        let described: ModelConfig?
        do { described = try Self.described(name) } catch { throw .profile(error) }
        guard described != nil || Presets.isPath(name) else { throw .unknownModel(name) }
        do throws(CheckpointError) {
            if let described {
                config = described
                checkpoint = nil
            } else if name.hasSuffix(".json") {
                config = try ModelConfig(configuration: name)
                checkpoint = nil
            } else if Presets.hasConfigurationOnly(name) {
                config = try ModelConfig(configuration: name + "/config.json")
                checkpoint = nil
            } else {
                let opened = try ModelCheckpoint(name)
                config = opened.config
                checkpoint = opened
            }
            self.adapter = try adapter.map { folder throws(CheckpointError) in try AdapterCheckpoint(folder) }
            try self.adapter?.check(for: config)
        } catch {
            throw .checkpoint(error)
        }
    }

    /// The sizes that the registry or a file of its format gives; nil if the name is neither's.
    private static func described(_ name: String) throws(ProfileError) -> ModelConfig? {
        if let known = try ModelRegistry.model(named: name) { return known }
        guard Presets.isDescription(name), !name.hasSuffix(".json") else { return nil }
        return try ModelRegistry.model(contentsOf: name)
    }

    /// The scenario with rank, alpha and targets of the adapters, if there are any.
    func adopted(by scenario: Scenario) throws(ExperimentError) -> Scenario {
        guard let lora = adapter?.lora else { return scenario }
        do { return try scenario.adopting(lora) } catch { throw .scenario(error) }
    }

    /// A model in memory, and where it comes from.
    struct Loaded {
        let start: StartingModel
        let checkpoint: CheckpointOrigin?
        let adapter: CheckpointOrigin?
    }

    /// Reads the values, once per run.
    func load(pool: ThreadPool) throws(CheckpointError) -> Loaded {
        let weights = try checkpoint.map { opened throws(CheckpointError) in try opened.weights(pool: pool) }
        let adapters = try adapter.map { opened throws(CheckpointError) in
            try opened.adapters(for: config, pool: pool)
        }
        let origin = try checkpoint.map { opened throws(CheckpointError) in
            CheckpointOrigin(path: opened.folder, sha256: try Self.hash(opened.readBytes))
        }
        let adapterOrigin = try adapter.map { opened throws(CheckpointError) in
            CheckpointOrigin(path: opened.folder, sha256: try Self.hash(opened.readBytes))
        }
        return Loaded(
            start: StartingModel(weights, config, adapters: adapters), checkpoint: origin, adapter: adapterOrigin)
    }

    private static func hash(
        _ read: ((UnsafeRawBufferPointer) -> Void) throws(CheckpointError) -> Void
    ) throws(CheckpointError) -> String {
        var hash = SHA256()
        try read { hash.update(bufferPointer: $0) }
        return hash.finalize().hexadecimal
    }
}
