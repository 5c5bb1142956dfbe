import Engine
import Foundation
import Testing

/// What is wrong with a checkpoint is said in one line: file, field or tensor, what was found, what would be right.
@Suite("Mistakes in checkpoints")
struct CheckpointErrorTests {
    let pool = ThreadPool(width: 2)

    /// The one line about a folder that must not load.
    private func message(of folder: String) throws -> String {
        let error = #expect(throws: CheckpointError.self) {
            _ = try ModelCheckpoint(folder).weights(pool: pool)
        }
        let text = try #require(error).description
        #expect(!text.contains("\n") && text.unicodeScalars.allSatisfy { $0.value >= 0x20 })
        return text
    }

    // MARK: Safetensors headers

    /// A header of one or two tensors, beside the llama's configuration.
    static let headers: [(what: String, bytes: [UInt8], message: String)] = [
        ("empty", [], "found 0 bytes, expected at least 8, which tell the header's length"),
        ("seven bytes", [1, 0, 0, 0, 0, 0, 0], "found 7 bytes, expected at least 8"),
        (
            "no header", [UInt8](repeating: 0, count: 8),
            "not valid JSON at byte 8: expected a value"
        ),
        (
            "a header beyond the file", Array(safetensors("{}").dropLast()),
            "found a header of 2 bytes in a file of 9, expected a header that ends within the file"
        ),
        (
            "a huge header", [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            "found a header of 18446744073709551615 bytes, expected at most 100000000"
        ),
        (
            "just too long", [1, 0xe1, 0xf5, 5, 0, 0, 0, 0] + [0x7b, 0x7d],
            "found a header of 100000001 bytes, expected at most 100000000"
        ),
        ("no JSON", safetensors("hello"), "not valid JSON at byte 8: expected a value"),
        ("cut short", safetensors("{\"a\":"), "not valid JSON at byte 13: expected a value"),
        ("a trailing comma", safetensors("{\"a\":1,}"), "not valid JSON at byte 15: expected a key in double quotes"),
        ("text after it", safetensors("{} x"), "not valid JSON at byte 11: expected the end of the text"),
        ("a list", safetensors("[]"), "found a header that is an empty list, expected an object"),
        ("a number", safetensors("3"), "found a header that is `3`, expected an object"),
        (
            "invalid UTF-8", [6, 0, 0, 0, 0, 0, 0, 0] + Array("{\"".utf8) + [0xff] + Array("\":1".utf8),
            "not valid JSON at byte 9: expected a string in UTF-8"
        ),
        (
            "half a surrogate pair", safetensors("{\"\\ud800\": 1}"),
            "expected a surrogate pair"
        ),
        (
            "deep nesting", safetensors(String(repeating: "[", count: 100_000)),
            "not valid JSON at byte 40: expected at most 32 nested levels"
        ),
        (
            "deep objects", safetensors(String(repeating: "{\"a\":", count: 1000)),
            "expected at most 32 nested levels"
        ),
        (
            "metadata of numbers", safetensors("{\"__metadata__\":{\"a\":1}}"),
            "field `__metadata__.a`: found `1`, expected a text"
        ),
        ("metadata in a list", safetensors("{\"__metadata__\":[]}"), "field `__metadata__`: found an empty list"),
        (
            "a tensor that is text", safetensors("{\"a\":\"F32\"}"),
            "tensor `a`: found `\"F32\"`, expected an object with"
        ),
        (
            "no dtype", safetensors("{\"a\":{\"shape\":[],\"data_offsets\":[0,4]}}", data: 4),
            "tensor `a`: found dtype missing"
        ),
        (
            "a numeric dtype", safetensors("{\"a\":{\"dtype\":32,\"shape\":[],\"data_offsets\":[0,4]}}", data: 4),
            "tensor `a`: found dtype `32`, expected the name of a type, as \"F32\""
        ),
        (
            "no shape", safetensors("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", data: 4),
            "tensor `a`: found shape missing, expected a list of sizes"
        ),
        (
            "an unknown field",
            safetensors("{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4],\"x\":1}}", data: 4),
            "tensor `a`: found a field `x`, expected dtype, shape and data_offsets only"
        ),
        (
            "a negative size", tensor("[-1]", "[0,4]"),
            "tensor `a`: found size `-1` in its shape, expected whole numbers"
        ),
        ("a fractional size", tensor("[1.0]", "[0,4]"), "tensor `a`: found size `1.0` in its shape"),
        ("a size beyond 64 bits", tensor("[18446744073709551616]", "[0,4]"), "found size `18446744073709551616` in"),
        (
            "a product beyond 64 bits", tensor("[4294967296,4294967296,4294967296]", "[0,4]"),
            "tensor `a`: found a shape of too many values to count, expected at most 2^56"
        ),
        ("bytes beyond 64 bits", tensor("[2305843009213693952]", "[0,0]"), "too many values to count"),
        ("one offset", tensor("[1]", "[0]"), "tensor `a`: found data_offsets a list of 1, expected a list of two"),
        ("negative offsets", tensor("[1]", "[-4,0]"), "tensor `a`: found data_offsets `-4` and `0`, expected whole"),
        ("fractional offsets", tensor("[1]", "[0,4.5]"), "tensor `a`: found data_offsets `0` and `4.5`"),
        ("an exponent", tensor("[1]", "[0,4e0]"), "tensor `a`: found data_offsets `0` and `4e0`"),
        ("reversed offsets", tensor("[1]", "[4,0]"), "tensor `a`: found data_offsets 4 to 0, expected a start before"),
        (
            "offsets beyond the file", tensor("[2]", "[0,8]"),
            "tensor `a`: found data_offsets 0 to 8 in a file with 4 bytes of data, expected an end within the file"
        ),
        (
            "too few bytes", tensor("[2]", "[0,4]"),
            "tensor `a`: found 4 bytes, expected 8, for [2] values of type F32"
        ),
        ("too many bytes", tensor("[]", "[0,8]", data: 8), "tensor `a`: found 8 bytes, expected 4"),
        ("half a byte", tensor("[3]", "[0,2]", type: "F4", data: 2), "tensor `a`: found 2 bytes, expected 1"),
        ("bytes after the last", tensor("[1]", "[0,4]", data: 9), "found 5 bytes after the last tensor, expected"),
        (
            "a hole before the first", tensor("[1]", "[4,8]", data: 8),
            "tensor `a`: found a hole before it, at data offset 4, expected its start at 0"
        ),
        (
            "a hole between", two("[0,4]", "[8,12]"),
            "tensor `b`: found a hole before it, at data offset 8, expected its start at 4"
        ),
        (
            "an overlap", two("[0,4]", "[2,6]"),
            "tensor `b`: found bytes that another tensor has, too, at data offset 2, expected its start at 4"
        ),
        ("the same bytes twice", two("[0,4]", "[0,4]", data: 4), "tensor `b`: found bytes that another tensor has"),
        (
            "a name twice",
            safetensors(
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                    + "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", data: 4),
            "not valid JSON at byte 62: expected the key `a` once"
        ),
        (
            "an escaped name twice",
            safetensors("{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},\"\\u0061\":{}}", data: 4),
            "expected the key `a` once"
        ),
        (
            "a dtype twice",
            safetensors("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,4]}}", data: 4),
            "expected the key `dtype` once"
        ),
        (
            "a name to break lines", safetensors("{\"a\\nb\\u001b[31m\":3}"),
            "tensor `a\\u{a}b\\u{1b}[31m`: found `3`, expected an object"
        ),
        (
            "nothing that is needed", tensor("[1]", "[0,4]"),
            "tensor `model.embed_tokens.weight`: found nothing of that name, expected a tensor of shape [64, 32]"
        ),
    ]

    private static func tensor(
        _ shape: String, _ offsets: String, type: String = "F32", data: Int = 4
    ) -> [UInt8] {
        safetensors("{\"a\":{\"dtype\":\"\(type)\",\"shape\":\(shape),\"data_offsets\":\(offsets)}}", data: data)
    }

    private static func two(_ first: String, _ second: String, data: Int = 12) -> [UInt8] {
        safetensors(
            "{\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":\(second)},"
                + "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":\(first)}}", data: data)
    }

    @Test("headers", arguments: headers.indices)
    func header(index: Int) throws {
        let test = Self.headers[index]
        let folder = try TemporaryFolder(copying: "llama")
        try folder.write("model.safetensors", test.bytes)
        let message = try message(of: folder.path)
        #expect(message.hasPrefix(folder.file("model.safetensors") + ": "), "\(test.what)")
        #expect(message.contains(test.message), "\(test.what): \(message)")
    }

    // MARK: Tensors

    /// Changes of the llama's header that keep its bytes consistent, and of its values.
    static let tensors: [(what: String, change: @Sendable ([UInt8]) -> [UInt8], message: String)] = [
        (
            "another name", { replacing("layers.1.mlp.up_proj", by: "layers.1.mlp.UP_PROJ", in: $0) },
            "tensor `model.layers.1.mlp.up_proj.weight`: found nothing of that name, expected a tensor of shape [40, 32]"
        ),
        (
            "another shape", { replacing("\"shape\":[40,32]", by: "\"shape\":[32,40]", in: $0) },
            "tensor `model.layers.0.mlp.gate_proj.weight`: found shape [32, 40], expected [40, 32]"
        ),
        (
            "another rank", { replacing("\"shape\":[16,32]", by: "\"shape\":[512]  ", in: $0) },
            "tensor `model.layers.0.self_attn.k_proj.weight`: found shape [512], expected [16, 32], by the configuration"
        ),
        (
            "integers",
            { replacing("{\"dtype\":\"F32\",\"shape\":[64,32]", by: "{\"dtype\":\"I32\",\"shape\":[64,32]", in: $0) },
            "found type I32, expected one of F32, F16, BF16"
        ),
        (
            "a type of the future",
            { replacing("{\"dtype\":\"F32\",\"shape\":[64,32]", by: "{\"dtype\":\"F99\",\"shape\":[64,32]", in: $0) },
            "found type F99, expected one of F32, F16, BF16"
        ),
    ]

    private static func replacing(_ old: String, by new: String, in bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        let old = Array(old.utf8)
        precondition(old.count == new.utf8.count)
        let place = (0..<bytes.count - old.count).first { bytes[$0..<$0 + old.count].elementsEqual(old) }
        if let place { bytes.replaceSubrange(place..<place + old.count, with: new.utf8) }
        return bytes
    }

    @Test("tensors", arguments: tensors.indices)
    func tensor(index: Int) throws {
        let test = Self.tensors[index]
        let folder = try TemporaryFolder(copying: "llama")
        try folder.write("model.safetensors", test.change(try folder.read("model.safetensors")))
        let message = try message(of: folder.path)
        #expect(message.hasPrefix(folder.file("model.safetensors") + ": tensor "))
        #expect(message.contains(test.message), "\(test.what): \(message)")
    }

    @Test("values that are not finite", arguments: ["llama", "llama3", "mistral", "qwen2"])
    func notFinite(folder name: String) throws {
        let folder = try TemporaryFolder(copying: name)
        let file = name == "mistral" ? "model-00001-of-00004.safetensors" : "model.safetensors"
        var bytes = try folder.read(file)
        // The last value of the last tensor: all bits of its exponent.
        let infinity: [UInt8] = name == "mistral" ? [0, 0xfc] : name == "llama" ? [0, 0, 0x80, 0x7f] : [0x80, 0x7f]
        bytes.replaceSubrange((bytes.count - infinity.count)..., with: infinity)
        try folder.write(file, bytes)
        let message = try message(of: folder.path)
        #expect(message.contains(name == "mistral" ? "found -inf at index" : "found inf at index"), "\(message)")
        #expect(message.hasPrefix(folder.file(file) + ": tensor `model."))
        #expect(message.hasSuffix("expected finite values"))
    }

    @Test func tensorsTooMany() throws {
        let folder = try TemporaryFolder(copying: "llama")
        // With its head tied, the model has no lm_head of its own.
        try folder.edit("config.json") { (try? $0.settingMember("tie_word_embeddings", to: "true")) ?? $0 }
        var message = try message(of: folder.path)
        #expect(message.contains("tensor `lm_head.weight`: found values that differ from model.embed_tokens.weight"))
        // One layer less leaves nine tensors over.
        try folder.edit("config.json") { (try? $0.settingMember("num_hidden_layers", to: "1")) ?? $0 }
        message = try self.message(of: folder.path)
        #expect(message.contains("found 9 tensors that the configuration does not know: `model.layers.1.input"))
        #expect(message.hasSuffix(", ..., expected none"))
    }

    @Test("a tied head may be there if it is the embedding, and old buffers may") func harmlessExtras() throws {
        let folder = try TemporaryFolder(copying: "smollm")
        let bytes = try folder.read("model.safetensors")
        let length = Int(bytes[0]) + Int(bytes[1]) << 8
        let header = String(decoding: bytes[8..<8 + length], as: UTF8.self).trimmingCharacters(in: .whitespaces)
        let data = Array(bytes[(8 + length)...])
        let range = try #require(header.firstRange(of: /embed_tokens.weight":\{[^}]*\[(\d+),(\d+)\]\}/))
        let match = try #require(header[range].firstMatch(of: /\[(\d+),(\d+)\]\}/))
        let (start, end) = (try #require(Int(match.1)), try #require(Int(match.2)))
        let extra =
            ",\"lm_head.weight\":{\"dtype\":\"F32\",\"shape\":[64,36],\"data_offsets\":[\(data.count),"
            + "\(data.count + end - start)]},\"model.layers.0.self_attn.rotary_emb.inv_freq\":{\"dtype\":\"I64\","
            + "\"shape\":[0],\"data_offsets\":[\(data.count),\(data.count)]}}"
        let whole = safetensors(header.dropLast() + extra) + data
        try folder.write("model.safetensors", whole + data[start..<end])
        let weights = try ModelCheckpoint(folder.path).weights(pool: pool)
        let plain = try ModelCheckpoint(Checkpoints.path("smollm")).weights(pool: pool)
        #expect(weights.buffer.floats.elementsEqual(plain.buffer.floats))
        var other = data[start..<end]
        other[start] ^= 1
        try folder.write("model.safetensors", whole + other)
        #expect(try message(of: folder.path).contains("expected the same, because tie_word_embeddings is true"))
    }

    @Test func filesThatChangeOrAreMissing() throws {
        let folder = try TemporaryFolder(copying: "llama")
        let checkpoint = try ModelCheckpoint(folder.path)
        // Shorter than what was mapped: reading the mapping would kill the process.
        try #require(truncate(folder.file("model.safetensors"), 4096) == 0)
        var error = #expect(throws: CheckpointError.self) { _ = try checkpoint.weights(pool: pool) }
        #expect(error?.description.contains("found that it changed while it was read") == true)
        try FileManager.default.removeItem(atPath: folder.file("model.safetensors"))
        error = #expect(throws: CheckpointError.self) { _ = try ModelCheckpoint(folder.path) }
        #expect(error?.description.hasSuffix("model.safetensors: cannot open this: No such file or directory") == true)
        #expect(error?.isInputOutput == true)
        try FileManager.default.createDirectory(
            atPath: folder.file("model.safetensors"), withIntermediateDirectories: false)
        #expect(try message(of: folder.path).hasSuffix("found a folder, expected a regular file"))
        try FileManager.default.removeItem(atPath: folder.file("model.safetensors"))
        mkfifo(folder.file("model.safetensors"), 0o600)
        #expect(try message(of: folder.path).contains("found something other than a file"))
        try FileManager.default.removeItem(atPath: folder.file("config.json"))
        #expect(try message(of: folder.path).contains("config.json: cannot open this"))
        #expect(try message(of: folder.file("nowhere")).contains("cannot open this folder: No such file"))
        #expect(try message(of: #filePath).contains("cannot open this folder: Not a directory"))
    }

    // MARK: Shards

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
        let message = try message(of: folder.path)
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
            try message(of: folder.path).contains(
                "tensor `a`: found shard model-00001-of-00004.safetensors without it, expected it in that shard"))
        let moved = text.replacing(
            /"model.norm.weight": "model-0000(\d)-of/,
            with: { "\"model.norm.weight\": \"model-0000\($0.1 == "1" ? 2 : 1)-of" })
        try folder.write(name, Array(moved.utf8))
        #expect(try message(of: folder.path).contains("tensor `model.norm.weight`: found it here, expected it where"))
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
        let message = try message(of: folder.path)
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
        let message = try message(of: folder.path)
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
