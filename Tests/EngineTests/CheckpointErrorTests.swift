import Engine
import Foundation
import Testing

/// What is wrong with a checkpoint is said in one line: file, field or tensor, what was found, what would be right.
@Suite("Mistakes in safetensors")
struct CheckpointErrorTests {
    let pool = ThreadPool(width: 2)

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
        let message = try loadingMessage(of: folder.path)
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
        let message = try loadingMessage(of: folder.path)
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
        let message = try loadingMessage(of: folder.path)
        #expect(message.contains(name == "mistral" ? "found -inf at index" : "found inf at index"), "\(message)")
        #expect(message.hasPrefix(folder.file(file) + ": tensor `model."))
        #expect(message.hasSuffix("expected finite values"))
    }

    @Test func tensorsTooMany() throws {
        let folder = try TemporaryFolder(copying: "llama")
        // With its head tied, the model has no lm_head of its own.
        try folder.edit("config.json") { (try? $0.settingMember("tie_word_embeddings", to: "true")) ?? $0 }
        var message = try loadingMessage(of: folder.path)
        #expect(message.contains("tensor `lm_head.weight`: found values that differ from model.embed_tokens.weight"))
        // One layer less leaves nine tensors over.
        try folder.edit("config.json") { (try? $0.settingMember("num_hidden_layers", to: "1")) ?? $0 }
        message = try loadingMessage(of: folder.path)
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
        #expect(try loadingMessage(of: folder.path).contains("expected the same, because tie_word_embeddings is true"))
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
        #expect(try loadingMessage(of: folder.path).hasSuffix("found a folder, expected a regular file"))
        try FileManager.default.removeItem(atPath: folder.file("model.safetensors"))
        mkfifo(folder.file("model.safetensors"), 0o600)
        #expect(try loadingMessage(of: folder.path).contains("found something other than a file"))
        try FileManager.default.removeItem(atPath: folder.file("config.json"))
        #expect(try loadingMessage(of: folder.path).contains("config.json: cannot open this"))
        #expect(try loadingMessage(of: folder.file("nowhere")).contains("cannot open this folder: No such file"))
        #expect(try loadingMessage(of: #filePath).contains("cannot open this folder: Not a directory"))
    }
}
