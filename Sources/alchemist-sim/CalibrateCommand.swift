import AlchemistSim
import ArgumentParser
import Engine
import Foundation
import Simulator

struct CalibrateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "calibrate",
        abstract: "Measures what work costs on this machine and writes its profile.",
        discussion: """
            The profile is measured with the sizes of one model and one way of tuning; other sizes are priced between \
            and beyond them. Nothing else should run meanwhile.

            EXAMPLES
              alchemist-sim calibrate -o profiles/here.yaml
              alchemist-sim run traces/sample.jsonl --set backend=profiles/here.yaml
            """)

    @Option(name: .shortAndLong, help: "The file to write; standard output if there is none.")
    var output: String?

    @Option(help: "The preset or checkpoint whose sizes are measured. (default: that of the scenario)")
    var model: String?

    @Option(help: "Threads of the engine; 0 takes every processor. (default: that of the scenario)")
    var threads: Int?

    @OptionGroup var settings: ScenarioOptions

    @Flag(name: .shortAndLong, help: "Show no progress.")
    var quiet = false

    func run() throws {
        do {
            var scenario = try settings.resolved()
            if let model { try scenario.set("model", to: model, at: .option("--model")) }
            if let threads { try scenario.set("threads", to: "\(threads)", at: .option("--threads")) }
            if let warning = BLAS.narrowKernelWarning { Terminal.warn("alchemist-sim: \(warning)\n") }
            let start = Date()
            let isShown = !quiet && Terminal.errorIsTerminal
            let calibration = try MachineCalibration(scenario, model: ScenarioModel(of: scenario))
            let profile = try calibration.run(date: start.ISO8601Format()) { share in
                if isShown { Terminal.warn("\r\u{1B}[Kcalibrating: \((100 * share).formatted(decimals: 0)) %") }
            }
            if isShown { Terminal.warn("\r\u{1B}[K") }
            guard let output else {
                try Terminal.print(profile.yaml)
                return
            }
            try write(profile.yaml, to: output)
            let spreads = profile.spreads
            try Terminal.print(
                "\(spreads.points) points in \(Date().timeIntervalSince(start).formatted(decimals: 0)) s; spread: median "
                    + "\((100 * spreads.median).formatted(decimals: 1)) %, largest "
                    + "\((100 * spreads.largest).formatted(decimals: 0)) %\nwritten to \(output)\n")
        } catch {
            throw Failure(error)
        }
    }

    private func write(_ text: String, to path: String) throws {
        let url = URL(fileURLWithPath: path)
        do {
            try FileManager.default.createDirectory(
                at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try text.write(to: url, atomically: true, encoding: .utf8)
        } catch {
            throw Failure("\(path): can not be written: \(error.localizedDescription)", .inputOutput)
        }
    }
}
