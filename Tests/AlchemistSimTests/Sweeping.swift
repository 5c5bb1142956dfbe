import Foundation

/// A small grid that tests of sweeps run, and what they look at.
enum Sweeping {
    static let grid = """
        scenario: {model: llama-3-8b, backend: a100-80g, training.staleness: any}
        trace: {generate: {requests: 8, content: counts, feedback_rate: 1}}
        axes:
          trace.rate: [1, 4]
          training.update_every: [1, 2, 4]
          seeds: 2
        constraints: [trace.rate < 4 or training.update_every > 1]
        arms: [recompute, reuse]

        """
    static let points = 10

    static func run(_ arguments: [String], meanwhile: (pid_t) -> Void = { _ in }) throws -> Program.Outcome {
        try Program.run(["sweep"] + arguments, meanwhile: meanwhile)
    }

    static func merged(_ folder: String) -> Data? {
        FileManager.default.contents(atPath: folder + "/merged.h5")
    }

    /// Names and dates of the records of whole points.
    static func records(_ folder: String) -> [String: Date] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder + "/points")) ?? []
        return Dictionary(
            uniqueKeysWithValues: names.filter { $0.hasSuffix(".point") }.map { name in
                let attributes = try? FileManager.default.attributesOfItem(atPath: folder + "/points/" + name)
                return (name, attributes?[.modificationDate] as? Date ?? .distantPast)
            })
    }
}
