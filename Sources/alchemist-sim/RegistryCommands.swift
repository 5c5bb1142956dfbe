import AlchemistSim
import ArgumentParser
import Engine
import Foundation
import MeasuredBackend
import Results
import Simulator

struct ModelsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "models",
        abstract: "Lists the models that a scenario can name.",
        discussion: """
            A file as those of Sources/AlchemistSim/Registry/models, or a config.json of Hugging Face, can be named by its \
            path.
            """)

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        do {
            let shapes = try ModelRegistry.names.compactMap { name in
                try ModelRegistry.model(named: name).map { ModelShape($0) }
            }
            if json {
                try Terminal.print(JSONLines.text(of: shapes.map(ModelEntry.init)))
                return
            }
            let rows = shapes.map { shape in
                [
                    shape.name, "\(shape.layers)", "\(shape.hidden)", "\(shape.heads)/\(shape.kvHeads)",
                    "\(shape.intermediate)", "\(shape.vocabulary)", "\(shape.maxContext)",
                    (Double(shape.parameters) / 1e9).formatted(decimals: shape.parameters < 100_000_000 ? 5 : 2),
                ]
            }
            let header = ["model", "layers", "hidden", "heads/KV", "MLP", "vocabulary", "context", "parameters, 10^9"]
            try Terminal.print(TextTable.text(of: [header] + rows))
        } catch {
            throw Failure(error)
        }
    }
}

struct HardwareCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hardware",
        abstract: "Lists the accelerators that a scenario can name, or shows one's file.",
        discussion: """
            Figures are those of one accelerator, dense and in 16 bits. A file as those of \
            Sources/AlchemistSim/Registry/hardware can be named by its path.
            """)

    @Argument(help: "The accelerator whose whole file is shown.")
    var name: String?

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        do {
            if let name {
                try Terminal.print(Hardware(named: name, AcceleratorSetting()).yaml)
                return
            }
            let entries = try HardwareRegistry.names.compactMap { name -> HardwareEntry? in
                guard case .accelerator(let found, _) = try Hardware(named: name, AcceleratorSetting()) else {
                    return nil
                }
                return HardwareEntry(found)
            }
            if json {
                try Terminal.print(JSONLines.text(of: entries))
                return
            }
            let header = ["accelerator", "SMs", "TFLOP/s", "memory", "GB/s", "link GB/s", "constants"]
            let rows = entries.map { entry in
                [
                    entry.name, "\(entry.multiprocessors)", (entry.flopsPerSecond / 1e12).formatted(decimals: 0),
                    "\(Bytes(entry.memoryBytes))", (entry.bytesPerSecond / 1e9).formatted(decimals: 0),
                    (entry.hostLinkBytesPerSecond / 1e9).formatted(decimals: 0), entry.constants,
                ]
            }
            try Terminal.print(TextTable.text(of: [header] + rows))
        } catch {
            throw Failure(error)
        }
    }
}

private struct ModelEntry: Encodable {
    let name: String
    let layers, hidden, heads, kvHeads, headSize, intermediate, vocabulary, maxContext, parameters: Int

    init(_ shape: ModelShape) {
        name = shape.name
        layers = shape.layers
        hidden = shape.hidden
        heads = shape.heads
        kvHeads = shape.kvHeads
        headSize = shape.headSize
        intermediate = shape.intermediate
        vocabulary = shape.vocabulary
        maxContext = shape.maxContext
        parameters = shape.parameters
    }
}

private struct HardwareEntry: Encodable {
    let name: String
    let multiprocessors: Int
    let flopsPerSecond: Double
    let memoryBytes: Int
    let bytesPerSecond, hostLinkBytesPerSecond: Double
    let constants: String
    let sources: [String: String]

    init(_ accelerator: Accelerator) {
        name = accelerator.name
        multiprocessors = accelerator.figures.multiprocessors
        flopsPerSecond = accelerator.figures.flopsPerSecond
        memoryBytes = accelerator.figures.memory.count
        bytesPerSecond = accelerator.figures.bytesPerSecond
        hostLinkBytesPerSecond = accelerator.figures.hostLink
        constants = accelerator.constants.origin
        sources = accelerator.sources
    }
}

private enum JSONLines {
    /// One JSON document with names in snake case, keys in order.
    static func text(of entries: [some Encodable]) throws -> String {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(entries), as: UTF8.self) + "\n"
    }
}
