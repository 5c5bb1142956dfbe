extension ModelConfig {
    /// Most that a size of a configuration may be; products of them stay far from 64 bits.
    private enum Limit {
        static let layers = 1...10_000
        static let width = 1...1 << 20
        static let heads = 1...4096
        static let vocabulary = 1...1 << 26
        /// The rotary tables hold every position.
        static let context = 1...1 << 20
        /// Floats of those tables: 1 GiB of them.
        static let rotary = 1 << 28
    }

    /// The families that the engine computes, by `model_type`.
    private enum Family: String, CaseIterable {
        case llama, mistral, qwen2

        var architecture: String {
            switch self {
            case .llama: "LlamaForCausalLM"
            case .mistral: "MistralForCausalLM"
            case .qwen2: "Qwen2ForCausalLM"
            }
        }
    }

    /// The model that the `config.json` at `path` describes, named after its folder. No values are read.
    public init(configuration path: String) throws(CheckpointError) {
        let parts = path.split(separator: "/")
        let name = parts.dropLast().last ?? parts.last ?? ""
        try self.init(huggingFace: JSONFile(path), name: String(name))
    }

    /// The model that a `config.json` of transformers describes, versions 4 and 5.
    ///
    /// Whatever would make the model compute something else than the engine does is an error. `name` is the model's.
    init(huggingFace file: JSONFile, name: String) throws(CheckpointError) {
        let known = Family.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
        guard let family = try file.text("model_type").flatMap(Family.init) else {
            throw file.wrong("model_type", expected: "one of \(known)")
        }
        if let architectures = try file.texts("architectures"), architectures != [family.architecture] {
            throw file.wrong("architectures", expected: "[\"\(family.architecture)\"]")
        }
        try Self.refuseWhatIsNotComputed(file)

        let hidden = try file.requiredInteger("hidden_size", in: Limit.width)
        let heads = try file.requiredInteger("num_attention_heads", in: Limit.heads)
        let kvHeads = try file.integer("num_key_value_heads", in: Limit.heads) ?? heads
        guard heads.isMultiple(of: kvHeads) else {
            throw file.wrong("num_key_value_heads", expected: "a divisor of num_attention_heads, \(heads)")
        }
        let headSize: Int
        if let stated = try file.integer("head_dim", in: Limit.heads) {
            headSize = stated
        } else {
            guard hidden.isMultiple(of: heads) else {
                throw file.wrong(
                    "head_dim", expected: "a size, because hidden_size \(hidden) is no multiple of \(heads) heads")
            }
            headSize = hidden / heads
        }
        guard headSize.isMultiple(of: 2) else {
            throw file.wrong("head_dim", expected: "an even size of a head, not \(headSize)")
        }
        let context = try file.requiredInteger("max_position_embeddings", in: Limit.context)
        guard context * headSize <= Limit.rotary else {
            throw file.wrong(
                "max_position_embeddings",
                expected:
                    "at most \(Limit.rotary / headSize) with heads of \(headSize): every position has a rotary angle")
        }
        let (theta, scaling) = try Self.rotary(file)
        self.init(
            name: name, layers: try file.requiredInteger("num_hidden_layers", in: Limit.layers), hidden: hidden,
            heads: heads, kvHeads: kvHeads, headSize: headSize,
            intermediate: try file.requiredInteger("intermediate_size", in: Limit.width),
            vocabulary: try file.requiredInteger("vocab_size", in: Limit.vocabulary),
            maxContext: min(context, try Self.window(file, family) ?? context), ropeTheta: theta,
            ropeScaling: scaling, rmsEpsilon: try file.requiredPositive("rms_norm_eps", most: 1),
            tiedHead: try file.flag("tie_word_embeddings", default: false), qkvBias: family == .qwen2)
    }

    private static func refuseWhatIsNotComputed(_ file: JSONFile) throws(CheckpointError) {
        if let activation = try file.text("hidden_act"), activation != "silu" {
            throw file.wrong("hidden_act", expected: "\"silu\"")
        }
        for name in ["attention_bias", "mlp_bias"] where try file.flag(name, default: false) {
            throw file.wrong(name, expected: "false")
        }
        guard file["quantization_config"] == nil else {
            throw file.wrong("quantization_config", expected: "weights that are not quantised")
        }
        if let part = file["partial_rotary_factor"], part.real != 1 {
            throw file.wrong("partial_rotary_factor", expected: "1")
        }
        if let types = try file.texts("layer_types"),
            !types.allSatisfy({ $0 == "full_attention" || $0 == "sliding_attention" })
        {
            throw file.wrong("layer_types", expected: "\"full_attention\" or \"sliding_attention\" only")
        }
    }

    /// Longest context within which a sliding window changes nothing; nil without one. A window of W tokens lets a token
    /// see itself and W - 1 before it.
    private static func window(_ file: JSONFile, _ family: Family) throws(CheckpointError) -> Int? {
        let isUsed =
            switch family {
            case .llama: false
            case .mistral: true
            case .qwen2: try file.flag("use_sliding_window", default: false)
            }
        guard isUsed else { return nil }
        if file.object["sliding_window"] == nil { return 4096 }  // transformers' default; `null` means none.
        return try file.integer("sliding_window", in: Limit.context)
    }

    /// Base and scaling of the rotary frequencies: `rope_parameters`, or `rope_theta` beside `rope_scaling` as written
    /// before version 5.
    private static func rotary(_ file: JSONFile) throws(CheckpointError) -> (Double, RotaryScaling?) {
        let outer = try file.positive("rope_theta")
        if let rope = try file.nested("rope_parameters") {
            guard file["rope_scaling"] == nil else {
                throw file.wrong("rope_scaling", expected: "nothing beside rope_parameters")
            }
            let inner = try rope.positive("rope_theta")
            if let outer, let inner, outer != inner {
                throw file.wrong("rope_theta", expected: "\(inner), as in rope_parameters")
            }
            return (inner ?? outer ?? 10_000, try scaling(rope))
        }
        return (outer ?? 10_000, try file.nested("rope_scaling").flatMap(scaling))
    }

    private static func scaling(_ rope: JSONFile) throws(CheckpointError) -> RotaryScaling? {
        if let part = rope["partial_rotary_factor"], part.real != 1 {
            throw rope.wrong("partial_rotary_factor", expected: "1")
        }
        let field = rope["rope_type"] == nil && rope["type"] != nil ? "type" : "rope_type"
        switch try rope.text(field) {
        case "default": return nil
        case "linear": return .linear(factor: try rope.requiredPositive("factor"))
        case "llama3":
            let rule = RotaryScaling.Llama3(
                factor: try rope.requiredPositive("factor"),
                lowFrequencyFactor: try rope.requiredPositive("low_freq_factor"),
                highFrequencyFactor: try rope.requiredPositive("high_freq_factor"),
                originalContext: try rope.requiredPositive("original_max_position_embeddings"))
            guard rule.highFrequencyFactor > rule.lowFrequencyFactor else {
                throw rope.wrong(
                    "high_freq_factor", expected: "a number above low_freq_factor, \(rule.lowFrequencyFactor)")
            }
            return .llama3(rule)
        default: throw rope.wrong(field, expected: "one of \"default\", \"linear\", \"llama3\"")
        }
    }
}

extension ModelConfig {
    /// The `config.json` that transformers reads this model from. Names and places of fields are those of version 4,
    /// which version 5 reads, too.
    func huggingFaceText(precision: CheckpointPrecision) -> String {
        var text = JSONText()
        text.add("architectures", [qkvBias ? "Qwen2ForCausalLM" : "LlamaForCausalLM"])
        text.add("model_type", qkvBias ? "qwen2" : "llama")
        text.add("attention_dropout", 0.0)
        if !qkvBias {
            text.add("attention_bias", false)
            text.add("mlp_bias", false)
        }
        text.add("head_dim", headSize)
        text.add("hidden_act", "silu")
        text.add("hidden_size", hidden)
        text.add("intermediate_size", intermediate)
        text.add("max_position_embeddings", maxContext)
        text.add("num_attention_heads", heads)
        text.add("num_hidden_layers", layers)
        text.add("num_key_value_heads", kvHeads)
        text.add("rms_norm_eps", rmsEpsilon)
        switch ropeScaling {
        case nil: text.addNull("rope_scaling")
        case .linear(let factor):
            var scaling = JSONText()
            scaling.add("rope_type", "linear")
            scaling.add("factor", factor)
            text.add("rope_scaling", scaling)
        case .llama3(let rule):
            var scaling = JSONText()
            scaling.add("rope_type", "llama3")
            scaling.add("factor", rule.factor)
            scaling.add("low_freq_factor", rule.lowFrequencyFactor)
            scaling.add("high_freq_factor", rule.highFrequencyFactor)
            scaling.add("original_max_position_embeddings", rule.originalContext, wholeIfPossible: true)
            text.add("rope_scaling", scaling)
        }
        text.add("rope_theta", ropeTheta)
        text.add("tie_word_embeddings", tiedHead)
        text.add("torch_dtype", precision.rawValue)
        if qkvBias { text.add("use_sliding_window", false) }
        text.add("vocab_size", vocabulary)
        return text.text
    }
}
