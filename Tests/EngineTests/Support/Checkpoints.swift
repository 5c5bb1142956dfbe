import Engine
import Foundation
import Testing

/// The checkpoints beside `make_checkpoints.py`, and the logits that PyTorch computes from them in float64.
enum Checkpoints {
    struct Case: Decodable, Sendable, CustomTestStringConvertible {
        let folder: String
        /// The model of an adapter.
        let base: String?
        let tokens: [Int32]
        let count: Int
        var testDescription: String { folder }
    }

    struct Unreadable: Error { let reason: String }

    static let models = ["llama", "llama3", "mistral", "qwen2", "smollm"]
    static let adapters = ["llama-adapter": "llama", "smollm-adapter": "smollm"]

    /// The path of a fixture's folder.
    static func path(_ folder: String) -> String {
        Bundle.module.bundlePath + "/Checkpoints/" + folder
    }

    /// What a folder should compute: its case, the logits [tokens, vocabulary], the line that makes the file anew.
    static func golden(_ folder: String) throws -> (description: Case, logits: [Float], command: String) {
        struct Header: Decodable { let cases: [Case] }
        var rest = try Data(contentsOf: URL(fileURLWithPath: path("logits.golden")))[...]
        func line() throws -> Data {
            guard let end = rest.firstIndex(of: UInt8(ascii: "\n")) else { throw Unreadable(reason: "cut short") }
            defer { rest = rest[(end + 1)...] }
            return Data(rest[..<end])
        }
        guard try line() == Data("ALCHEMIST-GOLDEN 1".utf8) else { throw Unreadable(reason: "not version 1") }
        let command = String(decoding: try line(), as: UTF8.self)
        for description in try JSONDecoder().decode(Header.self, from: try line()).cases {
            let part = rest.prefix(4 * description.count)
            rest = rest.dropFirst(4 * description.count)
            guard part.count == 4 * description.count else { throw Unreadable(reason: "cut short") }
            guard description.folder == folder else { continue }
            let logits = part.withUnsafeBytes { bytes in
                (0..<description.count).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
            }
            return (description, logits, command)
        }
        throw Unreadable(reason: "no case of \(folder)")
    }

    /// Logits of every position, [tokens, vocabulary].
    static func logits(_ tokens: [Int32], _ parameters: ModelParameters, pool: ThreadPool) -> [Float] {
        let config = parameters.weights.config
        let transformer = Transformer(config, pool: pool)
        let kv = KVBlock(config, capacity: tokens.count)
        return tokens.enumerated().flatMap { position, token in
            var row = [Float](repeating: 0, count: config.vocabulary)
            let slice = ServingSlice(
                tokens: [token], start: position, kv: [KVSpan(kv, count: position + 1)], wantsLogits: true)
            _ = row.withUnsafeMutableBufferPointer { transformer.forward([slice], parameters, logits: $0) }
            return row
        }
    }
}

/// A folder of its own for a test, removed afterwards.
struct TemporaryFolder: ~Copyable {
    let path: String

    init() throws { path = try Self.make() }

    /// A copy of a fixture.
    init(copying folder: String) throws {
        let path = try Self.make()
        for name in try FileManager.default.contentsOfDirectory(atPath: Checkpoints.path(folder)) {
            try FileManager.default.copyItem(
                atPath: Checkpoints.path(folder) + "/" + name, toPath: path + "/" + name)
        }
        self.path = path
    }

    private static func make() throws -> String {
        let path = FileManager.default.temporaryDirectory.path + "/engine-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return path
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { path + "/" + name }

    func write(_ name: String, _ bytes: [UInt8]) throws {
        try Data(bytes).write(to: URL(fileURLWithPath: file(name)))
    }

    func read(_ name: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(fileURLWithPath: file(name)))) }

    /// Changes a text file.
    func edit(_ name: String, _ change: (String) -> String) throws {
        try write(name, Array(change(String(decoding: try read(name), as: UTF8.self)).utf8))
    }

    /// Names of all files in it, hidden ones included.
    var names: [String] { (try? FileManager.default.contentsOfDirectory(atPath: path).sorted()) ?? [] }
}

/// The bytes of a safetensors file: a header's text and what follows it.
func safetensors(_ header: String, data: Int = 0) -> [UInt8] {
    let text = Array(header.utf8)
    return withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) } + text
        + [UInt8](repeating: 0, count: data)
}

extension String {
    /// The text of a JSON object with a member set to some JSON text, or removed by nil.
    func settingMember(_ name: String, to value: String?) throws -> String {
        guard var object = try JSONSerialization.jsonObject(with: Data(utf8)) as? [String: Any] else { return self }
        object[name] = nil
        if let value {
            object[name] = try JSONSerialization.jsonObject(with: Data(value.utf8), options: .fragmentsAllowed)
        }
        return String(
            decoding: try JSONSerialization.data(withJSONObject: object, options: [.sortedKeys]), as: UTF8.self)
    }
}

/// The one line about a folder that must not load.
func loadingMessage(of folder: String, sourceLocation: SourceLocation = #_sourceLocation) throws -> String {
    let error = #expect(throws: CheckpointError.self, sourceLocation: sourceLocation) {
        _ = try ModelCheckpoint(folder).weights(pool: ThreadPool(width: 1))
    }
    let text = try #require(error, sourceLocation: sourceLocation).description
    let isOneLine = !text.contains("\n") && text.unicodeScalars.allSatisfy { $0.value >= 0x20 }
    #expect(isOneLine, "\(text)", sourceLocation: sourceLocation)
    return text
}
