import Engine
import Foundation
import Fuzzing
import Testing

/// Damaged checkpoints, by seed: they load with finite weights, or they fail with an error that says where.
@Suite("Damaged checkpoints")
struct CheckpointMutationTests {
    let pool = ThreadPool(width: 2)

    static func damage(_ bytes: [UInt8], within range: Range<Int>, _ generator: inout FuzzingGenerator) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...3, using: &generator) {
            guard let place = (range.lowerBound..<min(range.upperBound, bytes.count)).randomElement(using: &generator)
            else { break }
            switch Int.random(in: 0..<6, using: &generator) {
            case 0: bytes[place] = UInt8.random(in: 0...255, using: &generator)
            case 1: bytes.remove(at: place)
            case 2: bytes.insert(Array("0123456789{}[]\",:.-e".utf8).randomElement(using: &generator) ?? 0, at: place)
            case 3 where place > 16: bytes.removeSubrange(place...)
            default: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            }
        }
        return bytes
    }

    /// Loads the folder; whether it did.
    private func loads(_ folder: String, _ bytes: [UInt8], _ what: String) -> Bool {
        var isLoaded = false
        let problem = Fuzzing.attempt("checkpoint", bytes) {
            isLoaded = load(folder, what)
            return nil
        }
        #expect(problem == nil)
        return isLoaded
    }

    private func load(_ folder: String, _ what: String) -> Bool {
        do throws(CheckpointError) {
            let weights = try ModelCheckpoint(folder).weights(pool: pool)
            let isFinite = weights.buffer.floats.allSatisfy { $0.isFinite }
            #expect(isFinite, "\(what)")
            return true
        } catch {
            #expect(error.description.hasPrefix(folder) && !error.description.contains("\n"), "\(what): \(error)")
            return false
        }
    }

    @Test("headers of tensors", .timeLimit(.minutes(Fuzzing.minutes))) func headers() throws {
        let folder = try TemporaryFolder(copying: "qwen2")
        let bytes = try folder.read("model.safetensors")
        let header = 8 + Int(bytes[0]) + Int(bytes[1]) << 8
        var generator = FuzzingGenerator(seed: 1)
        var loaded = 0
        let cases = Fuzzing.cases(2000)
        for round in 0..<cases {
            let damaged = Self.damage(bytes, within: 0..<header, &generator)
            try folder.write("model.safetensors", damaged)
            if loads(folder.path, damaged, "round \(round)") { loaded += 1 }
        }
        #expect(loaded < cases / 5, "the header says little")
    }

    @Test("configurations", .timeLimit(.minutes(Fuzzing.minutes))) func configurations() throws {
        let folder = try TemporaryFolder(copying: "llama3")
        let bytes = try folder.read("config.json")
        var generator = FuzzingGenerator(seed: 2)
        var loaded = 0
        let cases = Fuzzing.cases(2000)
        for round in 0..<cases {
            let damaged = Self.damage(bytes, within: 0..<bytes.count, &generator)
            try folder.write("config.json", damaged)
            if loads(folder.path, damaged, "round \(round)") { loaded += 1 }
        }
        // Half of the file is fields that nothing reads.
        #expect(loaded > cases / 40 && loaded < cases * 3 / 4, "\(loaded)")
    }

    @Test("values", .timeLimit(.minutes(Fuzzing.minutes))) func values() throws {
        let folder = try TemporaryFolder(copying: "mistral")
        let name = "model-00002-of-00004.safetensors"
        let bytes = try folder.read(name)
        let header = 8 + Int(bytes[0]) + Int(bytes[1]) << 8
        var generator = FuzzingGenerator(seed: 3)
        var loaded = 0
        let cases = Fuzzing.cases(500)
        for round in 0..<cases {
            var damaged = bytes
            for _ in 0..<8 {
                damaged[Int.random(in: header..<bytes.count, using: &generator)] ^=
                    1 << UInt8.random(in: 0..<8, using: &generator)
            }
            try folder.write(name, damaged)
            if loads(folder.path, damaged, "round \(round)") { loaded += 1 }
        }
        // Now and then an exponent becomes all ones.
        #expect(loaded > cases * 3 / 5, "\(loaded)")
    }
}
