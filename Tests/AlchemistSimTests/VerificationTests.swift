import AlchemistSim
import Engine
import Foundation
import Testing

@Suite(.serialized) struct VerificationTests {
    private static func fixture(_ name: String) -> String { Repository.root + "/Tests/EngineTests/Checkpoints/" + name }

    @Test(
        "the law holds on every family", arguments: ["llama", "llama3", "mistral", "qwen2", "smollm"],
        VerificationTuning.allCases)
    func fixtures(name: String, tuning: VerificationTuning) throws {
        var options = Verification.Options()
        options.length = 64
        options.chunk = 3
        options.tuning = tuning
        let report = try Verification(ScenarioModel(named: Self.fixture(name)), options).run()
        #expect(report.holds, "\(report.table())")
        #expect(report.promptTokens == 56)
        #expect(
            report.groups.count == (tuning == .full ? 8 : 11) + (tuning == .full && name == "qwen2" ? 1 : 0)
                + (tuning == .full && !["qwen2", "smollm"].contains(name) ? 1 : 0))
        // Chunks of up to four rows are summed in another order than the whole is: an error of nothing at all would mean that
        // nothing was reused.
        #expect(report.groups.contains { $0.error > 0 })
    }

    @Test func aBrokenLawIsSeen() {
        guard let config = ModelConfig.preset("nano") else { return }
        let expected = GradientBuffer(config, .full)
        for index in 0..<expected.table.count { expected.buffer.base[index] = Float(1 + index % 3) }
        func groups(_ change: (GradientBuffer) -> Void) -> [VerificationReport.Group] {
            let computed = GradientBuffer(config, .full)
            computed.buffer.copy(from: expected.buffer)
            change(computed)
            return VerificationReport.compare(computed, with: expected)
        }
        func report(_ groups: [VerificationReport.Group], loss: Double = 2) -> VerificationReport {
            VerificationReport(
                model: "nano", options: Verification.Options(), promptTokens: 1, recomputedLoss: 2, reusedLoss: loss,
                groups: groups)
        }
        #expect(report(groups { _ in }).holds)
        #expect(!report(groups { _ in }, loss: 2.001).holds)
        #expect(!report(groups { _ in }, loss: .nan).holds)
        let scaled = groups {
            for index in $0.table["layers.1.down"]?.range ?? 0..<0 { $0.buffer.base[index] *= 1.001 }
        }
        #expect(!report(scaled).holds)
        let worst = scaled.first { $0.name == "down" }
        #expect(worst?.worst == "layers.1.down")
        #expect(abs((worst?.error ?? 0) - 1e-3) < 1e-5)
        #expect(scaled.allSatisfy { $0.name == "down" || $0.error == 0 })
        let lost = groups { $0.buffer.base[$0.table["final_norm"]?.offset ?? 0] = .nan }
        #expect(!report(lost).holds && lost.first { $0.name == "final_norm" }?.error == .infinity)
        #expect(report(lost).table().contains("the law is broken"))
        let nothing = GradientBuffer(config, .full)
        #expect(!report(VerificationReport.compare(nothing, with: nothing)).holds, "no gradient at all")
    }

    @Test func theCommandPrintsATableOrJSON() throws {
        let table = try Program.run(["verify", "nano", "--length", "40", "--chunk", "11"])
        #expect(table.status == 0 && table.errors.isEmpty)
        #expect(table.output.hasPrefix("nano, lora: 35 of 40 tokens recorded in chunks of 11\nloss "))
        #expect(table.output.hasSuffix("the law holds: every error must be at most 1.00e-05\n"))
        let json = try Program.run(["verify", Self.fixture("qwen2"), "--length", "40", "--tuning", "full", "--json"])
        let object = try #require(JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
        #expect(object["holds"] as? Bool == true && object["model"] as? String == "qwen2")
        let gradients = try #require(object["gradients"] as? [[String: Any]])
        #expect(gradients.map { $0["name"] as? String }.contains("qkv_bias"))
    }

    @Test(
        arguments: [
            (["verify", "huge"], 65, "there is no model `huge`, expected a model that `alchemist-sim models` lists"),
            (["verify", "./nowhere"], 74, "./nowhere: cannot open this folder: No such file or directory"),
            (["verify", "nano", "--length", "1"], 64, "--length: found `1`, expected 2 to 4096"),
            (["verify", "nano", "--length", "5000"], 64, "--length: found `5000`, expected 2 to 4096"),
            (["verify", "nano", "--chunk", "0"], 64, "--chunk: found `0`, expected at least 1"),
            (["verify", "nano", "--tuning", "half"], 64, "half"), (["verify"], 64, "model"),
        ] as [([String], Int32, String)]) func mistakesAreNamed(arguments: [String], status: Int32, part: String) throws
    {
        let outcome = try Program.run(arguments)
        #expect(outcome.status == status)
        #expect(outcome.errors.contains(part), "\(outcome.errors)")
    }
}
