import AlchemistSim
import Engine
import Foundation
import MeasuredBackend
import Results
import Simulator
import Testing

@Suite struct RegistryTests {
    private static func files(_ folder: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(
            atPath: Repository.root + "/Sources/AlchemistSim/Registry/" + folder
        ).filter { $0.hasSuffix(".yaml") }.map { String($0.dropLast(5)) }.sorted()
    }

    private static func accelerator(_ name: String) throws -> Accelerator {
        let hardware = try Hardware(named: name, AcceleratorSetting())
        guard case .accelerator(let accelerator, _) = hardware else {
            throw NoAccelerator(name: name)
        }
        return accelerator
    }

    @Test func everyFileIsInTheProgram() throws {
        #expect(try Self.files("hardware") == HardwareRegistry.names)
        #expect(try Self.files("models") == ModelRegistry.names.filter { ModelConfig.preset($0) == nil }.sorted())
        for name in HardwareRegistry.names {
            let path = Repository.root + "/Sources/AlchemistSim/Registry/hardware/\(name).yaml"
            #expect(HardwareRegistry.text(of: name) == (try String(contentsOfFile: path, encoding: .utf8)))
        }
    }

    @Test(arguments: HardwareRegistry.names) func everyFigureHasASourceAndTheFileReadsBack(name: String) throws {
        let accelerator = try Self.accelerator(name)
        #expect(accelerator.sources.count >= 8 && accelerator.sources.values.allSatisfy { $0.count > 5 })
        let again = try Hardware(yaml: accelerator.yaml, path: name, AcceleratorSetting())
        #expect(again == .accelerator(accelerator, AcceleratorSetting()))
    }

    /// Parameters as published, in units of 10^6.
    @Test(arguments: [
        ("llama-2-7b", 6738), ("llama-2-13b", 13_016), ("llama-2-70b", 68_977), ("llama-3-8b", 8030),
        ("llama-3-70b", 70_554), ("llama-3.1-8b", 8030), ("llama-3.1-70b", 70_554), ("mistral-7b", 7248),
        ("qwen2.5-0.5b", 494), ("qwen2.5-1.5b", 1544), ("qwen2.5-3b", 3086), ("qwen2.5-7b", 7616),
        ("qwen2.5-14b", 14_770), ("qwen2.5-32b", 32_764), ("qwen2.5-72b", 72_706),
    ]) func modelsHaveTheirParameters(name: String, millions: Int) throws {
        let config = try #require(try ModelRegistry.model(named: name))
        #expect(config.problems.isEmpty)
        #expect(Int((Double(ModelShape(config).parameters) / 1e6).rounded()) == millions)
    }

    @Test func aConfigurationOrAFileGivesTheSameModelAsTheRegistry() throws {
        let folder = try Folder()
        let json = """
            {"model_type": "llama", "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8,
             "num_hidden_layers": 32, "intermediate_size": 14336, "vocab_size": 128256, "rms_norm_eps": 1e-5,
             "max_position_embeddings": 8192, "rope_theta": 500000.0}
            """
        let path = try folder.file("config.json", json)
        let known = try #require(try ModelRegistry.model(named: "llama-3-8b"))
        let file = Repository.root + "/Sources/AlchemistSim/Registry/models/llama-3-8b.yaml"
        for name in [path, folder.url.path, file] {
            var config = try ScenarioModel(named: name).config
            config.name = known.name
            #expect(config == known)
        }
    }

    static let faults: [(from: String, to: String, message: String)] = [
        ("kind: accelerator\n", "kind: accelerator\nsize: 3\n", "field `size`: there is no such field"),
        ("{value: 108, source: ", "{value: none, source: ", "expected a whole number from 1 to 100000"),
        (", source: \"NVIDIA A100 datasheet, 2021\"}", "}", "has no `source`"),
        ("efficiency: 0.5", "efficiency: 1.5", "expected a share above zero and at most 1"),
        ("  host: {iteration", "  hosts: {iteration", "did you mean `host`?"),
    ]

    @Test(arguments: faults.indices) func mistakesAreNamed(index: Int) throws {
        let fault = Self.faults[index]
        let text = try #require(HardwareRegistry.text(of: "a100-80g"))
        let range = try #require(text.range(of: fault.from))
        let error = #expect(throws: ProfileError.self) {
            _ = try Hardware(
                yaml: text.replacingCharacters(in: range, with: fault.to), path: "a.yaml", AcceleratorSetting())
        }
        #expect(error?.description.hasPrefix("a.yaml:") == true)
        #expect(error?.description.contains(fault.message) == true, "\(error?.description ?? "")")
    }

    /// `constants` may name another accelerator, alone or as `from` with changes.
    @Test func constantsCanBeBorrowed() throws {
        let text = try #require(HardwareRegistry.text(of: "a40"))
        let lender = try Self.accelerator("a100-80g")
        #expect(try Self.accelerator("a40").constants == lender.constants)
        let changed = text.replacing(
            "constants: a100-80g",
            with: "constants: {from: a100-80g, host: {iteration: 0.002, sequence: 0, unit: 0}}")
        guard case .accelerator(let own, _) = try Hardware(yaml: changed, path: "mine.yaml", AcceleratorSetting())
        else {
            Issue.record("an accelerator is expected")
            return
        }
        #expect(own.constants.host.iteration == 0.002 && own.constants.products == lender.constants.products)
        let unknown = text.replacing("constants: a100-80g", with: "constants: a4")
        let error = #expect(throws: ProfileError.self) {
            _ = try Hardware(yaml: unknown, path: "mine.yaml", AcceleratorSetting())
        }
        #expect(error?.description.contains("expected the name of an accelerator of the registry") == true)
    }
}

struct NoAccelerator: Error {
    var name: String
}

/// Runs on accelerators, from outside.
@Suite(.serialized) struct AcceleratorCommandTests {
    private static func trace(_ folder: borrowing Folder) throws -> String {
        var options = TraceGeneratorOptions()
        options.requests = 60
        options.maxContext = 1500
        options.scale = 0.5
        options.content = .counts
        options.arrivals = .poisson(rate: 4)
        let path = folder.path("trace.jsonl")
        try TraceWriter.write(TraceGenerator(options).generate(), to: path)
        return path
    }

    private static let a100 = [
        "--set", "backend=a100-80g", "--set", "model=llama-3-8b", "--set", "serving.max_batch=64", "--set",
        "serving.token_budget=512", "-q",
    ]

    @Test func aRunIsTheSameEveryTimeAndTakesTheHardwaresMemory() throws {
        let folder = try Folder()
        let trace = try Self.trace(folder)
        var digests: [String] = []
        for name in ["a", "b"] {
            let outcome = try Program.run(["run", trace, "-o", folder.path(name)] + Self.a100)
            #expect(outcome.status == 0, "\(outcome.errors)")
            let digest = try ResultsFile(reading: folder.path(name)).verifyDigest()
            #expect(digest.written == digest.found)
            digests.append(digest.found)
        }
        #expect(digests[0] == digests[1])
        let scenario = try ResultsFile(reading: folder.path("a")).scenario
        for line in ["memory: 80GiB", "host_memory: 256GiB", "link_bandwidth: 26GB/s", "memory_utilization: 0.9"] {
            #expect(scenario.contains(line))
        }
    }

    @Test func aReplayOfAnAcceleratorGivesTheSameRun() throws {
        let folder = try Folder()
        let trace = try Self.trace(folder)
        let outcome = try Program.run(["run", trace, "-o", folder.path("live.h5")] + Self.a100)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let replay = try Program.run(
            ["run", trace, "--replay", folder.path("live.h5"), "-o", folder.path("again.h5"), "-q"])
        #expect(replay.status == 0, "\(replay.errors)")
        for column in ["/arms/reuse/repeat_000/requests/finish", "/arms/reuse/repeat_000/iterations/duration"] {
            #expect(
                try ResultsFile(reading: folder.path("live.h5")).values(at: column)
                    == ResultsFile(reading: folder.path("again.h5")).values(at: column))
        }
    }

    @Test func aModelThatDoesNotFitIsRefused() throws {
        let folder = try Folder()
        let trace = try Self.trace(folder)
        let run = ["run", trace, "-o", folder.path("r"), "-q", "--arms", "serve-only", "--set", "model=llama-3-70b"]
        let one = try Program.run(run + ["--set", "backend=a100-80g"])
        #expect(one.status == 75 && one.errors.contains("device.memory"), "\(one.errors)")
        let four = try Program.run(run + ["--set", "backend=a100-80g", "--set", "hardware.tensor_parallel=4"])
        #expect(four.status == 0, "\(four.errors)")
    }

    @Test func theRegistryIsListed() throws {
        for (command, name) in [("models", "qwen2.5-72b"), ("hardware", "rtx-pro-6000")] {
            let text = try Program.run([command])
            #expect(text.status == 0 && text.output.contains(name))
            let json = try Program.run([command, "--json"])
            let entries = try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [[String: Any]]
            #expect(entries?.contains { $0["name"] as? String == name } == true)
        }
        let unknown = try Program.run(["hardware", "a100"])
        #expect(unknown.status == 65 && unknown.errors.contains("there is no such hardware"))
    }
}
