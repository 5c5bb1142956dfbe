import AlchemistSim
import Engine
import Foundation
import Testing

@Suite struct PretrainingTests {
    private static func settings(_ steps: Int = 60) -> Pretraining.Settings {
        var settings = Pretraining.Settings()
        settings.steps = steps
        settings.sequences = 8
        settings.length = 48
        settings.threads = 2
        return settings
    }

    private func pretraining(_ settings: Pretraining.Settings) throws -> Pretraining {
        try Pretraining(ScenarioModel(named: "nano"), settings)
    }

    @Test func aModelLearnsAndIsFoundAgain() throws {
        let directory = try Folder()
        let folder = directory.path("deep/base")
        let pretraining = try pretraining(Self.settings())
        var steps = 0
        let run = try pretraining.run(
            to: folder, now: { 7 },
            progress: {
                steps = $0; _ = $1
            })
        let report = try #require(run)
        #expect(steps == 60 && !report.cached && report.tokens == 60 * 8 * 48 && report.seconds == 0)
        #expect(abs(report.lossBefore - log(512)) < 0.3, "before it has learned, all tokens are equally likely")
        #expect(report.lossAfter < report.lossBefore - 0.8 && report.lossAfter > report.entropy)
        #expect(try ScenarioModel(named: folder).config.vocabulary == 512)
        let again = try pretraining.run(to: folder, now: { 7 }, progress: { _, _ in Issue.record("it was there") })
        var expected = report
        expected.cached = true
        #expect(again == expected)
        // Nothing is left beside it.
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path("deep")) == ["base"])
    }

    @Test func whatIsThereIsNotOverwritten() throws {
        let directory = try Folder()
        let folder = directory.path("base")
        _ = try pretraining(Self.settings(1)).run(to: folder, now: { 0 })
        let before = try FileManager.default.attributesOfItem(atPath: folder + "/model.safetensors")
        #expect(throws: PretrainingError.otherSettings(folder)) {
            try pretraining(Self.settings(2)).run(to: folder, now: { 0 })
        }
        let after = try FileManager.default.attributesOfItem(atPath: folder + "/model.safetensors")
        #expect(before[.modificationDate] as? Date == after[.modificationDate] as? Date)
        let foreign = directory.path("foreign")
        try FileManager.default.createDirectory(atPath: foreign, withIntermediateDirectories: false)
        #expect(throws: PretrainingError.foreignFolder(foreign)) {
            try pretraining(Self.settings(1)).run(to: foreign, now: { 0 })
        }
    }

    @Test func stoppedItLeavesNothing() throws {
        let directory = try Folder()
        var steps = 0
        let report = try pretraining(Self.settings()).run(
            to: directory.path("base"), now: { 0 }, progress: { step, _ in steps = step }, shouldStop: { steps == 3 })
        #expect(report == nil && steps == 3)
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.url.path).isEmpty)
    }

    @Test func foldersAreNamedByWhatDecidesTheWeights() throws {
        let own = try pretraining(Self.settings()).defaultFolder
        var other = Self.settings()
        other.threads = 1
        #expect(try pretraining(other).defaultFolder == own)
        for change in [{ $0.steps += 1 }, { $0.seed = 4 }, { $0.length = 47 }, { $0.learningRate *= 2 }]
            as [(inout Pretraining.Settings) -> Void]
        {
            var other = Self.settings()
            change(&other)
            #expect(try pretraining(other).defaultFolder != own)
        }
    }
}
