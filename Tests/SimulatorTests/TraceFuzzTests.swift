import Foundation
import Simulator
import Testing

/// Whatever a file holds, every reader ends: with requests and nothing unaccounted for, or with one error of one line.
///
/// `ALCHEMIST_FUZZ_CASES` sets the number of cases for each reader and mutation.
@Suite struct TraceFuzzTests {
    static let cases = ProcessInfo.processInfo.environment["ALCHEMIST_FUZZ_CASES"].flatMap { Int($0) } ?? 60

    /// A sound file for each reader.
    static let sources: [(format: ImportFormat, text: String)] =
        TraceImportTests.tables.map { ($0.format, $0.text) } + [
            (.shareGPT, TraceImportTests.conversations),
            (
                .vllm,
                #"{"prompt": "What is 1+1?", "output_tokens": 9}"# + "\n" + #"{"prompt": "\u00e9", "output_tokens": 1}"#
            ),
        ]

    @Test(arguments: sources.indices, TraceMutationTests.Mutation.allCases)
    func importsEnd(index: Int, mutation: TraceMutationTests.Mutation) throws {
        let source = Self.sources[index]
        let scratch = try TraceScratch()
        var stream = RandomStream(seed: UInt64(index), name: "import fuzz/\(mutation)")
        for round in 0..<Self.cases {
            var bytes = Array(source.text.utf8)
            for _ in 0...stream.below(2) where !bytes.isEmpty {
                bytes = TraceMutationTests.mutated(bytes, by: mutation, &stream)
            }
            let path = try scratch.file(bytes, name: "s")
            var options = TraceImporter.Options()
            options.format = round % 2 == 0 ? source.format : nil
            options.maxLineBytes = 1 << 20
            options.outputTokens = round % 3 == 0 ? 5 : nil
            var tokenizer = ByteTokenizer()
            do throws(TraceError) {
                let report = try TraceImporter.run(
                    from: path, to: scratch.path(), options: options, tokenizer: &tokenizer)
                let problems = try TraceReader.problems(path: scratch.path())
                #expect(problems.isEmpty, "what was written is no trace: \(problems)")
                if ![.shareGPT, .vllm].contains(report.format) {
                    #expect(report.rows == report.requests + report.dropped.values.reduce(0, +))
                }
            } catch {
                #expect(!error.description.contains { $0.isNewline })
                #expect(error.description.utf8.count < path.utf8.count + 2000, "\(error)")
                #expect(!error.isInputOutput)
            }
        }
    }

    @Test("Packed files end too")
    func unpackingEnds() throws {
        let scratch = try TraceScratch()
        let plain = try scratch.file(written(TraceWriterTests.randomTrace(seed: 3, requests: 12).requests))
        let gzip = Process()
        gzip.executableURL = URL(fileURLWithPath: "/usr/bin/gzip")
        gzip.arguments = [plain]
        try gzip.run()
        gzip.waitUntilExit()
        let packed = [UInt8](try Data(contentsOf: URL(fileURLWithPath: plain + ".gz")))
        #expect(try TraceReader.read(path: plain + ".gz").requests.count == 12)
        var stream = RandomStream(seed: 5, name: "gzip fuzz")
        for _ in 0..<10 * Self.cases {
            var bytes = packed
            let mutation: TraceMutationTests.Mutation =
                [.bitFlips, .truncation, .insertedBytes, .repeatedBlock][stream.below(4)]
            bytes = TraceMutationTests.mutated(bytes, by: mutation, &stream)
            let path = try scratch.file(bytes)
            do throws(TraceError) {
                let trace = try TraceReader.read(path: path)
                #expect(trace.requests.count == 12, "only what does not count may differ")
            } catch {
                #expect(!error.isInputOutput && !error.description.contains { $0.isNewline })
            }
        }
    }

    @Test(
        "A line of a gigabyte is refused before it is read whole", arguments: ["", "{\"a\": \"", "[{\"a\": \"", "a,b"])
    func hugeLines(start: String) throws {
        let scratch = try TraceScratch()
        let path = try scratch.file(start.utf8)
        // The rest is a hole: no disk is used.
        let file = try #require(FileHandle(forWritingAtPath: path))
        try file.truncate(atOffset: 1 << 30)
        var tokenizer = ByteTokenizer()
        for format in [nil, ImportFormat.mooncake, .azure, .shareGPT, .vllm] {
            var options = TraceImporter.Options()
            options.format = format
            let error = #expect(throws: TraceError.self) {
                try TraceImporter.run(from: path, to: scratch.path("o"), options: options, tokenizer: &tokenizer)
            }
            #expect(error?.line == 1, "\(String(describing: error))")
        }
        let problems = try TraceReader.problems(path: path)
        #expect(problems.map(\.problem) == [.tooLong(maxBytes: TraceLimits().maxLineBytes)])
        #expect(!FileManager.default.fileExists(atPath: scratch.path("o")))
    }
}
