import Foundation
import Simulator
import Testing

/// Imports text as a file of this name.
private func imported(
    _ text: String, name: String = "source", change: (inout TraceImporter.Options) -> Void = { _ in }
) throws -> (trace: Trace, report: ImportReport) {
    let scratch = try TraceScratch()
    var options = TraceImporter.Options()
    change(&options)
    var bytes = ByteTokenizer()
    let source = try scratch.file(text.utf8, name: name)
    let report = try TraceImporter.run(from: source, to: scratch.path("out.jsonl"), options: options, tokenizer: &bytes)
    return (try TraceReader.read(path: scratch.path("out.jsonl")), report)
}

@Suite struct TraceImportTests {
    /// A small file of each format that is a table, and what it holds.
    struct Table: Sendable, CustomTestStringConvertible {
        let format: ImportFormat
        let text: String
        /// Arrival in milliseconds, prompt and output tokens.
        let rows: [[Int]]
        var testDescription: String { format.rawValue }
    }

    static let tables = [
        Table(
            format: .azure,
            text: """
                TIMESTAMP,ContextTokens,GeneratedTokens\r
                2023-11-16 23:59:59.6805900,374,44\r
                2023-11-17 00:00:00.6815900,396,109\r
                """, rows: [[0, 374, 44], [1001, 396, 109]]),
        Table(
            format: .azure,
            text: """
                TIMESTAMP,ContextTokens,GeneratedTokens
                2024-02-29 23:59:59.5+00:00,1,2
                2024-03-01 01:00:00+01:00,3,4
                """, rows: [[0, 1, 2], [500, 3, 4]]),
        Table(
            format: .mooncake,
            text: """
                {"timestamp": 27482, "input_length": 1025, "output_length": 52, "hash_ids": [46, 47, 48]}
                {"hash_ids":[46],"timestamp":30535,"output_length":26,"input_length":512}
                """, rows: [[0, 1025, 52], [3053, 512, 26]]),
        Table(
            format: .bailian,
            text: """
                {"chat_id": 1, "parent_chat_id": -1, "timestamp": 61.25, "input_length": 17, "output_length": 2, \
                "type": "text", "turn": 1, "hash_ids": [5, 6]}
                {"chat_id": 2, "parent_chat_id": 1, "timestamp": 62.5, "input_length": 16, "output_length": 3, \
                "type": "text", "turn": 2, "hash_ids": [5]}
                """, rows: [[0, 17, 2], [1250, 16, 3]]),
        Table(
            format: .vidur,
            text: "arrived_at,num_prefill_tokens,num_decode_tokens\n0.5,10,20\n\n2,30,40.0\n",
            rows: [[0, 10, 20], [1500, 30, 40]]),
        Table(
            format: .burstGPT,
            text: """
                Session ID,Timestamp,Model,"Request tokens",Total tokens,Response tokens,Log Type
                ,5,ChatGPT,472,490,18,Conversation log
                a,45,"GPT-4, new",1087,1317,230,API log
                a,118,GPT-4,417,417,0,API log
                a,120,GPT-4,0,9,9,API log
                """, rows: [[0, 472, 18], [40000, 1087, 230]]),
        Table(
            format: .llmServingSim,
            text: #"{"request_id": "b-0", "output_toks": 5, "input_toks": 7, "arrival_time": 1777142838.25}"# + "\n"
                + #"{"request_id": "b-1", "output_toks": 6, "input_toks": 8, "arrival_time": 1777142839.5}"#,
            rows: [[0, 7, 5], [1250, 8, 6]]),
        Table(
            format: .llmServingSim, text: "input_toks,output_toks,arrival_time_ns\n7,5,100\n8,6,2000100\n",
            rows: [[0, 7, 5], [2, 8, 6]]),
    ]

    @Test("Tables are read by the names of their columns", arguments: tables)
    func readsATable(table: Table) throws {
        for format in [nil, table.format] {
            let (trace, report) = try imported(table.text) { $0.format = format }
            #expect(report.format == table.format && report.hasArrivals)
            #expect(
                trace.requests.map { [Int($0.arrival.nanoseconds / 1_000_000), $0.promptTokens, $0.outputTokens] }
                    == table.rows)
            #expect(report.rows == report.requests + report.dropped.values.reduce(0, +))
        }
    }

    @Test func countsWhatItDrops() throws {
        let burst = try imported(try #require(Self.tables.first { $0.format == .burstGPT }).text)
        #expect(burst.report.dropped == [.emptyOutput: 1, .emptyPrompt: 1])
        let azure = try imported(Self.tables[0].text) { $0.maxContext = 450 }
        #expect(azure.report.dropped == [.tooLong: 1] && azure.trace.requests.count == 1)
    }

    @Test func blocksBecomeSharedPrefixes() throws {
        let (trace, _) = try imported(Self.tables[2].text)
        #expect(trace.requests[0].prefix == PromptPrefix(blockTokens: 512, blocks: [46, 47, 48]))
        let source = TokenSource(trace: trace, vocabulary: 1000, seed: 1)
        #expect(source.prompt(of: 0)[..<512] == source.prompt(of: 1)[...])
    }

    @Test func arrivalsAreMadeUpWhereThereAreNone() throws {
        let rows = (1...4000).map { "\($0),7" }.joined(separator: "\n")
        let text = "num_prefill_tokens,num_decode_tokens\n" + rows
        let (trace, report) = try imported(text) { $0.rate = 8 }
        #expect(!report.hasArrivals)
        let summary = TraceSummary(trace)
        #expect(abs(try #require(summary.rate) / 8 - 1) < 0.05)
        #expect(abs(try #require(summary.gapVariation) - 1) < 0.06)
        #expect(try imported(text) { $0.rate = 8 }.trace.requests == trace.requests)
        let other = try imported(text) {
            $0.rate = 8
            $0.seed = 1
        }
        #expect(other.trace.requests != trace.requests)
        #expect(try imported(text) { $0.limit = 10 }.report.isCut)
        #expect(try imported(text) { $0.limit = 10 }.trace.requests.count == 10)
    }

    @Test func readsColumnsThatTheUserNames() throws {
        var map = ColumnMap(arrival: [.init("when", .milliseconds)], promptTokens: ["in"], outputTokens: ["out"])
        let csv = try imported("out,x,when,in\n4,?,100,3\n2,?,200.5,1\n") { ($0.format, $0.columns) = (.columns, map) }
        #expect(csv.trace.requests.map(\.promptTokens) == [3, 1])
        #expect(csv.trace.requests[1].arrival == SimTime(nanoseconds: 100_500_000))
        map.blocks = "h"
        map.blockTokens = 2
        let json = try imported(#"{"h":[7,8],"in":"3","out":4,"when":1}"#) { ($0.format, $0.columns) = (.columns, map) }
        #expect(json.trace.requests[0].prefix == PromptPrefix(blockTokens: 2, blocks: [7, 8]))
    }

    // MARK: Texts

    static let conversations = """
        [
          {"id": "x", "conversations": [
            {"from": "gpt", "value": "Hello."}, {"from": "human", "value": "Hé\\u00e9"}, {"from": "gpt", "value": "ab"},
            {"from": "human", "value": "c"}, {"from": "gpt", "value": "def"}]},
          {"id": "y", "conversations": [{"from": "human", "value": "alone"}]},
          {"conversations": [{"from": "martian", "value": "z"}], "id": "z"},
          {"id": "w", "conversations": [{"value": "be kind.", "from": "system"}, {"from": "user", "value": "q"},
            {"from": "assistant", "value": "rr"}, {"from": "user", "value": "s"}, {"from": "assistant", "value": ""}]}
        ]
        """

    @Test func conversationsAccumulate() throws {
        let (trace, report) = try imported(Self.conversations) { $0.rate = 5 }
        #expect(report.format == .shareGPT && report.rows == 4)
        #expect(report.dropped == [.answerFirst: 1, .unanswered: 1, .noPair: 1, .unknownRole: 1, .emptyText: 1])
        let turns = trace.requests.filter { $0.conversation == "c0" }
        #expect(turns.map(\.prompt) == [Array("Héé".utf8).map(Int32.init), Array("Hééabc".utf8).map(Int32.init)])
        #expect(turns.map(\.output) == [[97, 98], [100, 101, 102]])
        #expect(turns[1].thinkTime > .zero)
        let last = try #require(trace.requests.first { $0.conversation == "c1" })
        #expect(last.prompt == Array("be kind.q".utf8).map(Int32.init))

        let first = try imported(Self.conversations) { ($0.turns, $0.content) = (.first, .counts) }
        #expect(first.report.dropped[.laterTurn] == 2)
        #expect(first.trace.requests.map(\.promptTokens) == [5, 9])
        #expect(first.trace.requests.allSatisfy { $0.prompt == nil && $0.conversation == nil })
        let short = try imported(Self.conversations) { $0.maxContext = 8 }
        #expect(short.trace.requests.map(\.promptTokens) == [5])
        #expect(short.report.dropped[.tooLong] == 2)
    }

    /// Each turn of a conversation that was taken is a request or counted by reason.
    @Test func everyTurnIsAccountedFor() throws {
        func conversation(_ texts: [String]) -> String {
            let messages = texts.enumerated().map {
                #"{"from": "\#($0 % 2 == 0 ? "human" : "gpt")", "value": "\#($1)"}"#
            }
            return #"{"conversations": [\#(messages.joined(separator: ","))]}"#
        }
        let broken = try imported(conversation(["a", "b", "c", "", "d", "e", "f", "g", "h"]))
        #expect(broken.trace.requests.count == 1)
        #expect(broken.report.dropped == [.emptyText: 1, .behindEmptyText: 2, .unanswered: 1])

        let many = (0..<400).map { _ in conversation(["a", "b", "c", "d", "e", "f"]) }.joined(separator: "\n")
        for limit in [1, 2, 50, 700] {
            let (trace, report) = try imported(many) { $0.limit = limit }
            #expect(trace.requests.count == limit && report.isCut)
            #expect(report.requests + report.dropped.values.reduce(0, +) == 3 * report.rows, "\(report)")
            #expect(Set(report.dropped.keys).isSubset(of: [.beyondLimit]))
            #expect(report.rows <= limit)
        }
        let all = try imported(many)
        #expect(all.report.rows == 400 && all.report.requests == 1200 && !all.report.isCut)
        #expect(all.report.dropped.isEmpty && all.report.idleInstants > 0)
    }

    @Test("One object a line reads like an array of them")
    func conversationsInLines() throws {
        let lines = Self.conversations.split(separator: "\n").dropFirst().dropLast().joined(separator: " ")
            .replacingOccurrences(of: "]},", with: "]}\n").replacingOccurrences(of: "\"z\"},", with: "\"z\"}\n")
        #expect(try imported(lines).trace.requests == imported(Self.conversations).trace.requests)
    }

    @Test func readsPrompts() throws {
        let text = #"{"prompt": "What is 1+1?", "output_tokens": 9}"# + "\n" + #"{"prompt": "\"", "output_tokens": 0}"#
        let (trace, report) = try imported(text)
        #expect(report.format == .vllm && report.dropped == [.emptyOutput: 1])
        #expect(trace.requests.map { $0.prompt?.count } == [12] && trace.requests[0].outputTokens == 9)
        let given = try imported(#"{"prompt": "abc"}"#) { $0.outputTokens = 4 }
        #expect(given.trace.requests[0].outputTokens == 4)
    }

    @Test func readsPackedFiles() throws {
        let scratch = try TraceScratch()
        let plain = try scratch.file(Self.tables[2].text.utf8, name: "m.jsonl")
        let packed = scratch.path("m.jsonl.gz")
        let gzip = Process()
        gzip.executableURL = URL(fileURLWithPath: "/usr/bin/gzip")
        gzip.arguments = ["-k", plain]
        try gzip.run()
        gzip.waitUntilExit()
        var bytes = ByteTokenizer()
        func read(_ path: String) throws -> [Request] {
            _ = try TraceImporter.run(from: path, to: scratch.path("o.jsonl"), options: .init(), tokenizer: &bytes)
            return try TraceReader.read(path: scratch.path("o.jsonl")).requests
        }
        let whole = try Data(contentsOf: URL(fileURLWithPath: packed))
        #expect(try read(packed) == read(plain))
        // Members one after the other are one file.
        let half = try scratch.file(Self.tables[2].text.utf8.prefix(60), name: "half")
        let rest = try scratch.file(Self.tables[2].text.utf8.dropFirst(60), name: "rest")
        var members = Data()
        for part in [half, rest] {
            let gzip = Process()
            gzip.executableURL = URL(fileURLWithPath: "/usr/bin/gzip")
            gzip.arguments = [part]
            try gzip.run()
            gzip.waitUntilExit()
            members += try Data(contentsOf: URL(fileURLWithPath: part + ".gz"))
        }
        #expect(try read(scratch.file(members, name: "members.gz")) == read(plain))
        for damaged in [whole.dropLast(4), whole.prefix(20), whole + Data([1, 2, 3])] {
            let path = try scratch.file(damaged, name: "damaged.gz")
            let error = #expect(throws: TraceError.self) { try read(path) }
            guard case .compression = error?.problem else {
                Issue.record("\(String(describing: error))")
                continue
            }
        }
    }

    // MARK: Mistakes

    @Test(arguments: [
        (
            "TIMESTAMP,ContextTokens\n2023-11-16 18:15:46,3\n", ImportFormat.azure,
            ":1: field `GeneratedTokens`: missing"
        ),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-31 18:15:46,3,4\n", .azure, ":2: field `TIMESTAMP`: found"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,-3,4\n", .azure, ":2: field `ContextTokens`"),
        (
            "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,3\n", .azure,
            ":2: field `row`: found 2 fields, expected 3"
        ),
        ("TIMESTAMP,ContextTokens,ContextTokens,GeneratedTokens\n", .azure, ":1: field `ContextTokens`: found twice"),
        ("num_prefill_tokens,num_decode_tokens\n3,\"4\n", .vidur, ":2: column 1: found a quote"),
        (
            "arrived_at,num_prefill_tokens,num_decode_tokens\n3,1,1\n2,1,1\n", .vidur,
            ":3: field `arrived_at`: found a time"
        ),
        ("arrived_at,num_prefill_tokens,num_decode_tokens\n3,1,0\n", .vidur, ": found no request that can be kept"),
        (
            #"{"timestamp": 0, "input_length": 1025, "output_length": 5, "hash_ids": [1, 2]}"#, .mooncake,
            ":1: field `hash_ids`: found `2` blocks, expected 3 of 512 tokens, which hold the prompt's 1025"
        ),
        (
            #"{"timestamp": 0, "input_length": 5, "output_length": 5, "hash_ids": [1], "timestamp": 1}"#, .mooncake,
            ":1: field `timestamp`: found twice"
        ),
        (
            #"{"timestamp": 0, "input_length": 5, "output_length": 5, "hash_ids": [1.5]}"#, .mooncake,
            ":1: field `hash_ids[0]`: found `1.5`"
        ),
        (#"{"prompt": "a"}"#, .vllm, ":1: field `output_tokens`: missing"),
        ("[{\"id\": 1,\n\"conversations\": 3}]", .shareGPT, ":1: field `conversations`: found `3`"),
        ("[\n{\"conversations\": [{\"from\": \"human\"}]}]", .shareGPT, ":2: field `conversations[0].value`: missing"),
        ("[{\"conversations\": []}\n{}]", .shareGPT, ":2: column 1: found `{`, expected a comma or `]`"),
        ("[{\"conversations\": []},\n {\"a\": tru}]", .shareGPT, ":2: column 8: found `tru`, expected a value"),
        ("[{\"conversations\": []}", .shareGPT, ":1: truncated"), ("[1]", .shareGPT, ":1: column 2: found `1`"),
        ("[]", .shareGPT, ": empty"), ("", .vidur, ": empty"),
    ])
    func saysWhatIsWrong(text: String, format: ImportFormat, message: String) throws {
        let scratch = try TraceScratch()
        let source = try scratch.file(text.utf8, name: "s")
        let kept = try scratch.file("before".utf8, name: "o.jsonl")
        var options = TraceImporter.Options()
        options.format = format
        var bytes = ByteTokenizer()
        let error = #expect(throws: TraceError.self) {
            try TraceImporter.run(from: source, to: kept, options: options, tokenizer: &bytes)
        }
        #expect(error?.description.hasPrefix(source + message) == true, "\(String(describing: error))")
        #expect(try String(contentsOfFile: kept, encoding: .utf8) == "before")
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.directory).sorted() == ["o.jsonl", "s"])
    }

    @Test func namesWhatIsNoFile() throws {
        let scratch = try TraceScratch()
        let pipe = scratch.path("pipe")
        #expect(mkfifo(pipe, 0o600) == 0)
        var bytes = ByteTokenizer()
        for (source, problem) in [(scratch.directory, TraceError.Problem.isDirectory), (pipe, .notSeekable)] {
            let error = #expect(throws: TraceError.self) {
                try TraceImporter.run(from: source, to: scratch.path(), options: .init(), tokenizer: &bytes)
            }
            #expect(error?.problem == problem)
            #expect(error?.isInputOutput == (problem == .isDirectory))
        }
        // With its format said, a pipe is read like a file.
        let text = Self.tables[2].text
        let writer = Thread {
            let handle = FileHandle(forWritingAtPath: pipe)
            try? handle?.write(contentsOf: Data(text.utf8))
            try? handle?.close()
        }
        writer.start()
        var options = TraceImporter.Options()
        options.format = .mooncake
        let report = try TraceImporter.run(from: pipe, to: scratch.path(), options: options, tokenizer: &bytes)
        #expect(report.requests == 2)
    }

    @Test func doesNotGuess() throws {
        for text in ["a,b\n1,2\n", #"{"id": 1, "arrival": 0, "prompt_tokens": 1, "output_tokens": 1}"#] {
            let error = #expect(throws: TraceError.self) { try imported(text) }
            #expect(error?.problem == .unknownFormat)
        }
    }
}

/// The files that stand beside the repository, counted by Python too.
@Suite struct SharedTraceTests {
    static let repository = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    static let folder = repository.deletingLastPathComponent().appendingPathComponent("shared/traces")
    static let files = [
        "azure_AzureLLMInferenceTrace_conv_2023.csv", "etalon_sharegpt_8k_filtered_stats_llama2_tokenizer.csv",
        "measured_vllm_RTXPRO6000_Llama-3.1-8B_requests.jsonl", "mooncake_synthetic_trace.jsonl",
    ]

    /// A second of a server each, no requests.
    static let timeSeries = "measured_vllm_RTXPRO6000_Llama-3.1-8B_timeseries.csv"

    static func isPresent(_ file: String) -> Bool {
        FileManager.default.fileExists(atPath: folder.appendingPathComponent(file).path)
            && FileManager.default.isExecutableFile(atPath: "/usr/bin/python3")
    }

    @Test("What has no requests is refused", .enabled(if: isPresent(timeSeries)))
    func refusesATimeSeries() throws {
        let scratch = try TraceScratch()
        var bytes = ByteTokenizer()
        let error = #expect(throws: TraceError.self) {
            try TraceImporter.run(
                from: Self.folder.appendingPathComponent(Self.timeSeries).path, to: scratch.path(), options: .init(),
                tokenizer: &bytes)
        }
        #expect(error?.problem == .unknownFormat)
    }

    @Test("Every file there is one of these", .enabled(if: isPresent(files[0])))
    func coversEveryFile() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path)
        #expect(Set(names).subtracting(["LICENSES.txt"]) == Set(Self.files + [Self.timeSeries]))
    }

    @Test("Rows, sums and percentiles equal Python's", arguments: files.filter(isPresent))
    func equalsAnIndependentCount(file: String) throws {
        let scratch = try TraceScratch()
        let source = Self.folder.appendingPathComponent(file).path
        var bytes = ByteTokenizer()
        let report = try TraceImporter.run(
            from: source, to: scratch.path(), options: .init(), tokenizer: &bytes)
        #expect(report.dropped.isEmpty && report.requests == report.rows)
        let python = Process()
        python.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
        python.arguments = [
            Self.repository.appendingPathComponent("traces/check_import.py").path, source, scratch.path(),
        ]
        let output = Pipe()
        python.standardOutput = output
        try python.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        python.waitUntilExit()
        #expect(python.terminationStatus == 0, "\(text)")
        #expect(text.contains("0 differences"))
    }

    /// What can not be compared is said in a line.
    @Test(
        "The independent count of files without requests",
        arguments: [
            ("", "", "source.csv: found no rows"),
            ("TIMESTAMP,ContextTokens,GeneratedTokens\n", "", "source.csv: found no rows"),
            (
                "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,0,3\n", "",
                "source.csv: found 1 rows, none of them with prompt and output tokens"
            ),
            (
                "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,5,3\n", "",
                "trace.jsonl: found no requests"
            ),
            ("a,b\n1,2\n", "", "source.csv:1: found the columns a, b, expected those of"),
        ])
    func nothingToCount(source: String, trace: String, message: String) throws {
        let scratch = try TraceScratch()
        let folder = URL(fileURLWithPath: scratch.path()).deletingLastPathComponent()
        let paths = ["source.csv", "trace.jsonl"].map { folder.appendingPathComponent($0) }
        for (path, text) in zip(paths, [source, trace]) { try Data(text.utf8).write(to: path) }
        let python = Process()
        python.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
        python.arguments =
            [Self.repository.appendingPathComponent("traces/check_import.py").path] + paths.map(\.path)
        let errors = Pipe()
        python.standardError = errors
        try python.run()
        let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        python.waitUntilExit()
        #expect(python.terminationStatus == 1)
        #expect(text.contains(message) && text.split(separator: "\n").count == 1, "\(text)")
    }

    @Test(
        "A fit's table is its data set's distribution",
        arguments: [
            (NamedFit.azureConversation, files[0]), (.shareGPTMultiTurn, files[1]), (.mooncake, files[3]),
        ].filter { isPresent($0.1) })
    func tablesAreTheDataSets(fit: NamedFit, file: String) throws {
        let scratch = try TraceScratch()
        var bytes = ByteTokenizer()
        _ = try TraceImporter.run(
            from: Self.folder.appendingPathComponent(file).path, to: scratch.path(), options: .init(),
            tokenizer: &bytes)
        var builder = TraceSummaryBuilder()
        for request in try TraceReader.read(path: scratch.path()).requests { builder.add(request) }
        let comparison = try #require(builder.comparison(with: fit))
        for side in [comparison.prompt, comparison.output] {
            #expect(max(abs(side.mean), abs(side.p50), abs(side.p90), abs(side.p99)) < 0.001, "\(side)")
            #expect(side.distance < 0.05, "\(side)")
        }
    }
}
