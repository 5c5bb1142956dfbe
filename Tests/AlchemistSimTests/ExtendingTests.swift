import Foundation
import Testing

/// The worked examples of docs/extending.md: its files are written and its commands run as they stand there.
@Suite struct ExtendingTests {
    @Test func examplesRun() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let text = try String(contentsOf: root.appendingPathComponent("docs/extending.md"), encoding: .utf8)
        let folder = try Folder()
        var commands = 0
        for block in text.matches(of: /(?s)\n```(\w+)\n(.*?)\n```\n/) {
            let content = String(block.2)
            if block.1 == "yaml" {
                let name = try #require(content.firstMatch(of: /^# file: ([\w.-]+)\n/)).1
                _ = try folder.file(String(name), content + "\n")
            } else if block.1 == "console" {
                for line in content.split(separator: "\n") where line.hasPrefix("$ alchemist-sim ") {
                    let outcome = try Program.run(
                        line.dropFirst("$ alchemist-sim ".count).split(separator: " ").map(String.init), in: folder.url)
                    #expect(outcome.status == 0, "\(line): \(outcome.errors)")
                    commands += 1
                }
            }
        }
        #expect(commands == 4)
        for name in ["small.h5", "half.h5", "baselines.h5"] { #expect(folder.names.contains(name)) }
    }
}
