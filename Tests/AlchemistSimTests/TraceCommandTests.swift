import Foundation
import Simulator
import Testing

/// `alchemist-sim trace` from outside.
@Suite(.serialized) struct TraceCommandTests {
    private static let mooncake =
        #"{"timestamp": 5, "input_length": 600, "output_length": 4, "hash_ids": [1, 2]}"# + "\n"
        + #"{"timestamp": 1005, "input_length": 700, "output_length": 0, "hash_ids": [1, 3]}"# + "\n"
        + #"{"timestamp": 2005, "input_length": 800, "output_length": 6, "hash_ids": [1, 4]}"# + "\n"

    private static func write(_ text: String, to path: String) throws {
        try text.write(toFile: path, atomically: true, encoding: .utf8)
    }

    private static func object(_ text: String) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }

    /// The committed traces are what the Makefile says makes them.
    @Test func theCommittedTracesAreMadeByTheMakefile() throws {
        let makefile = try String(contentsOfFile: Repository.root + "/Makefile", encoding: .utf8)
        let start = "\t$(PROGRAM) trace generate "
        let commands = makefile.split(separator: "\n").filter { $0.hasPrefix(start) && $0.contains(" -o traces/") }
        let folder = try Folder()
        var made: Set<String> = []
        for command in commands {
            var arguments = command.split(separator: " ").dropFirst().map(String.init)
            let output = try #require(arguments.firstIndex(of: "-o")) + 1
            let committed = arguments[output]
            arguments[output] = folder.path("made.jsonl")
            let outcome = try Program.run(arguments)
            #expect(outcome.status == 0, "\(outcome.errors)")
            let bytes = FileManager.default.contents(atPath: Repository.root + "/" + committed)
            #expect(bytes == FileManager.default.contents(atPath: folder.path("made.jsonl")), "\(committed)")
            #expect(try #require(bytes).count < 100_000, "\(committed) is not small")
            made.insert(committed)
        }
        let names = try FileManager.default.contentsOfDirectory(atPath: Repository.root + "/traces")
        #expect(made == Set(names.filter { $0.hasSuffix(".jsonl") }.map { "traces/" + $0 }))
    }

    @Test func importsStatsAndValidates() throws {
        let folder = try Folder()
        try Self.write(Self.mooncake, to: folder.path("m.jsonl"))
        let imported = try Program.run([
            "trace", "import", folder.path("m.jsonl"), "-o", folder.path("t.jsonl"), "--json",
        ])
        #expect(imported.status == 0, "\(imported.errors)")
        let report = try Self.object(imported.output)
        #expect(report["format"] as? String == "mooncake" && report["rows"] as? Int == 3)
        #expect(report["dropped"] as? [String: Int] == ["emptyOutput": 1])
        let again = try Program.run([
            "trace", "import", folder.path("m.jsonl"), "-o", folder.path("t.jsonl"), "--format", "mooncake", "--rate",
            "5",
        ])
        #expect(again.status == 0 && again.output.contains("dropped 1 rows without output tokens"))
        #expect(again.errors.contains("--rate is not used"))
        let sound = try Program.run(["trace", "validate", folder.path("t.jsonl")])
        #expect(sound.status == 0 && sound.output == "\(folder.path("t.jsonl")): sound, 2 requests\n")
        let stats = try Program.run(["trace", "stats", folder.path("t.jsonl"), "--json"])
        let figures = try Self.object(stats.output)
        #expect(figures["shared_prompt_tokens"] as? Int == 512 && figures["total_prompt_tokens"] as? Int == 1400)
        #expect((figures["arrivals"] as? [Int])?.reduce(0, +) == 2)
        let table = try Program.run(["trace", "stats", folder.path("t.jsonl"), "--against", "mooncake"])
        #expect(table.output.contains("against mooncake") && table.output.contains("36.6 %"), "\(table.output)")
    }

    @Test func tellsEveryProblem() throws {
        let folder = try Folder()
        let line = #"{"id": 1, "arrival": 0, "prompt_tokens": 1, "output_tokens": 1}"# + "\n"
        let path = folder.path("bad.jsonl")
        try Self.write(line + line + "{\n" + #"{"id": 2, "arrival": -1}"# + "\n", to: path)
        let all = try Program.run(["trace", "validate", path])
        #expect(all.status == 65)
        let lines = all.output.split(separator: "\n")
        #expect(lines.map { $0.dropFirst(path.count).prefix(3) } == [":2:", ":3:", ":4:", ":4:", ":4:"])
        #expect(all.errors == "alchemist-sim: \(path): 5 problems\n")
        let some = try Program.run(["trace", "validate", path, "--max-problems", "2"])
        #expect(some.status == 65 && some.output.split(separator: "\n").count == 2)
        #expect(some.errors.contains("the first 2 problems are shown, there are more"))
        let missing = try Program.run(["trace", "validate", folder.path("none")])
        #expect(missing.status == 74)
    }

    /// Nothing is made up for a column that was named, no row is read that has lost a field, and no source is lost.
    @Test(
        arguments: [
            ("time,in,out\n0,4,5\n", "arrival=tim:ms,prompt_tokens=in,output_tokens=out", "t.jsonl", 65, "`tim`"),
            ("time,in,out\n0,4\n", "arrival=time,prompt_tokens=in,output_tokens=out", "t.jsonl", 65, "found 2 fields"),
            (
                "time,in,out\n0,a,4,5\n", "arrival=time,prompt_tokens=in,output_tokens=out", "t.jsonl", 65,
                "found 4 fields"
            ),
            ("time,in,out\n0,4,5\n", "arrival=time,prompt_tokens=in,output_tokens=out", "t.csv", 64, "would be lost"),
        ] as [(String, String, String, Int32, String)])
    func tablesAreTakenAsTheyAre(
        text: String, columns: String, output: String, status: Int32, message: String
    ) throws {
        let folder = try Folder()
        let source = try folder.file("t.csv", text)
        let outcome = try Program.run(
            ["trace", "import", source, "--columns", columns, "-o", folder.path(output)], in: folder.url)
        #expect(outcome.status == status && outcome.errors.contains(message), "\(outcome.errors)")
        #expect(try String(contentsOfFile: source, encoding: .utf8) == text)
        #expect(folder.names == ["t.csv"])
    }

    @Test(arguments: [
        (["trace", "import", "x", "-o", "y", "--limit", "0"], "--limit"),
        (["trace", "import", "x", "-o", "y", "--rate", "-1"], "--rate"),
        (["trace", "import", "x", "-o", "y", "--format", "azure", "--columns", "prompt_tokens=a"], "--columns"),
        (["trace", "import", "x", "-o", "y", "--columns", "prompt=a"], "--columns: found `prompt=a`"),
        (["trace", "import", "x", "-o", "y", "--columns", "prompt_tokens=a"], "output_tokens=NAME"),
        (["trace", "import", "x", "-o", "y", "--columns", "arrival=:"], "--columns: found `arrival=:`"),
        (["trace", "import", "x", "-o", "y", "--columns", "prompt_tokens=a,prompt_tokens=b"], "each field once"),
        (["trace", "stats", "x", "--against", "azure-code"], "no measured distribution is known, only the medians"),
        (
            ["trace", "generate", "-o", "y", "--cv", "2"],
            "--cv: found without effect, expected only with --arrivals gamma"
        ),
        (["trace", "generate", "-o", "y", "--period", "2", "--arrivals", "bursts"], "--period: found without effect"),
        (["trace", "generate", "-o", "y", "--turns", "1", "--think-time", "2"], "--think-time: found without effect"),
        (["trace", "generate", "-o", "y", "--prefix-groups", "2"], "expected only with --prefix-tokens"),
        (["trace", "generate", "-o", "y", "--content", "counts", "--vocabulary", "9"], "only with --content ids"),
        (["trace", "generate", "-o", "y", "--shift-at", "0.2"], "expected only with --shift"),
        (
            ["trace", "generate", "-o", "y", "--feedback-rate", "0", "--feedback-kind", "dpo"],
            "--feedback-rate above 0"
        ),
        (["trace", "generate", "-o", "y", "--group-size", "3"], "expected only with --feedback-kind group"),
        (["trace", "generate", "-o", "y", "--arrivals", "gamma", "--cv", "99"], "--cv: found 99.0"),
        (["trace", "import", "x", "-o", "y", "--format", "azure", "--turns", "all"], "--turns: found without effect"),
        (
            ["trace", "import", "x", "-o", "y", "--format", "vllm", "--think-time", "1"],
            "--think-time: found without effect"
        ),
        (
            ["trace", "import", "x", "-o", "y", "--format", "azure", "--tokenizer", "t"],
            "--tokenizer: found without effect"
        ),
        (
            ["trace", "import", "x", "-o", "y", "--format", "mooncake", "--output-tokens", "1"],
            "only with --format vllm"
        ),
        (["trace", "generate", "-o", "y", "--cv", "0", "--arrivals", "gamma"], "--cv: found 0.0"),
        (["trace", "generate", "-o", "y", "--replay", "x"], "--replay"),
        (["trace", "generate", "-o", "y", "--feedback-edits", "0.5", "--content", "counts"], "--feedback-edits"),
        (["trace", "generate", "-o", "y", "--shift", "2"], "--shift: found 2.0"),
        (["trace", "generate", "-o", "y", "--prefix-tokens", "1024"], "--prefix-tokens: found 1024"),
    ])
    func wrongUse(arguments: [String], message: String) throws {
        let outcome = try Program.run(arguments)
        #expect(outcome.status == 64, "\(outcome.errors)")
        #expect(outcome.errors.contains(message), "\(outcome.errors)")
    }

    @Test func preferencesAreLearnedFrom() throws {
        let folder = try Folder()
        let outcome = try Program.run([
            "run", Repository.root + "/traces/preferences.jsonl", "-o", folder.path("r.h5"), "--set", "model=micro",
            "--set", "backend=a100-80g", "--arms", "recompute,shared-prompt,reuse",
        ])
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output.contains("shared-prompt against recompute"), "\(outcome.output)")
    }

    @Test func runsRefuseWhatTheyCannotLearnFrom() throws {
        let folder = try Folder()
        let outcome = try Program.run([
            "run", Repository.root + "/traces/preferences.jsonl", "-o", folder.path("r.h5"), "--set", "model=micro",
            "--set", "training.objective=group", "--arms", "recompute",
        ])
        #expect(outcome.status == 65)
        #expect(
            outcome.errors.contains("field `training.objective`: found `group`, expected trace or sft"),
            "\(outcome.errors)")
        #expect(outcome.errors.contains("has feedback of kind dpo"), "\(outcome.errors)")
        #expect(folder.names.isEmpty)
    }

    /// Azure's sample has a request that is longer than Llama 3's context: the way out that the error names works.
    @Test func aTraceThatIsTooLongIsCut() throws {
        let folder = try Folder()
        let trace = Repository.root + "/traces/azure-conversation.jsonl"
        let run = [
            "-o", folder.path("r.h5"), "-q", "--arms", "serve-only", "--set", "model=llama-3-8b", "--set",
            "backend=a100-80g",
        ]
        let refused = try Program.run(["run", trace] + run)
        #expect(refused.status == 65)
        #expect(
            refused.errors.contains(
                "expected at most 8192 in all, the context of llama-3-8b; 1 of 300 requests has more, up to 11692: choose a "
                    + "model with a longer context, or leave them out with `alchemist-sim trace cut \(trace) --max-context "
                    + "8192 -o SHORTER`"), "\(refused.errors)")
        let cut = try Program.run(["trace", "cut", trace, "--max-context", "8192", "-o", folder.path("shorter")])
        #expect(cut.status == 0, "\(cut.errors)")
        #expect(
            cut.output
                == "299 requests written to \(folder.path("shorter")); 1 with more than 8192 tokens left out\n")
        #expect(try Program.run(["run", folder.path("shorter")] + run).status == 0)
    }

    /// What is left out takes the turns behind it along; all else is as it was.
    @Test func whatIsCutIsWhole() throws {
        let trace = try TraceReader.read(path: Repository.root + "/traces/assistants.jsonl")
        let (part, report) = try TraceCut(maxContext: 2000).cut(trace)
        #expect(report.kept + report.tooLong + report.behindTooLong == trace.requests.count && report.tooLong > 0)
        let folder = try Folder()
        try TraceWriter.write(part, to: folder.path("part"))
        let again = try TraceReader.read(path: folder.path("part"), limits: TraceLimits(maxContext: 2000))
        #expect(again.requests == part.requests)
        let kept = Set(part.requests.map(\.id))
        for request in trace.requests where request.contextTokens <= 2000 && !kept.contains(request.id) {
            let previous = try #require(request.previousTurn)
            #expect(!kept.contains(trace.requests[previous].id))
        }
        let first = try TraceCut(limit: 7).cut(trace)
        #expect(first.trace.requests == Array(trace.requests.prefix(7)) && first.report == .init(kept: 7))
        #expect(throws: TraceError.self) { try TraceCut(maxContext: 2).cut(trace) }
        let output = folder.path("output")
        let refused = try Program.run(["trace", "cut", folder.path("part"), "-o", output])
        #expect(refused.status == 64 && refused.errors.contains("expected --max-context, --limit or both"))
        #expect(
            try Program.run(["trace", "cut", folder.path("part"), "--max-context", "2", "-o", output]).status == 65)
        let over = try Program.run(["trace", "cut", folder.path("part"), "--limit", "2", "-o", folder.path("part")])
        #expect(over.status == 64 && folder.names == ["part"], "\(over.errors)")
    }

    /// A trace's turns are put together anew of their own texts, not of prompts that hold the history already.
    @Test func turnsOfATraceAreNotCountedTwice() throws {
        let folder = try Folder()
        let line = { (id: Int, turn: Int, prompt: Int) in
            #"{"id": \#(id), "arrival": \#(id), "prompt_tokens": \#(prompt), "output_tokens": 5, "conversation": "c", "turn": \#(turn)}"#
        }
        try Self.write(
            [line(0, 0, 10), line(1, 1, 25), line(2, 2, 40)].joined(separator: "\n"), to: folder.path("s.jsonl"))
        let arguments = [
            "trace", "generate", "--lengths", folder.path("s.jsonl"), "--requests", "50", "--content", "counts", "-o",
            folder.path("t.jsonl"),
        ]
        let turns = try Program.run(arguments + ["--turns", "3"])
        #expect(turns.status == 0, "\(turns.errors)")
        let requests = try TraceReader.read(path: folder.path("t.jsonl")).requests
        #expect(requests.contains { $0.turn > 1 })
        #expect(requests.allSatisfy { $0.promptTokens == 10 + 15 * $0.turn })
        let whole = try Program.run(arguments)
        #expect(whole.status == 0, "\(whole.errors)")
        let prompts = Set(try TraceReader.read(path: folder.path("t.jsonl")).requests.map(\.promptTokens))
        #expect(prompts == [10, 25, 40])
    }

    private static let plots = Repository.root + "/.venv-plots/bin/python"

    @Test("Statistics become pictures", .enabled(if: FileManager.default.isExecutableFile(atPath: plots)))
    func draws() throws {
        let folder = try Folder()
        for (name, against) in [("azure-conversation", ["--against", "azure-conversation"]), ("sample", [])] {
            let stats = try Program.run(
                ["trace", "stats", Repository.root + "/traces/\(name).jsonl", "--json"] + against)
            #expect(stats.status == 0, "\(stats.errors)")
            try Self.write(stats.output, to: folder.path("\(name).json"))
        }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Self.plots)
        process.arguments = [
            Repository.root + "/plots/trace_stats.py", folder.path("azure-conversation.json"),
            folder.path("sample.json"), "-o", folder.path("picture"),
        ]
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        let png = try #require(FileManager.default.contents(atPath: folder.path("picture.png")))
        #expect(png.starts(with: [0x89, 0x50, 0x4e, 0x47]) && png.count > 10_000)
        let pdf = try #require(FileManager.default.contents(atPath: folder.path("picture.pdf")))
        #expect(pdf.starts(with: Array("%PDF".utf8)))
    }

    private static let python = Repository.root + "/.venv-tokenize/bin/python"

    @Test(
        "Texts become tokens by the reference library",
        .enabled(if: FileManager.default.isExecutableFile(atPath: python)))
    func tokenizes() throws {
        let folder = try Folder()
        let tokenizer = """
            {"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": {"type": "Lowercase"},
             "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
             "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "hello": 1, "you": 2, "?": 3}, "unk_token": "[UNK]"}}
            """
        try Self.write(tokenizer, to: folder.path("tokenizer.json"))
        let texts = (0..<600).map {
            #"{"id": "\#($0)", "conversations": [{"from": "human", "value": "Hello\nyou?"}, "#
                + #"{"from": "gpt", "value": "you you \#($0)"}]}"#
        }
        try Self.write("[" + texts.joined(separator: ",\n") + "]", to: folder.path("s.json"))
        let arguments = [
            "trace", "import", folder.path("s.json"), "-o", folder.path("t.jsonl"), "--tokenizer",
            folder.path("tokenizer.json"),
        ]
        let outcome = try Program.run(arguments)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let requests = try TraceReader.read(path: folder.path("t.jsonl")).requests
        #expect(requests.count == 600)
        #expect(requests.allSatisfy { $0.prompt == [1, 2, 3] && $0.output == [2, 2, 0] })
        try Self.write("{}", to: folder.path("tokenizer.json"))
        let broken = try Program.run(arguments)
        #expect(broken.status == 65 && broken.errors.contains("tokenizer"), "\(broken.errors)")
    }
}
