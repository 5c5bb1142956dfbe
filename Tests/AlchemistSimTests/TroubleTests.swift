import AlchemistSim
import Crypto
import Foundation
import Results
import Simulator
import Testing

/// What the machine can do to a run: too little memory, closed streams, a trace that somebody writes to.
@Suite(.serialized) struct TroubleTests {
    private static let small = ["--arms", "serve-only,reuse", "--set", "model=nano", "--quiet"]
    /// Takes no time to speak of.
    private static let priced = ["--set", "backend=a100-80g", "--set", "model=llama-3-8b"]

    private static func trace(_ folder: borrowing Folder, _ name: String = "trace.jsonl", seed: UInt64 = 1) throws
        -> String
    {
        var options = TraceGeneratorOptions()
        options.requests = 20
        options.scale = 0.1
        options.maxContext = 160
        options.language.vocabulary = 512
        options.arrivals = .poisson(rate: 100)
        options.seed = seed
        options.feedback = TraceGeneratorOptions.FeedbackModel(rate: 0.8, meanDelay: 0.02)
        let path = folder.path(name)
        try TraceWriter.write(TraceGenerator(options).generate(), to: path)
        return path
    }

    /// Address space that does not do to load the program's libraries, to multiply matrices, or to hold what is trained on.
    @Test(.timeLimit(.minutes(5)), arguments: [100, 250, 450])
    func memoryThatRunsOutLeavesEarlierResultsAlone(mebibytes: Int) throws {
        let folder = try Folder()
        let trace = try Self.trace(folder)
        let arguments = ["run", trace, "-o", folder.path("r.h5")] + Self.small
        #expect(try Program.run(arguments + Self.priced).status == 0)
        let before = FileManager.default.contents(atPath: folder.path("r.h5"))
        // A run that waits for memory, or asks for it again and again, is ended by its processor time.
        let outcome = try Program.run(
            arguments, environment: ["SWIFT_BACKTRACE": "enable=no"],
            shell: "ulimit -c 0; ulimit -t 30; ulimit -v \(mebibytes << 10)")
        if mebibytes == 100 {
            #expect(outcome.status != 0 && !outcome.errors.isEmpty)
        } else {
            #expect(outcome.status == 74 && outcome.errors.contains("the system does not give"), "\(outcome)")
            #expect(outcome.errors.split(separator: "\n").count == 1)
        }
        #expect(FileManager.default.contents(atPath: folder.path("r.h5")) == before)
        #expect(folder.names == ["r.h5", "trace.jsonl"])
    }

    @Test(arguments: [">&-", "2>&-", "<&-", "<&- >&-", "<&- >&- 2>&-"])
    func closedStreamsAreNoPlaceForFiles(closing: String) throws {
        let folder = try Folder()
        let trace = try Self.trace(folder)
        let text = FileManager.default.contents(atPath: trace)
        let outcome = try Program.run(
            ["run", trace, "-o", folder.path("r.h5")] + Self.small + Self.priced, shell: "exec \(closing)")
        #expect(outcome.status == (closing.contains(">&-") && !closing.hasPrefix("2") ? 74 : 0))
        let file = try ResultsFile(reading: folder.path("r.h5"))
        #expect(try file.status == .complete)
        let digest = try file.verifyDigest()
        #expect(digest.written == digest.found)
        #expect(FileManager.default.contents(atPath: trace) == text)
        #expect(folder.names == ["r.h5", "trace.jsonl"])
    }

    @Test func aTraceThatChangesDuringTheRunIsTheOneThatWasRead() throws {
        let folder = try Folder()
        let trace = try Self.trace(folder)
        let other = try Self.trace(folder, "other.jsonl", seed: 2)
        let requests = try TraceReader.read(path: trace)
        let hash = SHA256.hash(data: FileManager.default.contents(atPath: trace) ?? Data())
        let outcome = try Program.run(
            ["run", trace, "-o", folder.path("r.h5"), "--arms", "serve-only", "--set", "model=nano", "--quiet"],
            meanwhile: { _ in
                for _ in 0..<3000 where !folder.names.contains(where: { $0.contains("partial") }) { usleep(5000) }
                // In place, as an editor or a logger does.
                guard let handle = FileHandle(forWritingAtPath: trace) else { return }
                try? handle.truncate(atOffset: 0)
                try? handle.write(contentsOf: FileManager.default.contents(atPath: other) ?? Data())
                try? handle.close()
            })
        #expect(outcome.status == 0, "\(outcome.errors)")
        let file = try ResultsFile(reading: folder.path("r.h5"))
        #expect(try file.attribute("trace_sha256", of: "/") == hash.map { String(format: "%02x", $0) }.joined())
        #expect(try file.values(at: "/trace/id") == .text(requests.requests.map(\.id)))
    }
}
