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
    static let batch = 2000
    /// Every case reads some hundred datasets.
    private static let quick = 400
    private static let reader = "results"
    /// One case in so many damages a file of several arms; the others damage a small one of a single arm.
    private static let wholeShare = 20

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
            let changed = found.filter { !isSame($0.value, sound[$0.key]) }.keys.filter(isDigested)
            return changed.isEmpty ? nil : "\(changed.sorted()) read as sound, but they differ"
        } catch let error as ResultsError {
            let line = "\(error)"
            let isPlain = line.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control }
            return isPlain ? nil : "an error with control characters: \(line.debugDescription)"
        } catch {
            return "an error of another kind: \(error)"
        }
    }

    /// Bit by bit: what is missing is no number, and equals nothing.
    private static func isSame(_ a: ResultsFile.Values, _ b: ResultsFile.Values?) -> Bool {
        if case .float64(let a) = a, case .float64(let b) = b { return a.map(\.bitPattern) == b.map(\.bitPattern) }
        return a == b
    }

    /// The digest is over figures, not over where they come from.
    private static func isDigested(_ path: String) -> Bool {
        ["/trace/", "/costs/", "/arms/", "/comparison/", "/paired/"].contains { path.hasPrefix($0) }
    }

    /// A file of one arm, which has every kind of table, and one of three and their comparison.
    private static func write(to folder: borrowing TemporaryDirectory) throws {
        var result = Fixture.run()
        try ResultsWriter(creating: folder.file("whole.h5")).write(result, report: RunReport(result))
        result.arms = result.arms.suffix(1)
        result.comparisons = []
        try ResultsWriter(creating: folder.file("arm.h5")).write(result, report: RunReport(result))
    }

    /// Reads some cases, as the order of the parent says; the process ends well if all of that did.
    @Sendable private static func readBatch() async throws {
        let words = try String(contentsOfFile: order(of: getppid()), encoding: .utf8).split(separator: " ")
        guard words.count == 3, let seed = UInt64(words[0]), let count = Int(words[1]) else { exit(2) }
        let folder = String(words[2])
        let sources = try ["whole.h5", "arm.h5"].map { name in
            (
                bytes: [UInt8](try Data(contentsOf: URL(fileURLWithPath: folder + "/" + name))),
                values: try content(of: folder + "/" + name)
            )
        }
        for source in sources {
            // A sound file is read as such, or no case would show anything.
            guard problem(with: source.bytes, folder + "/case.h5", sound: source.values) == nil,
                source.values.count > 20
            else { exit(3) }
        }
        var generator = FuzzingGenerator(seed: seed)
        for _ in 0..<count {
            let source = sources[generator.below(wholeShare) == 0 ? 0 : 1]
            let bytes = Fuzzing.damaged(source.bytes, &generator)
            let found = Fuzzing.attempt(reader, bytes) {
                problem(with: bytes, folder + "/case.h5", sound: source.values)
            }
            if let found {
                try found.write(toFile: folder + "/problem", atomically: true, encoding: .utf8)
                exit(1)
            }
        }
    }

    @Test(.timeLimit(.minutes(Fuzzing.minutes))) func readingEnds() async throws {
        let folder = try TemporaryDirectory()
        try Self.write(to: folder)
        let order = Self.order(of: getpid())
        defer { unlink(order) }
        let cases = Fuzzing.cases(Self.quick)
        for start in stride(from: 0, to: cases, by: Self.batch) {
            try "\(start) \(min(Self.batch, cases - start)) \(folder.path)".write(
                toFile: order, atomically: true, encoding: .utf8)
            await #expect(processExitsWith: .success, "cases from \(start) on") { try await Self.readBatch() }
            if let problem = try? String(contentsOfFile: folder.file("problem"), encoding: .utf8) {
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
