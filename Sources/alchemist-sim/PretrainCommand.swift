import AlchemistSim
import ArgumentParser
import Foundation
import Simulator

struct PretrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pretrain",
        abstract: "Teaches a small model a language, to start runs from.",
        discussion: """
            The model learns the synthetic language that traces are made of, and its checkpoint is written to a folder. \
            A run that starts from it, and whose text is of a language shifted from that one (content.shift, or \
            `trace generate --shift`), shows what is learned and what is forgotten. With the same settings again, the \
            checkpoint that is there is named and nothing is done.

            EXAMPLES
              alchemist-sim pretrain micro
              alchemist-sim run traces/sample.jsonl --set model=results/pretrained/... --set training.evaluate_every=10

            Exit codes: 0 done, 64 usage, 65 bad data or diverged training, 74 input or output, 130 interrupted.
            """)

    @Argument(help: "A preset.")
    var model = "micro"

    @Option(help: "Steps.")
    var steps = Pretraining.Settings().steps

    @Option(help: "Texts of one step.")
    var sequences = Pretraining.Settings().sequences

    @Option(help: "Tokens of each text.")
    var length = Pretraining.Settings().length

    @Option(help: "AdamW's learning rate at its highest.")
    var learningRate = Pretraining.Settings().learningRate

    @Option(help: "Seed of the weights and the texts.")
    var seed = Pretraining.Settings().seed

    @Option(help: "Threads; 0 takes every processor.")
    var threads = Pretraining.Settings().threads

    @Option(name: .shortAndLong, help: "The folder to write. (default: results/pretrained/ and a name by the settings)")
    var output: String?

    @Flag(help: "Print one JSON object instead of the lines.")
    var json = false

    @Flag(name: .shortAndLong, help: "Show no progress.")
    var quiet = false

    func run() throws {
        do {
            try pretrain()
        } catch {
            throw Failure(error)
        }
    }

    private func pretrain() throws {
        var settings = Pretraining.Settings()
        settings.steps = steps
        settings.sequences = sequences
        settings.length = length
        settings.learningRate = learningRate
        settings.seed = seed
        settings.threads = max(0, threads)
        let pretraining = try Pretraining(ScenarioModel(named: model), settings)
        let isShown = !quiet && Terminal.errorIsTerminal
        let start = Date()
        let report = try pretraining.run(
            to: output ?? pretraining.defaultFolder, now: { Date().timeIntervalSinceReferenceDate },
            progress: { step, loss in
                guard isShown, step % 10 == 0 else { return }
                let left = Date().timeIntervalSince(start) / Double(step) * Double(steps - step)
                Terminal.warn(
                    "\r\u{1B}[K\(step)/\(steps) steps, loss \(loss.formatted(decimals: 3)), "
                        + "\(left.formatted(decimals: 0)) s left")
            }, shouldStop: { Interrupt.isRequested })
        if isShown { Terminal.warn("\r\u{1B}[K") }
        guard let report else { throw Failure("interrupted; nothing was written", .interrupted) }
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            try Terminal.print(String(decoding: encoder.encode(report), as: UTF8.self) + "\n")
            return
        }
        let how =
            report.cached
            ? "was there already" : "\(report.tokens) tokens in \(report.seconds.formatted(decimals: 1)) s"
        try Terminal.print(
            """
            \(report.model): \(how)
            held-out loss \(report.lossBefore.formatted(decimals: 3)) -> \(report.lossAfter.formatted(decimals: 3)), \
            entropy \(report.entropy.formatted(decimals: 3))
            \(report.folder)

            """)
    }
}
