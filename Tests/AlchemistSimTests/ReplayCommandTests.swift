import AlchemistSim
import Foundation
import Results
import Simulator
import Testing

/// Runs without a clock, from outside: modelled and replayed.
@Suite(.serialized) struct ReplayCommandTests {
    private static func digest(_ path: String) throws -> String {
        let digest = try ResultsFile(reading: path).verifyDigest()
        #expect(digest.written == digest.found)
        return digest.found
    }

    /// The datasets of a file that a replay must give again, with their values.
    private static func facts(_ path: String) throws -> [String: ResultsFile.Values] {
        let file = try ResultsFile(reading: path)
        let learnt = [
            "loss", "gradient_norm", "gradient_rounding_error", "gradient_precision_error",
            "gradient_precision_cosine", "gradient_staleness_error", "gradient_staleness_cosine",
        ]
        var facts: [String: ResultsFile.Values] = [:]
        for dataset in try file.datasets
        where dataset.hasPrefix("/trace/") || dataset.hasPrefix("/costs/") || dataset.hasPrefix("/arms/") {
            // A replay watches no machine.
            guard !dataset.contains("/summary/"), !dataset.hasSuffix("/iterations/probe"),
                !learnt.contains(where: { dataset.hasSuffix("/training/" + $0) })
            else { continue }
            facts[dataset] = try file.values(at: dataset)
        }
        return facts
    }

    @Test func aReplayGivesTheMeasuredRunAgain() throws {
        let folder = try Folder()
        let trace = try SmallRun.trace(folder)
        let live = folder.path("live.h5")
        let outcome = try Program.run(["run", trace, "-o", live, "--repeats", "2"] + SmallRun.settings)
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output.contains("paired"))
        var digests: [String] = []
        for (name, environment) in [
            ("a", [:]), ("b", ["LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8", "TZ": "Asia/Tokyo"]),
        ] {
            let path = folder.path(name + ".h5")
            let outcome = try Program.run(["run", trace, "--replay", live, "-o", path], environment: environment)
            #expect(outcome.status == 0, "\(outcome.errors)")
            digests.append(try Self.digest(path))
        }
        #expect(digests[0] == digests[1])
        let (before, after) = (try Self.facts(live), try Self.facts(folder.path("a.h5")))
        #expect(Set(before.keys) == Set(after.keys) && before.count > 100)
        for (dataset, values) in before { #expect(after[dataset] == values, "\(dataset)") }
    }

    @Test func aPlanThatWasNotRecordedIsNamedOrPriced() throws {
        let folder = try Folder()
        let trace = try SmallRun.trace(folder)
        let live = folder.path("live.h5")
        #expect(try Program.run(["run", trace, "-o", live] + SmallRun.settings).status == 0)
        let changed = ["run", trace, "--replay", live, "-o", folder.path("r.h5"), "--set", "serving.token_budget=32"]
        let outcome = try Program.run(changed)
        #expect(outcome.status == 65)
        #expect(outcome.errors.contains("the recorded costs have"), "\(outcome.errors)")
        #expect(try Program.run(changed + ["--replay-missing", "price"]).status == 0)
        let arm = try Program.run(["run", trace, "--replay", live, "-o", folder.path("r.h5"), "--repeats", "2"])
        #expect(arm.status == 65 && arm.errors.contains("was recorded 1 times"), "\(arm.errors)")
        let file = try Program.run(["run", trace, "--replay", trace, "-o", folder.path("r.h5")])
        #expect(file.status == 74 && file.errors.contains("not an HDF5 file"), "\(file.errors)")
    }

    /// A measured run leaves its profile; a run on it is the same in every process and locale.
    @Test func modelledRunsHaveOneDigest() throws {
        let folder = try Folder()
        let trace = try SmallRun.trace(folder)
        let profile = try folder.file("nano.yaml", ProfileTests.nano().yaml)
        var digests: Set<String> = []
        for environment in [
            [:], [:], ["LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8"], ["LC_ALL": "C", "TZ": "Asia/Tokyo"],
        ] {
            let path = folder.path("\(digests.count)-\(environment.count).h5")
            let outcome = try Program.run(
                ["run", trace, "-o", path, "--set", "backend=\(profile)"] + SmallRun.settings, environment: environment)
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.errors.isEmpty)
            digests.insert(try Self.digest(path))
        }
        #expect(digests.count == 1)
        let other = try Program.run(
            ["run", trace, "-o", folder.path("other.h5"), "--set", "backend=\(profile)", "--seed", "1"]
                + SmallRun.settings)
        #expect(other.status == 0)
    }

    @Test func aProfileThatPromisesTheImpossibleEndsWithCode70() throws {
        let folder = try Folder()
        let trace = try SmallRun.trace(folder)
        var corrupt = ProfileTests.nano()
        corrupt.limits.flopsPerSecond = 1e6
        let profile = try folder.file("corrupt.yaml", corrupt.yaml)
        let outcome = try Program.run(
            ["run", trace, "-o", folder.path("r.h5"), "--set", "backend=\(profile)"] + SmallRun.settings)
        #expect(outcome.status == 70, "\(outcome.errors)")
        #expect(outcome.errors.contains("broken law") && outcome.errors.contains("below"), "\(outcome.errors)")
    }

    @Test(
        arguments: [("no-such-profile.yaml", 74, "can not be read"), ("trace.jsonl", 65, "trace.jsonl")]
            as [(String, Int32, String)])
    func aBadProfileIsNamed(name: String, status: Int32, part: String) throws {
        let folder = try Folder()
        let trace = try SmallRun.trace(folder)
        let outcome = try Program.run(
            ["run", trace, "-o", folder.path("r.h5"), "--set", "backend=\(name)"] + SmallRun.settings, in: folder.url)
        #expect(outcome.status == status, "\(outcome.errors)")
        #expect(outcome.errors.contains(part), "\(outcome.errors)")
    }
}
