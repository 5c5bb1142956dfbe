import ArgumentParser

struct TraceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trace",
        abstract: "Makes, imports, examines and checks traces.",
        subcommands: [
            GenerateCommand.self, ImportCommand.self, CutCommand.self, StatsCommand.self, TraceValidateCommand.self,
        ])
}
