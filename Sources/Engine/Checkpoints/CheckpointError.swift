internal import Glibc

/// A mistake in a checkpoint: one line that says which file, what in it, what was found and what would be right.
public struct CheckpointError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What is wrong. Text that comes from a file is already fit to be shown.
    public enum Problem: Sendable, Equatable {
        /// The file as a whole.
        case file(found: String, expected: String)
        /// No JSON, at a byte counted from 0.
        case malformed(byte: Int, expected: String)
        /// A field of a JSON file, by its dotted name.
        case field(String, found: String, expected: String)
        /// A tensor, by its name in the file.
        case tensor(String, found: String, expected: String)
        /// A call of the operating system failed with this `errno`.
        case system(action: String, code: Int32)
    }

    public var path: String
    public var problem: Problem

    init(_ path: String, _ problem: Problem) {
        self.path = path
        self.problem = problem
    }

    /// Whether a file could not be read or written at all, whatever it holds.
    public var isInputOutput: Bool {
        if case .system = problem { true } else { false }
    }

    public var description: String { "\(path.shownPath): \(problem)" }
}

extension CheckpointError.Problem: CustomStringConvertible {
    public var description: String {
        switch self {
        case .file(let found, let expected): "found \(found), expected \(expected)"
        case .malformed(let byte, let expected): "not valid JSON at byte \(byte): expected \(expected)"
        case .field(let name, let found, let expected): "field `\(name)`: found \(found), expected \(expected)"
        case .tensor(let name, let found, let expected): "tensor `\(name)`: found \(found), expected \(expected)"
        case .system(let action, let code): "cannot \(action): \(String(cString: strerror(code)))"
        }
    }
}

extension StringProtocol {
    /// The text fit for a message of one line: control and formatting characters made visible, and what goes beyond
    /// eighty characters cut.
    var shown: String { neutralised(limit: 80) }

    /// The same uncut, as a path has to be.
    var shownPath: String { neutralised(limit: .max) }

    private func neutralised(limit: Int) -> String {
        var text = ""
        for (count, scalar) in unicodeScalars.enumerated() {
            guard count < limit else { return text + "..." }
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned:
                text += "\\u{\(String(scalar.value, radix: 16))}"
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text
    }
}

extension Sequence where Element == Int {
    /// A shape as messages show it: `[3, 4]`.
    var shownShape: String { "[" + prefix(8).map(String.init).joined(separator: ", ") + "]" }
}
