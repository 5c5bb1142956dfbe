import Foundation
import Results
import Simulator
import Testing

@Suite("Results appear whole or not at all")
struct AtomicityTests {
    private var refused: RunResult {
        var run = Fixture.run()
        run.arms[1].name = "reuse"
        return run
    }

    @Test("while it is written, a file has a name that tells what it is")
    func temporaryName() throws {
        let directory = try TemporaryDirectory()
        let writer = try ResultsWriter(creating: directory.file("run.h5"))
        #expect(try directory.contents == [".run.h5.partial-\(StagedFile.writer)"])
        #expect(StagedFile.writer.hasSuffix("-\(ProcessInfo.processInfo.processIdentifier)"))
        #expect(StagedFile.writer.hasPrefix(ProcessInfo.processInfo.hostName.prefix { $0 != "." }))
        try writer.write(Fixture.run(), report: RunReport(Fixture.run()))
        #expect(try directory.contents == ["run.h5"])
    }

    @Test("a writer that is given up leaves nothing")
    func givenUp() throws {
        let directory = try TemporaryDirectory()
        do { _ = try ResultsWriter(creating: directory.file("run.h5")) }
        #expect(try directory.contents == [])
    }

    @Test("an error leaves the file that was there, and nothing else")
    func failing() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("run.h5")
        try Fixture.run().write(to: path)
        let before = try Data(contentsOf: URL(fileURLWithPath: path))
        let report = try RunReport(Fixture.run())
        let error = failure(ResultsError.self) { try ResultsWriter(creating: path).write(refused, report: report) }
        #expect(error == .duplicateArm("reuse"))
        #expect(try directory.contents == ["run.h5"])
        #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == before)
    }

    @Test("a failure at the very end leaves no temporary")
    func failingRename() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("run.h5")
        let run = Fixture.run()
        let report = try RunReport(run)
        let error = failure(ResultsError.self) {
            let writer = try ResultsWriter(creating: path)
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
            try writer.write(run, report: report)
        }
        #expect(error == .system(action: "give the finished file this name", path: path, code: EISDIR))
        #expect(try directory.contents == ["run.h5"])
    }

    @Test("a new file takes the place of an old one")
    func replacing() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("run.h5")
        try Fixture.run(repeats: 2).write(to: path)
        try Fixture.run(repeats: 1).write(to: path)
        #expect(try ResultsFile(reading: path).repeats(of: "reuse") == ["repeat_000"])
    }

    @Test("a link stays a link, and what it points to is replaced")
    func link() throws {
        let directory = try TemporaryDirectory()
        let (target, link) = (directory.file("target.h5"), directory.file("link.h5"))
        try Fixture.run().write(to: target)
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: target)
        try Fixture.run(repeats: 2).write(to: link)
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == target)
        #expect(try ResultsFile(reading: target).repeats(of: "reuse").count == 2)
    }

    @Test("missing directories are made")
    func directories() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("a/b/run.h5")
        try Fixture.run().write(to: path)
        #expect(try ResultsFile(reading: path).status == .complete)
    }

    @Test("what is no file is not replaced")
    func notAFile() throws {
        let directory = try TemporaryDirectory()
        for path in [directory.path, directory.file("new/"), "/dev/null", ""] {
            let error = failure(ResultsError.self) { try ResultsWriter(creating: path) }
            #expect(error == .notRegularFile(path: path))
        }
        #expect(try directory.contents == [])
    }

    @Test("a file where a directory should be is an error with its path")
    func fileAsDirectory() throws {
        let directory = try TemporaryDirectory()
        try Fixture.run().write(to: directory.file("run.h5"))
        let error = failure(ResultsError.self) { try ResultsWriter(creating: directory.file("run.h5/x/y.h5")) }
        #expect(
            error?.description == "\(directory.file("run.h5/x")): cannot make this directory: Not a directory")
    }

    @Test("a directory that can not be written to is an error before the run", .enabled(if: geteuid() != 0))
    func readOnly() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("fixed")
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o555])
        let error = try #require(failure(ResultsError.self) { try ResultsWriter(creating: path + "/run.h5") })
        #expect(error.description.contains("Permission denied"))
    }

    @Test("arms need names that a group can have", arguments: ["", ".", "..", "a/b", "a\0b", "/\u{301}"])
    func names(name: String) throws {
        var run = Fixture.run()
        run.arms[0].name = name
        #expect(failure(ResultsError.self) { try RunReport(run) } == .unusableArmName(name))
    }

    @Test("an HDF5 file of another kind and one of another schema are told apart")
    func foreign() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("foreign.h5")
        try HDF5File(creating: path).close()
        #expect(failure(ResultsError.self) { try ResultsFile(reading: path) } == .notResults(path: path))
        let file = try HDF5File(creating: path)
        try file.setAttribute("schema_version", of: "/", to: .int64(99))
        try file.close()
        let error = failure(ResultsError.self) { try ResultsFile(reading: path) }
        #expect(error == .unsupportedSchema(path: path, found: 99, supported: 1))
    }
}
