internal import Foundation

/// Why a point failed: `ID.log` in the sweep's folder, until it succeeds.
public struct PointLog: Sendable, Equatable {
    public var message: String
    /// The exit code that the failure stands for.
    public var code: Int32

    private static let codePrefix = "exit code "

    public init(message: String, code: Int32) {
        self.message = message
        self.code = code
    }

    /// Reads a point's log; nil if there is none.
    public init?(of point: SweepPoint, in folder: SweepFolder) {
        guard let text = try? String(contentsOfFile: folder.log(of: point.id), encoding: .utf8) else { return nil }
        let lines = text.split(separator: "\n")
        let code = lines.first { $0.hasPrefix(Self.codePrefix) }.flatMap { Int32($0.dropFirst(Self.codePrefix.count)) }
        self.init(message: lines.first.map(String.init) ?? "", code: code ?? 70)
    }

    /// - Parameter origin: what ran the point, in a line.
    func write(of point: SweepPoint, _ origin: String? = nil, in folder: SweepFolder) throws(SweepError) {
        let lines =
            [message, "point \(point.id): \(point.name)", Self.codePrefix + "\(code)"] + (origin.map { [$0] } ?? [])
        try SweepFolder.write(lines.joined(separator: "\n") + "\n", to: folder.log(of: point.id))
    }
}
