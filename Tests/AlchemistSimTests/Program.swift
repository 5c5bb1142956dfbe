import Foundation
import Testing

/// The built program, run as a user runs it.
enum Program {
    struct Outcome {
        var status: Int32
        var output: String
        var errors: String
    }

    /// The program lies beside the test bundle.
    static let path: String = {
        let bundle = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
        return bundle.appendingPathComponent("alchemist-sim").path
    }()

    /// Runs the program to its end; `meanwhile` may do something to it.
    ///
    /// - Parameters:
    ///   - directory: where it runs.
    ///   - environment: variables set on top of the tests' own.
    ///   - shell: what a shell does before it becomes the program.
    ///   - output: a descriptor for its standard output, instead of `Outcome.output`.
    static func run(
        _ arguments: [String], in directory: URL? = nil, environment: [String: String] = [:], shell: String? = nil,
        output: Int32? = nil,
        meanwhile: (pid_t) -> Void = { _ in }
    ) throws -> Outcome {
        let folder = try Folder()
        let outputPath = folder.path("output")
        let errorPath = folder.path("errors")
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        if let output {
            posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
        } else {
            posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, outputPath, O_WRONLY | O_CREAT, 0o600)
        }
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errorPath, O_WRONLY | O_CREAT, 0o600)
        let place = directory.map { ["-C", $0.path] } ?? []
        // The kernels that suit the machine, whatever the tests themselves were started with.
        let variables = environment.map { "\($0)=\($1)" }
        let before = shell.map { ["/bin/sh", "-c", $0 + "; exec \"$0\" \"$@\""] } ?? []
        let words = (["/usr/bin/env", "-u", "OPENBLAS_CORETYPE"] + place + variables + before + [path] + arguments).map
        {
            strdup($0)
        }
        defer { for word in words { free(word) } }
        var process: pid_t = 0
        let code = posix_spawn(&process, "/usr/bin/env", &actions, nil, words + [nil], environ)
        guard code == 0 else { throw POSIXError(POSIXErrorCode(rawValue: code) ?? .ENOENT) }
        meanwhile(process)
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0 && errno == EINTR {}
        let signal = status & 0x7f
        func text(_ path: String) -> String {
            String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
        }
        return Outcome(
            status: signal == 0 ? (status >> 8) & 0xff : 128 + signal, output: text(outputPath), errors: text(errorPath)
        )
    }
}

/// A folder of its own for a test, removed afterwards.
struct Folder: ~Copyable {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("alchemist-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    func file(_ name: String, _ text: String = "") throws -> String {
        let file = url.appendingPathComponent(name)
        try text.write(to: file, atomically: true, encoding: .utf8)
        return file.path
    }

    func path(_ name: String) -> String { url.appendingPathComponent(name).path }

    var names: [String] { (try? FileManager.default.contentsOfDirectory(atPath: url.path).sorted()) ?? [] }
}
