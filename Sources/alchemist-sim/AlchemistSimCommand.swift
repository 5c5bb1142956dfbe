import AlchemistSim
import ArgumentParser
import Engine

@main struct AlchemistSimCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "alchemist-sim",
        abstract: "Simulates a language model that learns online while it serves.",
        discussion: """
            A trace of requests is served by a real transformer on the CPU; users' feedback is learned from at once. \
            Arms of one run show what it brings, and costs, to let the trainer reuse what serving already computed.
            """,
        version: "\(Build.version) (\(Build.commit))",
        subcommands: [
            RunCommand.self, SweepCommand.self, SearchCommand.self, TraceCommand.self, CalibrateCommand.self,
            ValidateCommand.self, VerifyCommand.self, PretrainCommand.self, PlanCommand.self, ReportCommand.self,
            ExportCommand.self, ModelsCommand.self, HardwareCommand.self,
        ])

    static func main() {
        if let feature = Build.missingFeature {
            Terminal.fail(
                "this program was built for processors with \(feature), which this machine lacks; build it here",
                .software)
        }
        Terminal.holdDescriptors()
        BLAS.reexecuteWithBestKernelsIfNeeded()
        Interrupt.install()
        SuddenEnd.install()
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let error as Failure {
            Terminal.fail(error.message, error.code)
        } catch {
            exit(withError: error)
        }
    }
}
