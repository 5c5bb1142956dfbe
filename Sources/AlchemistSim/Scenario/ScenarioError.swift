internal import Simulator

/// A mistake in a scenario: one line that says where, what was found and what would be right.
public struct ScenarioError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Where a setting came from.
    public enum Origin: Sendable, Equatable {
        case file(String, line: Int?)
        case option(String)
        case arm(String)
    }

    public var origin: Origin
    public var field: String?
    public var problem: String
    /// Whether the file could not be read at all.
    public var isInputOutput = false

    public var description: String {
        let place =
            switch origin {
            case .file(let path, let line): line.map { "\(path):\($0)" } ?? path
            case .option(let text): text
            case .arm(let name): "arm \(name)"
            }
        return place + (field.map { ": field `\($0)`" } ?? "") + ": " + problem
    }
}

extension Scenario {
    /// What is wrong with the hardware that `backend` names, with the place where it was named; nil if the name is right, and
    /// the file under it is at fault.
    public func mistake(ofBackend error: ProfileError) -> ScenarioError? {
        guard error.isOfName || error.isInputOutput else { return nil }
        return ScenarioError(
            origin: origins["backend"] ?? .option("backend"), field: "backend", problem: error.description,
            isInputOutput: error.isInputOutput)
    }
}

/// The known name that `name` was most likely meant to be: fewest edits, and no more than a third of its letters.
func nearest(to name: String, among known: [String]) -> String? {
    // What a name is the beginning of was most likely meant.
    let longer = name.count >= 3 ? known.filter { $0.hasPrefix(name) }.sorted() : []
    if !longer.isEmpty, longer.count <= 3 { return longer.joined(separator: "` or `") }
    let length = name.utf8.count
    let limit = max(2, length / 3)
    // Lengths that differ by more take more edits; a name of a megabyte is held against none.
    let distances = known.filter { abs($0.utf8.count - length) <= limit }.map {
        (name: $0, edits: editDistance(name, $0))
    }
    guard let best = distances.min(by: { ($0.edits, $0.name) < ($1.edits, $1.name) }) else { return nil }
    return best.edits <= limit ? best.name : nil
}
