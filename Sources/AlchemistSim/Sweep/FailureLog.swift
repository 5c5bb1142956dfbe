internal import Foundation
internal import Results

/// What a point that failed leaves: `ID.log`, the reason in its first line.
struct FailureLog {
    let message: String
    let point: SweepPoint
    /// When and by what command the point was run.
    let run: String
    let program: PointRecord.Program
    /// The exit code that the failure stands for.
    let code: Int32
    /// Whether the simulated memory is too small: that is the scenario's doing, and would be so again.
    let lacksMemory: Bool

    private static let codeLine = "exit code "
    private static let memoryLine = "the simulated memory is too small, as program "

    func write(to path: String) throws(SweepError) {
        var text = Self.text(message, point, code) + run + "\n"
        if lacksMemory { text += Self.memoryLine + program.sha256 + " found\n" }
        try SweepFolder.write(text, to: path)
    }

    /// Leaves no more than the reason, for a worker that is gone.
    static func write(_ message: String, of point: SweepPoint, code: Int32, to path: String) throws(SweepError) {
        try SweepFolder.write(text(message, point, code), to: path)
    }

    private static func text(_ message: String, _ point: SweepPoint, _ code: Int32) -> String {
        "\(message)\npoint \(point.id): \(point.name)\n\(codeLine)\(code)\n"
    }

    /// The exit code; that of a fault of the program if none is told.
    static func code(at path: String) -> Int32 {
        let line = lines(of: path).first { $0.hasPrefix(codeLine) }
        return line.flatMap { Int32($0.dropFirst(codeLine.count)) } ?? 70
    }

    /// The reason.
    static func message(at path: String) -> String { lines(of: path).first ?? "" }

    /// The reason, if it is that this very program found the simulated memory too small.
    static func lackOfMemory(at path: String, found program: PointRecord.Program) -> String? {
        let lines = lines(of: path)
        return lines.contains(memoryLine + program.sha256 + " found") ? lines.first : nil
    }

    private static func lines(of path: String) -> [String] {
        let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").map(String.init)
    }
}
