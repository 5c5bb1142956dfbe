import Foundation
import Testing

/// What `--help` says of every command, held against the texts in `Help/`: a change of the command line is seen as one.
///
/// `ALCHEMIST_UPDATE=1` writes the texts anew.
@Suite(.serialized) struct HelpTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("Help")

    /// The part of the command line's own description that names commands.
    private struct Description: Decodable {
        struct Command: Decodable {
            var commandName: String
            var shouldDisplay: Bool?
            var subcommands: [Command]?

            /// Its path and those of all below it.
            func paths(below parent: [String]) -> [[String]] {
                let path = parent + [commandName]
                return [path]
                    + (subcommands ?? []).filter { $0.commandName != "help" }.flatMap { $0.paths(below: path) }
            }
        }

        var command: Command
    }

    private static func commands() throws -> [[String]] {
        let dump = try Program.run(["--experimental-dump-help"])
        let description = try JSONDecoder().decode(Description.self, from: Data(dump.output.utf8))
        return description.command.paths(below: []).map { Array($0.dropFirst()) }
    }

    @Test func everyCommandSaysWhatIsCommitted() throws {
        let commands = try Self.commands()
        #expect(commands.count >= 15)
        let updates = ProcessInfo.processInfo.environment["ALCHEMIST_UPDATE"] != nil
        var names: Set<String> = []
        for command in commands {
            let name = (["alchemist-sim"] + command).joined(separator: "-") + ".txt"
            names.insert(name)
            let help = try Program.run(command + ["--help"], environment: ["COLUMNS": "80"])
            #expect(help.status == 0 && help.errors.isEmpty)
            let file = Self.folder.appendingPathComponent(name)
            if updates {
                try help.output.write(to: file, atomically: true, encoding: .utf8)
            } else {
                let committed = try? String(contentsOf: file, encoding: .utf8)
                #expect(help.output == committed, "ALCHEMIST_UPDATE=1 writes Help/\(name) anew")
            }
        }
        let files = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path)
        #expect(Set(files) == names, "a text without a command, or a command without a text")
    }

    @Test func everyCommandThatRunsSomethingHasExamples() throws {
        for command in try Self.commands() where !["", "trace", "models", "hardware"].contains(command.first ?? "") {
            let help = try Program.run(command + ["--help"]).output
            #expect(help.contains("EXAMPLES") && help.contains("  alchemist-sim \(command[0])"), "\(command)")
        }
    }
}
