import ArgumentParser
import CBuildInfo
import Engine
import Foundation

@main struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "alchemist-bench",
        abstract: "Measures the engine against the limits of this machine.",
        discussion: """
            Every figure is a median over rounds. Fractions are of a limit measured before and after each round: of a \
            2048-cubed matrix product's rate, or, for decoding, of the rate at which all threads read memory.

            EXAMPLES
              alchemist-bench --filter 'lora step smollm2-135m' --rounds 7
              alchemist-bench --json results/bench.json
            """)

    @Option(name: .shortAndLong, help: "Run only benchmarks whose name begins with this; may be given again.")
    var filter: [String] = []

    @Option(name: .shortAndLong, help: "Rounds of each benchmark.")
    var rounds = 5

    @Option(help: "Threads; 0 takes every processor.")
    var threads = 0

    @Option(help: "Presets to measure, separated by commas.")
    var models = "mini,smollm2-135m"

    @Option(help: "Where the figures go as JSON: [{name, value, unit, limit_fraction}].")
    var json: String?

    @Flag(help: "Name the benchmarks and run none.")
    var list = false

    func validate() throws {
        if rounds < 1 { throw ValidationError("--rounds \(rounds): expected at least 1") }
        if threads < 0 { throw ValidationError("--threads \(threads): expected 0 or more") }
    }

    static func main() {
        if let feature = alchemist_missing_feature() {
            FileHandle.standardError.write(
                Data("alchemist-bench: built for processors with \(String(cString: feature)); build it here\n".utf8))
            Foundation.exit(70)
        }
        BLAS.reexecuteWithBestKernelsIfNeeded()
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch {
            exit(withError: error)
        }
    }

    mutating func run() throws {
        let configs = try models.split(separator: ",").map { name in
            guard let config = ModelConfig.preset(String(name)) else {
                let known = ModelConfig.presets.map(\.name).joined(separator: ", ")
                throw ValidationError("--models \(name): expected some of \(known)")
            }
            return config
        }
        let chosen = Catalogue(configs).entries.filter { entry in
            filter.isEmpty || filter.contains { entry.name.hasPrefix($0) }
        }
        guard !chosen.isEmpty else { throw ValidationError("--filter: no benchmark has such a name; see --list") }
        if list {
            for entry in chosen { print(entry.name) }
            return
        }
        let bench = Bench(threads: threads > 0 ? threads : ThreadPool.processorCount, rounds: rounds)
        var report = BenchReport()
        for entry in chosen {
            for figure in entry.run(bench) { report.add(figure) }
        }
        if let json { try report.write(to: json) }
    }
}
