import Foundation
import Simulator

/// The lines of a trace as the writer writes them.
func written(_ requests: [Request]) -> [UInt8] {
    Array(requests.map { TraceWriter.line(for: $0) + "\n" }.joined().utf8)
}

/// Reads a trace from text, through a file of its own.
func readTrace(_ bytes: [UInt8], limits: TraceLimits = TraceLimits()) throws -> Trace {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("trace-\(UUID().uuidString).jsonl").path
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try TraceReader.read(path: path, limits: limits)
}

func readTrace(_ text: String, limits: TraceLimits = TraceLimits()) throws -> Trace {
    try readTrace(Array(text.utf8), limits: limits)
}
