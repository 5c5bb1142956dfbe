import Foundation
import Fuzzing
import Simulator
import Testing

/// Whatever a file holds, reading it ends, with a trace or with one error of one line.
@Suite struct TraceMutationTests {
    /// One way to spoil a file.
    enum Mutation: CaseIterable, Sendable {
        case truncation, bitFlips, deepNesting, hugeNumber, repeatedKey, insertedBytes, swappedLines, repeatedBlock
        case repeatedMember, zeroByte, invalidText
    }

    static func mutated(_ valid: [UInt8], by mutation: Mutation, _ stream: inout RandomStream) -> [UInt8] {
        var bytes = valid
        /// Puts `text` at the start of a number somewhere.
        func replaceNumber(with text: String) {
            let start = stream.below(bytes.count)
            let isDigit = { (byte: UInt8) in (0x30...0x39).contains(byte) }
            guard let first = bytes[start...].firstIndex(where: isDigit) else { return }
            let end = bytes[first...].firstIndex { !isDigit($0) } ?? bytes.count
            bytes.replaceSubrange(first..<end, with: text.utf8)
        }
        switch mutation {
        case .truncation: bytes.removeLast(1 + stream.below(bytes.count))
        case .bitFlips:
            for _ in 0...stream.below(4) { bytes[stream.below(bytes.count)] ^= 1 << UInt8(stream.below(8)) }
        case .deepNesting:
            let depth = 1 + stream.below(4000)
            let brackets = stream.below(2) == 0 ? ("[", "]") : ("{\"k\":", "}")
            let isClosed = stream.below(2) == 0
            replaceNumber(
                with: String(repeating: brackets.0, count: depth) + "1"
                    + (isClosed ? String(repeating: brackets.1, count: depth) : ""))
        case .hugeNumber:
            let sign = stream.below(2) == 0 ? "-" : ""
            let exponent = stream.below(2) == 0 ? "e\(stream.next())" : ""
            replaceNumber(with: sign + String(repeating: "9", count: 1 + stream.below(400)) + exponent)
        case .repeatedKey:
            guard let brace = bytes[stream.below(bytes.count)...].firstIndex(of: 0x7b) else { break }
            bytes.insert(contentsOf: "\"id\": 1, \"turn\": 0, ".utf8, at: brace + 1)
        case .repeatedMember:
            // A field of the file itself once more: of an object, or of a table's first line.
            let isTable = bytes.first != 0x7b && bytes.first != 0x5b
            let region = isTable ? bytes[..<(bytes.firstIndex(of: 0x0a) ?? bytes.count)] : bytes[...]
            guard !region.isEmpty, let comma = region[stream.below(region.count)...].firstIndex(of: 0x2c) else { break }
            let ends: [UInt8] = [0x2c, 0x7d, 0x5d, 0x0d, 0x0a]
            let end = bytes[(comma + 1)...].firstIndex { ends.contains($0) } ?? bytes.count
            bytes.insert(contentsOf: bytes[comma..<end], at: comma)
        case .zeroByte: bytes.insert(0, at: stream.below(bytes.count + 1))
        case .invalidText:
            let sequences: [[UInt8]] = [
                [0x80], [0xc0, 0xaf], [0xe2, 0x82], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80],
            ]
            bytes.insert(contentsOf: sequences[stream.below(sequences.count)], at: stream.below(bytes.count + 1))
        case .insertedBytes:
            let noise = (0...stream.below(20)).map { _ in UInt8(truncatingIfNeeded: stream.next()) }
            bytes.insert(contentsOf: noise, at: stream.below(bytes.count))
        case .swappedLines:
            var lines = bytes.split(separator: 0x0a)
            lines.swapAt(stream.below(lines.count), stream.below(lines.count))
            bytes = Array(lines.joined(separator: [0x0a]))
        case .repeatedBlock:
            let start = stream.below(bytes.count)
            let end = min(bytes.count, start + stream.below(200))
            bytes.insert(contentsOf: bytes[start..<end], at: stream.below(bytes.count))
        }
        return bytes
    }

    /// Reads the bytes in both ways, which must agree.
    private static func check(_ bytes: [UInt8], writtenTo path: String) throws {
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        let limits = TraceLimits(maxContext: 100_000)
        let problems = try TraceReader.problems(path: path, limits: limits)
        switch Result(catching: { () throws(TraceError) in try TraceReader.read(path: path, limits: limits) }) {
        case .success(let trace): #expect(!trace.requests.isEmpty && problems.isEmpty)
        case .failure(let error):
            #expect(problems.first == error)
            #expect(!error.isInputOutput)
            #expect(!error.description.contains { $0.isNewline })
            #expect(error.description.utf8.count < path.utf8.count + 1200)
        }
    }

    @Test(.timeLimit(.minutes(Fuzzing.minutes)), arguments: Mutation.allCases)
    func endsWithATraceOrAnError(mutation: Mutation) throws {
        let scratch = try TraceScratch()
        var stream = RandomStream(seed: 5, name: "mutations")
        let valid = TraceWriterTests.randomTrace(seed: 3, requests: 12).requests.map(TraceWriter.line)
        let bytes = Array((valid.joined(separator: "\n") + "\n").utf8)
        for _ in 0..<Fuzzing.cases(500, ofParts: Mutation.allCases.count) {
            let spoilt = Self.mutated(bytes, by: mutation, &stream)
            let problem = Fuzzing.attempt("trace", spoilt) {
                do {
                    try Self.check(spoilt, writtenTo: scratch.path())
                    return nil
                } catch {
                    return "\(error)"
                }
            }
            #expect(problem == nil)
        }
    }

    @Test func readsLinesOfSeveralMegabytes() throws {
        let scratch = try TraceScratch()
        let ids = String(repeating: "123456, ", count: 600_000) + "7"
        let line = #"{"id": 1, "arrival": 0, "prompt": [\#(ids)], "output_tokens": 1}"#
        let trace = try TraceReader.read(path: try scratch.file(line.utf8))
        #expect(trace.requests.first?.promptTokens == 600_001)

        for text in [
            String(line.dropLast(9)), line.replacingOccurrences(of: "7]", with: "7"),
            String(repeating: "[", count: 5_000_000), "\"" + String(repeating: "\\", count: 5_000_000),
            "{\"" + String(repeating: "k", count: 5_000_000) + "\": 1}\n",
        ] {
            try Self.check(Array(text.utf8), writtenTo: scratch.path())
        }
    }
}
