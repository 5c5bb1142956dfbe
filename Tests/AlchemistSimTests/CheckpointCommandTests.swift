import AlchemistSim
import Crypto
import Foundation
import Results
import Simulator
import Testing

/// Runs on the small checkpoints of the engine's tests.
@Suite(.serialized) struct CheckpointCommandTests {
    private static func fixture(_ name: String) -> String { Repository.root + "/Tests/EngineTests/Checkpoints/" + name }

    /// Twelve short requests in a vocabulary of 64.
    private static func trace(_ folder: borrowing Folder) throws -> String {
        var options = TraceGeneratorOptions()
        options.requests = 12
        options.scale = 0.05
        options.maxContext = 60
        options.language.vocabulary = 64
        options.arrivals = .poisson(rate: 100)
        options.meanThinkTime = 0.01
        options.feedback = TraceGeneratorOptions.FeedbackModel(rate: 1, meanDelay: 0.02)
        let path = folder.path("trace.jsonl")
        try TraceWriter.write(TraceGenerator(options).generate(), to: path)
        return path
    }

    private static func sha256(_ paths: [String]) -> String {
        var hash = SHA256()
        for path in paths { hash.update(data: FileManager.default.contents(atPath: path) ?? Data()) }
        return hash.finalize().map { String(format: "%02x", $0) }.joined()
    }

    @Test("a checkpoint is served and trained, and the results say which", arguments: ["lora", "full"])
    func run(tuning: String) throws {
        let folder = try Folder()
        let trace = try Self.trace(folder)
        let outcome = try Program.run([
            "run", trace, "-o", folder.path("r.h5"), "--set", "model=" + Self.fixture("mistral"),
            "--set", "training.tuning=\(tuning)", "--set", "training.update_every=3", "--set", "training.audit_every=1",
            "--repeats", "2", "--json",
        ])
        #expect(outcome.status == 0, "\(outcome.errors)")
        let object = try #require(JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
        let comparison = try #require(object["comparison"] as? [String: Any])
        #expect(try #require(comparison["gradient_rounding_error"] as? Double) <= 1e-5)
        #expect(try #require(comparison["reused_token_fraction"] as? Double) > 0.1)
        let provenance = try ResultsFile(reading: folder.path("r.h5")).provenance
        #expect(provenance.checkpoint?.path == Self.fixture("mistral"))
        let shards = (1...4).map { Self.fixture("mistral/model-0000\($0)-of-00004.safetensors") }
        #expect(provenance.checkpoint?.sha256 == Self.sha256(shards))
        #expect(provenance.adapter == nil)
    }

    @Test func adaptersAreTakenFromTheirFolder() throws {
        let folder = try Folder()
        let trace = try Self.trace(folder)
        let options = [
            "run", trace, "-o", folder.path("r.h5"), "--set", "model=" + Self.fixture("llama"),
            "--set", "training.update_every=3", "--set", "training.audit_every=1",
        ]
        // Agreeing with the adapter is no conflict.
        let outcome = try Program.run(
            options + [
                "--set", "training.adapter=" + Self.fixture("llama-adapter"), "--set", "training.lora_rank=3",
            ])
        #expect(outcome.status == 0, "\(outcome.errors)")
        let file = try ResultsFile(reading: folder.path("r.h5"))
        let provenance = try file.provenance
        #expect(provenance.adapter?.path == Self.fixture("llama-adapter"))
        #expect(
            provenance.adapter?.sha256 == Self.sha256([Self.fixture("llama-adapter/adapter_model.safetensors")]))
        let scenario = try Scenario(yaml: file.scenario, path: "stored")
        #expect(
            scenario.base.training.tuning == .lora(rank: 3, alpha: 6, targets: [.query, .value, .output, .up, .down]))
        #expect(scenario.adapter == Self.fixture("llama-adapter"))
        // The adapted model is another one than the plain: it starts from another loss.
        func loss() throws -> Double {
            guard
                case .float64(let values) = try ResultsFile(reading: folder.path("r.h5"))
                    .values(at: "/arms/recompute/repeat_000/training/loss")
            else { return .nan }
            return values.first ?? .nan
        }
        let adapted = try loss()
        #expect(try Program.run(options).status == 0)
        let plain = try loss()
        #expect(adapted > 0 && plain > 0 && abs(adapted - plain) > 1e-3 * plain, "\(adapted), \(plain)")
    }

    @Test func modelsAndReplaysReadNoWeights() throws {
        let folder = try Folder()
        let trace = try Self.trace(folder)
        let model = folder.path("llama")
        try FileManager.default.copyItem(atPath: Self.fixture("llama"), toPath: model)
        let settings = ["--set", "model=" + model, "--set", "training.adapter=" + Self.fixture("llama-adapter")]
        let live = try Program.run(["run", trace, "-o", folder.path("live.h5")] + settings)
        #expect(live.status == 0, "\(live.errors)")
        let file = try FileHandle(forUpdating: URL(fileURLWithPath: model + "/model.safetensors"))
        // Not a number.
        try file.seek(toOffset: file.seekToEnd() - 4)
        try file.write(contentsOf: Data(repeating: 0xff, count: 4))
        try file.close()
        #expect(try Program.run(["run", trace, "-o", folder.path("live2.h5")] + settings).status == 65)
        let profile = try folder.file("profile.yaml", ProfileTests.nano().yaml)
        for options in [["--replay", folder.path("live.h5")], ["--set", "backend=" + profile] + settings] {
            let outcome = try Program.run(["run", trace, "-o", folder.path("r.h5")] + options)
            #expect(outcome.status == 0, "\(outcome.errors)")
            let results = try ResultsFile(reading: folder.path("r.h5"))
            #expect(try results.provenance.checkpoint == nil)
            #expect(try results.provenance.adapter == nil)
            let scenario = try Scenario(yaml: results.scenario, path: "stored")
            #expect(scenario.model == model)
            #expect(
                scenario.base.training.tuning
                    == .lora(rank: 3, alpha: 6, targets: [.query, .value, .output, .up, .down]))
        }
    }

    static let mistakes: [(settings: [String], status: Int32, part: String)] = [
        (["model=./nowhere"], 74, "./nowhere: cannot open this folder: No such file or directory"),
        (["model=nowhere"], 64, "found `nowhere`, expected one of nano, micro, mini, small, smollm2-135m, or the path"),
        (["model=FIXTURE/llama-adapter"], 74, "llama-adapter/config.json: cannot open this: No such file or directory"),
        (["model=FIXTURE/llama", "training.adapter=./none"], 74, "./none: cannot open this folder"),
        (
            ["model=FIXTURE/smollm", "training.adapter=FIXTURE/llama-adapter"], 65,
            "found shape [3, 32], expected [3, 36], by the configuration"
        ),
        (
            ["model=FIXTURE/llama", "training.adapter=FIXTURE/llama-adapter", "training.lora_rank=8"], 64,
            "--set: field `training.lora_rank`: found `8`, expected 3, as training.adapter has it"
        ),
        (
            ["training.lora_targets=q", "model=FIXTURE/llama", "training.adapter=FIXTURE/llama-adapter"], 64,
            "--set: field `training.lora_targets`: found `q`, expected q,v,o,up,down, as training.adapter has it"
        ),
        (
            ["model=FIXTURE/llama", "training.adapter=FIXTURE/llama-adapter", "training.tuning=full"], 64,
            "--set: field `training.tuning`: found `full`, expected lora, as training.adapter has it"
        ),
        (["training.adapter="], 64, "expected the path of a folder, or none"),
    ]

    @Test(arguments: mistakes.indices) func mistakesAreNamed(index: Int) throws {
        let test = Self.mistakes[index]
        let folder = try Folder()
        let trace = try Self.trace(folder)
        let settings = test.settings.flatMap { ["--set", $0.replacing("FIXTURE", with: Self.fixture(""))] }
        let outcome = try Program.run(["run", trace, "-o", folder.path("r.h5")] + settings, in: folder.url)
        #expect(outcome.status == test.status, "\(outcome.errors)")
        #expect(outcome.errors.contains(test.part), "\(outcome.errors)")
        #expect(outcome.errors.split(separator: "\n").count == 1)
        #expect(folder.names == ["trace.jsonl"])
    }

    @Test func anArmCanNotContradictTheAdapter() throws {
        let folder = try Folder()
        let trace = try Self.trace(folder)
        let scenario = try folder.file(
            "s.yaml",
            """
            model: "\(Self.fixture("llama"))"
            training: {adapter: "\(Self.fixture("llama-adapter"))"}
            arms:
              recompute: {training: {lora_alpha: 7}}
            """)
        let outcome = try Program.run(["run", trace, "-o", folder.path("r.h5"), "--scenario", scenario])
        #expect(outcome.status == 65)
        #expect(
            outcome.errors.contains(
                "arm recompute: field `training.lora_alpha`: found `7`, expected 6, as training.adapter has it"),
            "\(outcome.errors)")
    }

    @Test(
        "a trace is held against the checkpoint",
        arguments: [
            ("{\"id\": \"a\", \"arrival\": 0, \"prompt\": [1, 64], \"output_tokens\": 2}\n", "`64`"),
            ("{\"id\": \"a\", \"arrival\": 0, \"prompt_tokens\": 60, \"output_tokens\": 5}\n", "64"),
        ]) func limits(line: String, part: String) throws
    {
        let folder = try Folder()
        let trace = try folder.file("trace.jsonl", line)
        // 64 tokens, and a window of 64 positions.
        let outcome = try Program.run(
            ["run", trace, "-o", folder.path("r.h5"), "--set", "model=" + Self.fixture("mistral")])
        #expect(outcome.status == 65)
        #expect(outcome.errors.contains("trace.jsonl:1: field `prompt"), "\(outcome.errors)")
        #expect(outcome.errors.contains(part), "\(outcome.errors)")
    }
}
