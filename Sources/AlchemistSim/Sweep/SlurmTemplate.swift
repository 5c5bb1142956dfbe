/// A script with placeholders: `{{name}}`.
struct SlurmTemplate {
    private let text: String
    private let path: String

    /// - Parameter path: what errors call it.
    init(_ text: String, path: String) {
        self.text = text
        self.path = path
    }

    /// Puts values in the place of placeholders, in one pass: what a value looks like does not matter. A line with a
    /// placeholder whose value is empty is left out.
    func filled(with values: [String: String], requiring required: [String]) throws(SweepError) -> String {
        var lines: [String] = []
        var used: Set<String> = []
        var leftOut: [String: (line: Int, because: String)] = [:]
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            var filled = ""
            var names: [String] = []
            for part in Self.parts(of: line) {
                guard case .placeholder(let name) = part else {
                    if case .text(let text) = part { filled += text }
                    continue
                }
                guard let value = values[name] else {
                    let hint = nearest(to: name, among: Array(values.keys)).map { "; did you mean {{\($0)}}?" } ?? ""
                    throw .template(
                        path: path, line: index + 1,
                        problem: "found {{\(name.safeExcerpt)}}, expected one of "
                            + values.keys.sorted().map { "{{\($0)}}" }.joined(separator: ", ") + hint)
                }
                names.append(name)
                filled += value
            }
            if let empty = names.first(where: { values[$0] == "" }) {
                for name in names { leftOut[name] = (index + 1, empty) }
            } else {
                used.formUnion(names)
                lines.append(filled)
            }
        }
        for name in required where !used.contains(name) {
            let reason =
                leftOut[name].map {
                    ": it stands on a line that is left out because {{\($0.because)}} stands for nothing"
                } ?? ""
            throw .template(
                path: path, line: leftOut[name]?.line,
                problem: "found no {{\(name)}}\(reason), expected "
                    + required.map { "{{\($0)}}" }.joined(separator: ", "))
        }
        return lines.joined(separator: "\n") + (lines.last == "" ? "" : "\n")
    }

    private enum Part {
        case text(Substring)
        case placeholder(String)
    }

    /// A line, cut at its placeholders. Braces that hold no name stay as they are.
    private static func parts(of line: Substring) -> [Part] {
        var parts: [Part] = []
        var rest = line
        while let open = rest.firstRange(of: "{{") {
            let tail = rest[open.upperBound...]
            guard let close = tail.firstRange(of: "}}") else { break }
            let name = tail[..<close.lowerBound]
            if name.wholeMatch(of: /[A-Za-z_]+/) != nil {
                parts += [.text(rest[..<open.lowerBound]), .placeholder(String(name))]
                rest = tail[close.upperBound...]
            } else {
                parts.append(.text(rest[..<open.upperBound]))
                rest = tail
            }
        }
        return parts + [.text(rest)]
    }
}
