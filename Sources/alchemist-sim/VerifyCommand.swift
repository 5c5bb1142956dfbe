import AlchemistSim
public import ArgumentParser
import Engine

struct VerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Checks on a model that training on records equals recomputing.",
        discussion: """
            Serves a random prompt in chunks and records it, then computes a step's loss and gradients twice: from the \
            records, and from scratch. Each tensor's gradient must agree within 1e-5 of its norm.

            EXAMPLES
              alchemist-sim verify smollm2-135m
              alchemist-sim verify ./SmolLM2-135M --tuning full --length 512 --chunk 100

            Exit codes: 0 the law holds, 64 usage, 65 bad data, 70 a broken law, 74 input or output, \
            75 too little memory.
            """)

    @Argument(help: "A preset, or the folder of a checkpoint.")
    var model: String

    @Option(help: "Tokens of the sample; seven of eight are its prompt. (default: 256, or the model's context)")
    var length: Int?

    @Option(help: "Tokens of one prefill chunk.")
    var chunk = Verification.Options().chunk

    @Option(help: "What the step trains.")
    var tuning = Verification.Options().tuning

    @Option(help: "Seed of the tokens, of a preset's weights and of the adapters.")
    var seed = Verification.Options().seed

    @Option(help: "Threads; 0 takes every processor.")
    var threads = Verification.Options().threads

    @Flag(help: "Print one JSON object instead of the table.")
    var json = false

    func run() throws {
        do {
            Interrupt.endAtOnce()
            let model = try ScenarioModel(named: model)
            var options = Verification.Options()
            options.length = length ?? min(options.length, model.config.maxContext)
            options.chunk = chunk
            options.tuning = tuning
            options.seed = seed
            options.threads = max(0, threads)
            let report = try Verification(model, options).run()
            try Terminal.print(json ? String(decoding: report.json(), as: UTF8.self) + "\n" : report.table())
            guard report.holds else { throw Failure("broken law: reuse does not equal recomputing", .software) }
        } catch {
            throw Failure(error)
        }
    }
}

extension VerificationTuning: ExpressibleByArgument {}
