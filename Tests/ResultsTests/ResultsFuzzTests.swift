import Foundation
import Fuzzing
import Results
import Simulator
import Testing

/// Whatever a results file holds, reading it ends: with its contents or with one error of one line.
///
/// The library that reads HDF5 is written in C, and a file may make it end the process. So cases run in processes of their
/// own, a batch in each.
@Suite struct ResultsFuzzTests {
    static let batch = 500
    /// Every case reads some hundred datasets.
    private static let quick = 40
    private static let reader = "results"

    /// What a batch is told, by the number of the process that it is of.
    private static func order(of process: pid_t) -> String {
        FileManager.default.temporaryDirectory.path + "/alchemist-fuzzing-\(process)"
    }

    private static func content(of path: String) throws(ResultsError) -> [String: ResultsFile.Values] {
        let file = try ResultsFile(reading: path)
        _ = try file.provenance
        _ = try file.scenario
        _ = try file.status
        for arm in try file.arms {
            for name in try file.repeats(of: arm) { _ = try file.quanta(of: arm, in: name) }
        }
        _ = try file.costs
        var values: [String: ResultsFile.Values] = [:]
        for path in try file.datasets { values[path] = try file.values(at: path) }
        let digest = try file.verifyDigest()
        // What the file itself says is not as it was written.
        return digest.written == digest.found ? values : [:]
    }

    /// Reads a file that is damaged: what is returned is what is wrong with how that went.
    private static func problem(with bytes: [UInt8], _ path: String, sound: [String: ResultsFile.Values]) -> String? {
        do {
            try Data(bytes).write(to: URL(fileURLWithPath: path))
            let found = try content(of: path)
            let changed = found.filter { sound[$0.key] != $0.value }.keys.filter(isDigested)
            return changed.isEmpty ? nil : "\(changed.sorted()) read as sound, but they differ"
        } catch let error as ResultsError {
            let line = "\(error)"
            let isPlain = line.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control }
            return isPlain ? nil : "an error with control characters: \(line.debugDescription)"
        } catch {
            return "an error of another kind: \(error)"
        }
    }

    /// The digest is over figures, not over where they come from.
    private static func isDigested(_ path: String) -> Bool {
        ["/trace/", "/costs/", "/arms/", "/comparison/", "/paired/"].contains { path.hasPrefix($0) }
    }

    /// Reads some cases, as the order of the parent says; the process ends well if all of that did.
    @Sendable private static func readBatch() async throws {
        let words = try String(contentsOfFile: order(of: getppid()), encoding: .utf8).split(separator: " ")
        guard words.count == 3, let seed = UInt64(words[0]), let count = Int(words[1]) else { exit(2) }
        let path = String(words[2]) + "-case.h5"
        let source = String(words[2]) + ".h5"
        let sound = [UInt8](try Data(contentsOf: URL(fileURLWithPath: source)))
        let values = try content(of: source)
        var generator = FuzzingGenerator(seed: seed)
        for _ in 0..<count {
            let bytes = Fuzzing.damaged(sound, &generator)
            if let problem = Fuzzing.attempt(reader, bytes, { problem(with: bytes, path, sound: values) }) {
                try problem.write(toFile: path + ".problem", atomically: true, encoding: .utf8)
                exit(1)
            }
        }
    }

    @Test(.timeLimit(.minutes(Fuzzing.minutes))) func readingEnds() async throws {
        let folder = try TemporaryDirectory()
        let writer = try ResultsWriter(creating: folder.file("sound.h5"))
        let result = Fixture.run()
        try writer.write(result, report: RunReport(result))
        let order = Self.order(of: getpid())
        defer { unlink(order) }
        let cases = Fuzzing.cases(Self.quick)
        for start in stride(from: 0, to: cases, by: Self.batch) {
            try "\(start) \(min(Self.batch, cases - start)) \(folder.file("sound"))".write(
                toFile: order, atomically: true, encoding: .utf8)
            await #expect(processExitsWith: .success, "cases from \(start) on") { try await Self.readBatch() }
            if let problem = try? String(contentsOfFile: folder.file("sound-case.h5.problem"), encoding: .utf8) {
                Issue.record("\(problem)")
                break
            }
        }
    }

    @Test func theCorpusEnds() throws {
        let folder = try TemporaryDirectory()
        for (name, bytes) in Fuzzing.corpus(Self.reader) {
            let problem = Self.problem(with: bytes, folder.file("case.h5"), sound: [:])
            #expect(problem == nil, "\(name)")
        }
    }
}
