public import Engine

/// Models that can be named: the presets of the engine, and the published ones whose sizes are the files of
/// `Registry/models`, embedded in the program.
public enum ModelRegistry {
    private static let files: [(name: String, bytes: [UInt8])] = [
        ("llama-2-13b", PackageResources.llama_2_13b_yaml), ("llama-2-70b", PackageResources.llama_2_70b_yaml),
        ("llama-2-7b", PackageResources.llama_2_7b_yaml), ("llama-3-70b", PackageResources.llama_3_70b_yaml),
        ("llama-3-8b", PackageResources.llama_3_8b_yaml), ("llama-3.1-70b", PackageResources.llama_3_1_70b_yaml),
        ("llama-3.1-8b", PackageResources.llama_3_1_8b_yaml), ("mistral-7b", PackageResources.mistral_7b_yaml),
        ("qwen2.5-0.5b", PackageResources.qwen2_5_0_5b_yaml), ("qwen2.5-1.5b", PackageResources.qwen2_5_1_5b_yaml),
        ("qwen2.5-14b", PackageResources.qwen2_5_14b_yaml), ("qwen2.5-32b", PackageResources.qwen2_5_32b_yaml),
        ("qwen2.5-3b", PackageResources.qwen2_5_3b_yaml), ("qwen2.5-72b", PackageResources.qwen2_5_72b_yaml),
        ("qwen2.5-7b", PackageResources.qwen2_5_7b_yaml),
    ]

    /// The engine's presets, smallest first, then the published models in alphabetical order.
    public static let names = ModelConfig.presets.map(\.name) + files.map(\.name)

    /// The model of that name; nil if there is none.
    public static func model(named name: String) throws(ProfileError) -> ModelConfig? {
        if let preset = ModelConfig.preset(name) { return preset }
        guard let file = files.first(where: { $0.name == name }) else { return nil }
        return try model(yaml: String(decoding: file.bytes, as: UTF8.self), path: name, name: name)
    }

    /// Reads a file as those of the registry.
    static func model(contentsOf path: String) throws(ProfileError) -> ModelConfig {
        let name = path.split(separator: "/").last?.split(separator: ".").dropLast().joined(separator: ".") ?? path
        return try model(yaml: try ProfileNode.text(of: path), path: path, name: name)
    }

    private static let fields = [
        "source", "layers", "hidden", "heads", "kv_heads", "head_size", "intermediate", "vocabulary", "max_context",
        "rope_theta", "rope_scaling", "rms_epsilon", "tied_head", "qkv_bias",
    ]

    static func model(yaml text: String, path: String, name: String) throws(ProfileError) -> ModelConfig {
        let node = try ProfileNode(yaml: text, path: path, expected: "the sizes of a model")
        let root = try node.mapping(allowing: fields)
        func size(_ name: String, most: Int = 1 << 20) throws(ProfileError) -> Int {
            try root[name].integer(in: 1...most)
        }
        func flag(_ name: String) throws(ProfileError) -> Bool { try root.ifAny(name)?.flag ?? false }
        let heads = try size("heads")
        let hidden = try size("hidden")
        let config = ModelConfig(
            name: name, layers: try size("layers"), hidden: hidden, heads: heads, kvHeads: try size("kv_heads"),
            headSize: try root.ifAny("head_size")?.integer(in: 1...1 << 20) ?? hidden / heads,
            intermediate: try size("intermediate"), vocabulary: try size("vocabulary", most: 1 << 26),
            maxContext: try size("max_context"), ropeTheta: try root["rope_theta"].positive,
            ropeScaling: try root.ifAny("rope_scaling").map(scaling), rmsEpsilon: try root["rms_epsilon"].positive,
            tiedHead: try flag("tied_head"), qkvBias: try flag("qkv_bias"))
        guard let problem = config.problems.first else { return config }
        throw node.problem(problem)
    }

    private static func scaling(_ node: ProfileNode) throws(ProfileError) -> RotaryScaling {
        let fields = try node.mapping(allowing: ["factor", "low_frequency", "high_frequency", "original_context"])
        return .llama3(
            RotaryScaling.Llama3(
                factor: try fields["factor"].positive, lowFrequencyFactor: try fields["low_frequency"].positive,
                highFrequencyFactor: try fields["high_frequency"].positive,
                originalContext: try fields["original_context"].positive))
    }
}
