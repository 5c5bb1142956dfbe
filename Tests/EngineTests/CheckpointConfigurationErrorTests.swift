import Engine
import Foundation
import Testing

/// The same of the texts that say what the tensors are: indices, and configurations of models and adapters.
@Suite("Mistakes in configurations of checkpoints")
struct CheckpointConfigurationErrorTests {
    let pool = ThreadPool(width: 2)

    static let indices: [(what: String, index: String, message: String)] = [
        ("no map", "{}", "field `weight_map`: found nothing, expected an object from tensors to shards"),
        ("an empty map", "{\"weight_map\": {}}", "field `weight_map`: found an empty object, expected at least one"),
        (
            "a path above", "{\"weight_map\": {\"a\": \"../x.safetensors\"}}",
            "field `weight_map.a`: found `\"../x.safetensors\"`, expected the name of a safetensors file in the same"
        ),
        ("an absolute path", "{\"weight_map\": {\"a\": \"/etc/x.safetensors\"}}", "field `weight_map.a`: found"),
        ("the folder above", "{\"weight_map\": {\"a\": \"..\"}}", "field `weight_map.a`: found `\"..\"`"),
        ("another kind", "{\"weight_map\": {\"a\": \"config.json\"}}", "field `weight_map.a`: found"),
        ("a number", "{\"weight_map\": {\"a\": 3}}", "field `weight_map.a`: found `3`, expected a text"),
        ("a shard that is missing", "{\"weight_map\": {\"a\": \"none.safetensors\"}}", "none.safetensors: cannot open"),
        (
            "tensors that the index does not have",
            "{\"weight_map\": {\"lm_head.weight\": \"model-00001-of-00004.safetensors\"}}",
            "expected it where the index says, nowhere"
        ),
    ]

    @Test("indices", arguments: indices.indices)
    func index(number: Int) throws {
        let test = Self.indices[number]
        let folder = try TemporaryFolder(copying: "mistral")
        try folder.write("model.safetensors.index.json", Array(test.index.utf8))
        let message = try loadingMessage(of: folder.path)
        #expect(message.contains(test.message), "\(test.what): \(message)")
    }

    @Test func shardsThatLackOrMoveATensor() throws {
        let folder = try TemporaryFolder(copying: "mistral")
        let name = "model.safetensors.index.json"
        let text = String(decoding: try folder.read(name), as: UTF8.self)
        try folder.write(
            name,
            Array(
                text.replacing(
                    "\"weight_map\": {", with: "\"weight_map\": {\"a\": \"model-00001-of-00004.safetensors\","
                ).utf8))
        #expect(
            try loadingMessage(of: folder.path).contains(
                "tensor `a`: found shard model-00001-of-00004.safetensors without it, expected it in that shard"))
        let moved = text.replacing(
            /"model.norm.weight": "model-0000(\d)-of/,
            with: { "\"model.norm.weight\": \"model-0000\($0.1 == "1" ? 2 : 1)-of" })
        try folder.write(name, Array(moved.utf8))
        #expect(
            try loadingMessage(of: folder.path).contains("tensor `model.norm.weight`: found it here, expected it where")
        )
    }

    // MARK: Configurations

    /// Changes of one field of a fixture's config.json.
    static let configurations: [(folder: String, field: String, value: String?, message: String)] = [
        (
            "llama", "model_type", "\"gpt2\"",
            "field `model_type`: found `\"gpt2\"`, expected one of \"llama\", \"mistral\""
        ),
        ("llama", "model_type", nil, "field `model_type`: found nothing"),
        (
            "llama", "model_type", "\"qwen2\"",
            "field `architectures`: found a list of 1, expected [\"Qwen2ForCausalLM\"]"
        ),
        ("llama", "architectures", "[\"LlamaModel\"]", "expected [\"LlamaForCausalLM\"]"),
        ("llama", "architectures", "[1]", "field `architectures`: found a list of 1, expected a list of texts"),
        ("llama", "hidden_act", "\"gelu\"", "field `hidden_act`: found `\"gelu\"`, expected \"silu\""),
        ("llama", "attention_bias", "true", "field `attention_bias`: found `true`, expected false"),
        ("llama", "mlp_bias", "true", "field `mlp_bias`: found `true`, expected false"),
        ("llama", "mlp_bias", "\"no\"", "field `mlp_bias`: found `\"no\"`, expected true or false"),
        (
            "llama", "quantization_config", "{\"bits\": 4}",
            "field `quantization_config`: found an object, expected weights"
        ),
        ("llama", "hidden_size", "0", "field `hidden_size`: found `0`, expected a whole number from 1 to 1048576"),
        ("llama", "hidden_size", "32.5", "field `hidden_size`: found `32.5`"),
        ("llama", "hidden_size", nil, "field `hidden_size`: found nothing, expected a whole number"),
        ("llama", "num_hidden_layers", "-1", "field `num_hidden_layers`: found `-1`"),
        ("llama", "num_hidden_layers", "10001", "expected a whole number from 1 to 10000"),
        (
            "llama", "num_hidden_layers", "3",
            "tensor `model.layers.2.input_layernorm.weight`: found nothing of that name"
        ),
        ("llama", "num_key_value_heads", "3", "field `num_key_value_heads`: found `3`, expected a divisor of"),
        ("llama", "num_key_value_heads", nil, "tensor `model.layers.0.self_attn.k_proj.weight`: found shape [16, 32]"),
        ("llama", "head_dim", "7", "field `head_dim`: found `7`, expected an even size of a head, not 7"),
        ("llama", "head_dim", "99999999", "field `head_dim`: found `99999999`, expected a whole number from 1 to 4096"),
        ("llama", "vocab_size", "9223372036854775807", "field `vocab_size`: found `9223372036854775807`"),
        ("llama", "vocab_size", "65", "tensor `model.embed_tokens.weight`: found shape [64, 32], expected [65, 32]"),
        ("llama", "max_position_embeddings", "2000000", "field `max_position_embeddings`: found `2000000`"),
        ("llama", "rms_norm_eps", "0", "field `rms_norm_eps`: found `0`, expected a number above 0, at most 1.0"),
        ("llama", "rms_norm_eps", "\"1e-5\"", "field `rms_norm_eps`: found `\"1e-5\"`"),
        ("llama", "tie_word_embeddings", "0", "field `tie_word_embeddings`: found `0`, expected true or false"),
        ("llama", "partial_rotary_factor", "0.5", "field `partial_rotary_factor`: found `0.5`, expected 1"),
        ("llama", "rope_theta", "-1", "field `rope_theta`: found `-1`, expected a number above 0"),
        ("llama", "rope_theta", "5", "field `rope_theta`: found `5`, expected 10000.0, as in rope_parameters"),
        (
            "llama", "rope_scaling", "{\"type\": \"linear\"}",
            "field `rope_scaling`: found an object, expected nothing beside"
        ),
        ("llama", "rope_parameters", "3", "field `rope_parameters`: found `3`, expected an object"),
        (
            "llama", "rope_parameters", "{\"rope_type\": \"yarn\", \"factor\": 2}",
            "field `rope_parameters.rope_type`: found `\"yarn\"`, expected one of \"default\", \"linear\", \"llama3\""
        ),
        ("llama", "rope_parameters", "{\"rope_type\": \"dynamic\"}", "found `\"dynamic\"`, expected one of"),
        ("llama", "rope_parameters", "{\"rope_type\": \"longrope\"}", "found `\"longrope\"`, expected one of"),
        ("llama", "rope_parameters", "{\"full_attention\": {}}", "field `rope_parameters.rope_type`: found nothing"),
        ("llama", "rope_parameters", "{\"rope_type\": \"linear\"}", "field `rope_parameters.factor`: found nothing"),
        (
            "llama", "rope_parameters",
            "{\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 4, \"high_freq_factor\": 4, "
                + "\"original_max_position_embeddings\": 64}",
            "field `rope_parameters.high_freq_factor`: found `4`, expected a number above low_freq_factor, 4.0"
        ),
        (
            "smollm", "rope_scaling", "{\"type\": \"dynamic\", \"factor\": 2}",
            "field `rope_scaling.type`: found `\"dynamic\"`"
        ),
        (
            "smollm", "num_attention_heads", "5",
            "tensor `model.layers.0.self_attn.q_proj.weight`: found shape [36, 36], expected [60, 36]"
        ),
        ("smollm", "head_dim", nil, ""),
        (
            "qwen2", "num_attention_heads", "6",
            "field `head_dim`: found nothing, expected a size, because hidden_size 32"
        ),
        ("qwen2", "sliding_window", "\"x\"", ""),
        ("qwen2", "layer_types", "[\"linear_attention\"]", "field `layer_types`: found a list of 1, expected"),
        ("mistral", "sliding_window", "0", "field `sliding_window`: found `0`, expected a whole number from 1"),
    ]

    @Test("fields of config.json", arguments: configurations.indices)
    func configuration(index: Int) throws {
        let test = Self.configurations[index]
        let folder = try TemporaryFolder(copying: test.folder)
        let text = String(decoding: try folder.read("config.json"), as: UTF8.self)
        try folder.write("config.json", Array(try text.settingMember(test.field, to: test.value).utf8))
        if test.message.isEmpty {
            // A field that may be left out, or that nothing reads.
            _ = try ModelCheckpoint(folder.path).weights(pool: pool)
            return
        }
        let message = try loadingMessage(of: folder.path)
        #expect(message.contains(test.message), "\(test.field) = \(test.value ?? "nothing"): \(message)")
    }

    @Test(
        "windows bound the context",
        arguments: [
            ("mistral", "sliding_window", "32", 32), ("mistral", "sliding_window", "null", 256),
            ("mistral", "sliding_window", nil, 256), ("mistral", "sliding_window", "100000", 256),
            ("qwen2", "use_sliding_window", "true", 128),
        ] as [(String, String, String?, Int)])
    func window(name: String, field: String, value: String?, context: Int) throws {
        let folder = try TemporaryFolder(copying: name)
        let text = String(decoding: try folder.read("config.json"), as: UTF8.self)
        try folder.write("config.json", Array(try text.settingMember(field, to: value).utf8))
        #expect(try ModelCheckpoint(folder.path).config.maxContext == context)
    }

    @Test(
        "texts that are not a configuration",
        arguments: [
            ("", "config.json: not valid JSON at byte 0: expected a value"),
            ("[]", "found an empty list, expected a JSON object"),
            ("{\"model_type\": \"llama\", \"model_type\": \"llama\"}", "expected the key `model_type` once"),
            ("{\"rms_norm_eps\": NaN}", "not valid JSON at byte 17: expected a value"),
            ("{\"a\": 01}", "not valid JSON at byte 8: expected a number"), ("{\"a\": 1.}", "expected a digit"),
            ("{\"a\": \"\u{1}\"}", "expected no control character within a string"),
            ("{\"a\": \"\\x\"}", "expected a known escape"),
            ("{\"a\" 1}", "expected a colon"), ("{\"a\": [1 2]}", "expected a comma or `]`"),
            ("{\"a\": tru}", "expected a value"),
        ])
    func noConfiguration(text: String, part: String) throws {
        let folder = try TemporaryFolder(copying: "llama")
        try folder.write("config.json", Array(text.utf8))
        let message = try loadingMessage(of: folder.path)
        #expect(message.contains(part), "\(message)")
    }

    // MARK: Adapters

    static let adapters: [(field: String, value: String?, message: String)] = [
        ("peft_type", "\"IA3\"", "field `peft_type`: found `\"IA3\"`, expected \"LORA\""),
        ("task_type", "\"SEQ_CLS\"", "field `task_type`: found `\"SEQ_CLS\"`, expected \"CAUSAL_LM\""),
        ("use_dora", "true", "field `use_dora`: found `true`, expected false"),
        ("fan_in_fan_out", "true", "field `fan_in_fan_out`: found `true`, expected false"),
        ("lora_bias", "true", "field `lora_bias`: found `true`, expected false"),
        ("bias", "\"all\"", "field `bias`: found `\"all\"`, expected \"none\""),
        ("rank_pattern", "{\"q_proj\": 4}", "field `rank_pattern`: found an object, expected nothing"),
        ("alpha_pattern", "{\"q_proj\": 4}", "field `alpha_pattern`: found an object, expected nothing"),
        ("modules_to_save", "[\"lm_head\"]", "field `modules_to_save`: found a list of 1, expected nothing"),
        ("layers_to_transform", "0", "field `layers_to_transform`: found `0`, expected nothing"),
        ("exclude_modules", "\"q_proj\"", "field `exclude_modules`: found `\"q_proj\"`, expected nothing"),
        ("init_lora_weights", "\"pissa\"", "field `init_lora_weights`: found `\"pissa\"`"),
        ("r", "0", "field `r`: found `0`, expected a whole number from 1 to 4096"),
        ("r", nil, "field `r`: found nothing"),
        ("r", "4", "layers.0.self_attn.q_proj.lora_A.weight`: found shape [3, 32], expected [4, 32]"),
        ("lora_alpha", "0", "field `lora_alpha`: found `0`, expected a number above 0"),
        (
            "target_modules", "\".*_proj\"",
            "field `target_modules`: found `\".*_proj\"`, expected a list of modules, or"
        ),
        ("target_modules", "[]", "field `target_modules`: found an empty list, expected at least one module"),
        (
            "target_modules", "[\"lm_head\"]",
            "field `target_modules`: found `lm_head`, expected modules of each layer among q_proj"
        ),
        (
            "target_modules", "[\"layers.0.self_attn.q_proj\"]",
            "field `target_modules`: found `layers.0.self_attn.q_proj`"
        ),
        ("target_modules", "\"all-linear\"", "self_attn.k_proj.lora_A.weight`: found nothing of that name"),
        ("target_modules", "[\"q_proj\"]", "found 16 tensors that the configuration does not know: `base_model.model"),
    ]

    @Test("fields of adapter_config.json", arguments: adapters.indices)
    func adapter(index: Int) throws {
        let test = Self.adapters[index]
        let folder = try TemporaryFolder(copying: "llama-adapter")
        let text = String(decoding: try folder.read("adapter_config.json"), as: UTF8.self)
        try folder.write("adapter_config.json", Array(try text.settingMember(test.field, to: test.value).utf8))
        let config = try ModelCheckpoint(Checkpoints.path("llama")).config
        let error = #expect(throws: CheckpointError.self) {
            _ = try AdapterCheckpoint(folder.path).adapters(for: config, pool: pool)
        }
        #expect(error?.description.contains(test.message) == true, "\(error.map { $0.description } ?? "")")
    }

    @Test func adaptersOfAnotherModelAreRefused() throws {
        let config = try ModelCheckpoint(Checkpoints.path("smollm")).config
        let error = #expect(throws: CheckpointError.self) {
            _ = try AdapterCheckpoint(Checkpoints.path("llama-adapter")).adapters(for: config, pool: pool)
        }
        #expect(error?.description.contains("found shape [3, 32], expected [3, 36], by the configuration") == true)
    }

    @Test("modules by longer names") func longerNames() throws {
        let folder = try TemporaryFolder(copying: "llama-adapter")
        let text = String(decoding: try folder.read("adapter_config.json"), as: UTF8.self)
        let modules = "[\"self_attn.q_proj\", \"v_proj\", \"self_attn.o_proj\", \"mlp.up_proj\", \"down_proj\"]"
        try folder.write("adapter_config.json", Array(try text.settingMember("target_modules", to: modules).utf8))
        let config = try ModelCheckpoint(Checkpoints.path("llama")).config
        _ = try AdapterCheckpoint(folder.path).adapters(for: config, pool: pool)
    }
}
