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

/// The known name that `name` was most likely meant to be: fewest edits, and no more than a third of its letters.
func nearest(to name: String, among known: [String]) -> String? {
    let distances = known.map { (name: $0, edits: editDistance(name, $0)) }
    guard let best = distances.min(by: { ($0.edits, $0.name) < ($1.edits, $1.name) }) else { return nil }
    return best.edits <= max(2, name.count / 3) ? best.name : nil
}

/// Levenshtein's distance: the fewest insertions, deletions and replacements that turn one text into the other.
private func editDistance(_ a: String, _ b: String) -> Int {
    let b = Array(b)
    var row = Array(0...b.count)
    for (i, character) in a.enumerated() {
        var diagonal = row[0]
        row[0] = i + 1
        for j in b.indices {
            let replaced = diagonal + (character == b[j] ? 0 : 1)
            diagonal = row[j + 1]
            row[j + 1] = min(replaced, row[j] + 1, diagonal + 1)
        }
    }
    return row[b.count]
}
