import Engine
import Foundation
import Testing

/// Damaged checkpoints, by seed: they load with finite weights, or they fail with an error that says where.
@Suite("Damaged checkpoints")
struct CheckpointMutationTests {
    /// SplitMix64, so that a failure can be had again.
    struct Generator: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }

    let pool = ThreadPool(width: 2)

    static func damage(_ bytes: [UInt8], within range: Range<Int>, _ generator: inout Generator) -> [UInt8] {
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
    private func loads(_ folder: String, _ what: String) -> Bool {
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

    @Test("headers of tensors") func headers() throws {
        let folder = try TemporaryFolder(copying: "qwen2")
        let bytes = try folder.read("model.safetensors")
        let header = 8 + Int(bytes[0]) + Int(bytes[1]) << 8
        var generator = Generator(state: 1)
        var loaded = 0
        for round in 0..<2000 {
            try folder.write("model.safetensors", Self.damage(bytes, within: 0..<header, &generator))
            if loads(folder.path, "round \(round)") { loaded += 1 }
        }
        #expect(loaded < 400, "the header says little")
    }

    @Test("configurations") func configurations() throws {
        let folder = try TemporaryFolder(copying: "llama3")
        let bytes = try folder.read("config.json")
        var generator = Generator(state: 2)
        var loaded = 0
        for round in 0..<2000 {
            try folder.write("config.json", Self.damage(bytes, within: 0..<bytes.count, &generator))
            if loads(folder.path, "round \(round)") { loaded += 1 }
        }
        // Half of the file is fields that nothing reads.
        #expect(loaded > 50 && loaded < 1500, "\(loaded)")
    }

    @Test("values") func values() throws {
        let folder = try TemporaryFolder(copying: "mistral")
        let name = "model-00002-of-00004.safetensors"
        let bytes = try folder.read(name)
        let header = 8 + Int(bytes[0]) + Int(bytes[1]) << 8
        var generator = Generator(state: 3)
        var loaded = 0
        for round in 0..<500 {
            var damaged = bytes
            for _ in 0..<8 {
                damaged[Int.random(in: header..<bytes.count, using: &generator)] ^=
                    1 << UInt8.random(in: 0..<8, using: &generator)
            }
            try folder.write(name, damaged)
            if loads(folder.path, "round \(round)") { loaded += 1 }
        }
        // Now and then an exponent becomes all ones.
        #expect(loaded > 300, "\(loaded)")
    }
}
