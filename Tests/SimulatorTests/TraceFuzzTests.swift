import Foundation
import Fuzzing
import Simulator
import Testing

/// Whatever a file holds, every reader ends: with requests and nothing unaccounted for, or with one error of one line.
@Suite struct TraceFuzzTests {
    static let cases = Fuzzing.cases(60, ofParts: TraceMutationTests.Mutation.allCases.count)

    /// A sound file for each reader.
    struct Source: Sendable, CustomTestStringConvertible {
        let format: ImportFormat
        let text: String
        var columns: ColumnMap?
        var testDescription: String { format.rawValue }
        var isText: Bool { format == .shareGPT || format == .vllm }
    }

    private static let columns: ColumnMap = {
        var map = ColumnMap(
            arrival: [.init("when", .milliseconds)], promptTokens: ["in"], outputTokens: ["out"], blocks: "h")
        map.blockTokens = 4
        return map
    }()

    static let sources: [Source] =
        TraceImportTests.tables.map { Source(format: $0.format, text: $0.text) } + [
            Source(format: .shareGPT, text: TraceImportTests.conversations),
            Source(
                format: .vllm,
                text: #"{"prompt": "What is 1+1?", "output_tokens": 9}"# + "\n"
                    + #"{"prompt": "\u00e9", "output_tokens": 1}"#),
            Source(
                format: .columns, text: "out,x,when,in\n4,\"a,b\",100,3\n2,?,200.5,1\n0,,300,5\n",
                columns: ColumnMap(
                    arrival: [.init("when", .milliseconds)], promptTokens: ["in"], outputTokens: ["out"])),
            Source(
                format: .columns,
                text: #"{"h": [7, 8], "in": "5", "out": 4, "when": 1, "other": {"a": [1, {"b": 2}]}}"# + "\n"
                    + #"{"when": 2.5, "h": [7], "in": 4, "out": 0}"# + "\n", columns: columns),
        ]

    @Test(.timeLimit(.minutes(Fuzzing.minutes)), arguments: sources.indices, TraceMutationTests.Mutation.allCases)
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
            options.format = round % 2 == 0 || source.columns != nil ? source.format : nil
            options.columns = source.columns
            options.maxLineBytes = 1 << 20
            options.outputTokens = source.format == .vllm && round % 3 == 0 ? 5 : nil
            let problem = Fuzzing.attempt("import-\(source.format)", bytes) {
                var tokenizer = ByteTokenizer()
                do throws(TraceError) {
                    let report = try TraceImporter.run(
                        from: path, to: scratch.path(), options: options, tokenizer: &tokenizer)
                    let problems = try TraceReader.problems(path: scratch.path())
                    Self.checkCounts(report, of: bytes)
                    return problems.isEmpty ? nil : "what was written is no trace: \(problems)"
                } catch {
                    #expect(!error.description.contains { $0.isNewline })
                    #expect(error.description.utf8.count < path.utf8.count + 2000, "\(error)")
                    return error.isInputOutput ? "\(error)" : nil
                }
            }
            #expect(problem == nil)
        }
    }

    /// Holds what an import says against a count of the source that knows nothing of the importer.
    private static func checkCounts(_ report: ImportReport, of bytes: [UInt8]) {
        let text = String(decoding: bytes, as: UTF8.self)
        let dropped = report.dropped.values.reduce(0, +)
        guard report.format == .shareGPT || report.format == .vllm else {
            let lines = bytes.split(separator: 0x0a).count { line in
                !line.allSatisfy { [0x20, 0x09, 0x0d].contains($0) }
            }
            let isTable = text.drop { $0.isWhitespace || $0 == "\u{feff}" }.first != "{"
            #expect(report.rows == lines - (isTable ? 1 : 0), "\(text)")
            #expect(report.rows == report.requests + dropped)
            return
        }
        #expect(report.rows == objects(in: bytes), "\(text)")
        if report.format == .vllm {
            #expect(report.rows == report.requests + dropped)
        } else if let list = try? JSONSerialization.jsonObject(with: Data(bytes)) as? [[String: Any]] {
            var answers = 0
            var unknown = 0
            for conversation in list {
                let messages = conversation["conversations"] as? [[String: Any]] ?? []
                let roles = messages.compactMap { $0["from"] as? String }
                if roles.allSatisfy({ ["human", "user", "system", "gpt", "assistant"].contains($0) }) {
                    answers += roles.count { ["gpt", "assistant"].contains($0) }
                } else {
                    unknown += 1
                }
            }
            func count(_ reasons: ImportReport.DropReason...) -> Int {
                reasons.reduce(0) { $0 + report.dropped[$1, default: 0] }
            }
            #expect(count(.unknownRole) == unknown, "\(text)")
            #expect(
                report.requests + count(.answerFirst, .emptyText, .behindEmptyText) == answers, "\(report) of \(text)")
        }
    }

    /// The objects of a file: those within its one array, or one after the other.
    private static func objects(in bytes: [UInt8]) -> Int {
        var (depth, count, isInString, isEscaped) = (0, 0, false, false)
        for byte in bytes {
            if isInString {
                if isEscaped {
                    isEscaped = false
                } else if byte == 0x5c {
                    isEscaped = true
                } else if byte == 0x22 {
                    isInString = false
                }
            } else if byte == 0x22 {
                isInString = true
            } else if byte == 0x7b {
                if depth == 0 { count += 1 }
                depth += 1
            } else if byte == 0x7d {
                depth -= 1
            }
        }
        return count
    }

    @Test("Packed files end too", .timeLimit(.minutes(Fuzzing.minutes)))
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
        for _ in 0..<Fuzzing.cases(600) {
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
        "A line of a gigabyte is refused before it is read whole", .timeLimit(.minutes(Fuzzing.minutes)),
        arguments: ["", "{\"a\": \"", "[{\"a\": \"", "a,b"])
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
