import Engine
import Foundation
import Testing

/// A file that `make_goldens.py` or `make_objective_goldens.py` writes.
struct GoldenFile {
    struct Sequence: Decodable {
        let tokens: [Int32]
        let targets: [Int32]
        let weights: [Float]
        /// Tokens of the prompt, where it is told from the response.
        let prompt: Int?
    }

    struct Objective: Decodable {
        let kind: String
        let beta: Double?
        /// Sequences chosen and rejected.
        let pairs: [[Int]]?
        let referenceSeed: UInt64?
    }

    struct Adapted: Decodable {
        let rank: Int
        let alpha: Double
        let targets: [Projection]
    }

    struct Case: Decodable {
        let title: String
        let seed: UInt64
        let config: ModelConfig
        let lora: Adapted?
        let sequences: [Sequence]
        let objective: Objective?
        let loss: Double
        let tensors: [Tensor]

        var tuning: TuningMode {
            lora.map { .lora(LoRAConfig(rank: $0.rank, alpha: $0.alpha, targets: Set($0.targets))) } ?? .full
        }
    }

    struct Tensor: Decodable {
        let name: String
        let count: Int

        init(from decoder: any Decoder) throws {
            var container = try decoder.unkeyedContainer()
            name = try container.decode(String.self)
            count = try container.decode(Int.self)
        }
    }

    struct Unreadable: Error { let reason: String }

    /// The line that makes the file anew.
    let command: String
    let cases: [(description: Case, values: [String: [Float]])]

    init(_ name: String) throws {
        guard let url = Bundle.module.url(forResource: name, withExtension: "golden", subdirectory: "Goldens")
        else { throw Unreadable(reason: "Goldens/\(name).golden is missing") }
        var rest = try Data(contentsOf: url)[...]
        func line() throws -> Data {
            guard let end = rest.firstIndex(of: UInt8(ascii: "\n")) else { throw Unreadable(reason: "cut short") }
            defer { rest = rest[(end + 1)...] }
            return Data(rest[..<end])
        }
        guard try line() == Data("ALCHEMIST-GOLDEN 1".utf8) else { throw Unreadable(reason: "not version 1") }
        command = String(decoding: try line(), as: UTF8.self)
        let described = try JSONDecoder().decode([Case].self, from: try line())
        cases = try described.map { description in
            var values: [String: [Float]] = [:]
            for tensor in description.tensors {
                guard rest.count >= 4 * tensor.count else { throw Unreadable(reason: "cut short") }
                values[tensor.name] = rest.prefix(4 * tensor.count).withUnsafeBytes { bytes in
                    (0..<tensor.count).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
                }
                rest = rest.dropFirst(4 * tensor.count)
            }
            return (description, values)
        }
    }
}

@Suite("Against PyTorch in float64")
struct GoldenTests {
    let file: GoldenFile
    let pool = ThreadPool(width: 2)

    init() throws { file = try GoldenFile("transformer") }

    @Test("loss, logits and every gradient", arguments: 0..<6)
    func golden(index: Int) throws {
        let (description, values) = file.cases[index]
        let again = "\(description.title); if the model changed on purpose, run: \(file.command)"
        let transformer = Transformer(description.config, pool: pool)
        let parameters = TestModels.parameters(description.config, description.tuning, seed: description.seed)
        let gradients = GradientBuffer(description.config, description.tuning)
        let pass = TrainingPass(
            TrainingWorkspace(transformer), parameters: parameters,
            sequences: description.sequences.map {
                TrainingSequence(tokens: $0.tokens, targets: $0.targets, weights: $0.weights)
            }, gradients: gradients)
        let loss = runPass(pass, unit: 512)
        #expect(abs(loss - description.loss) <= 1e-6 * abs(description.loss), "loss \(loss); \(again)")

        let whole = gradients.buffer.floats.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
        #expect(gradients.table.parameters.count == description.tensors.count - 1)
        for parameter in gradients.table.parameters {
            let expected = try #require(values[parameter.name], "\(parameter.name) is not in the file")
            expectClose(
                gradients.buffer.floats[parameter.range], expected, within: 1e-5, floor: 1e-6 * whole,
                "\(parameter.name): \(again)")
        }
        let logits = try #require(values["logits"])
        let tokens = description.sequences[0].tokens
        let v = description.config.vocabulary
        let kv = KVBlock(description.config, capacity: tokens.count)
        for (position, token) in tokens.enumerated() {
            var row = [Float](repeating: 0, count: v)
            let slice = ServingSlice(
                tokens: [token], start: position, kv: [KVSpan(kv, count: position + 1)], wantsLogits: true)
            let next = row.withUnsafeMutableBufferPointer { transformer.forward([slice], parameters, logits: $0) }
            let wanted = logits[position * v..<(position + 1) * v]
            expectClose(row, wanted, within: 1e-5, "logits at \(position): \(again)")
            #expect(next[0].map(Int.init) == wanted.indices.max { wanted[$0] < wanted[$1] }.map { $0 - position * v })
        }

        let prompt = ServingSlice(
            tokens: tokens, start: 0,
            kv: [KVSpan(KVBlock(description.config, capacity: tokens.count), count: tokens.count)], wantsLogits: true)
        var last = [Float](repeating: 0, count: v)
        _ = last.withUnsafeMutableBufferPointer { transformer.forward([prompt], parameters, logits: $0) }
        expectClose(last, logits.suffix(v), within: 1e-5, "logits of the whole prompt: \(again)")
    }
}
