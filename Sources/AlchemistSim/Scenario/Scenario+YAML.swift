internal import Foundation
internal import Yams

extension Scenario {
    /// Reads a scenario file over the defaults.
    public init(contentsOf path: String) throws(ScenarioError) {
        try self.init(yaml: try Self.text(of: path), path: path)
    }

    /// The text of a file in YAML.
    static func text(of path: String) throws(ScenarioError) -> String {
        do { return try String(contentsOfFile: path, encoding: .utf8) } catch {
            throw ScenarioError(
                origin: .file(path, line: nil), problem: "can not be read: \(error.localizedDescription)",
                isInputOutput: true)
        }
    }

    /// Reads the text of a scenario file; `path` is for messages.
    public init(yaml text: String, path: String) throws(ScenarioError) {
        self.init()
        let node: Node?
        do {
            node = try Yams.compose(yaml: text)
        } catch {
            throw Self.mistake(error, in: path)
        }
        guard let node else { return }
        try read(node, path: path)
    }

    static func mistake(_ error: any Error, in path: String) -> ScenarioError {
        let (problem, line): (String, Int?) =
            switch error {
            case YamlError.scanner(_, let problem, let mark, _), YamlError.parser(_, let problem, let mark, _),
                YamlError.composer(_, let problem, let mark, _):
                (problem, mark.line)
            case YamlError.reader(let problem, _, _, _): (problem, nil)
            case YamlError.duplicatedKeysInMapping(let keys, let context):
                ("the key `\(keys.first ?? "")` stands twice", context.mark.line)
            default: ("\(error)", nil)
            }
        return ScenarioError(origin: .file(path, line: line), problem: "not YAML: " + problem.safeExcerpt)
    }

    /// Takes the fields of a mapping.
    mutating func read(_ node: Node, path: String) throws(ScenarioError) {
        guard let mapping = node.mapping else {
            throw ScenarioError(
                origin: .file(path, line: node.mark?.line), problem: "expected fields, as in `model: mini`")
        }
        if let (what, field) = Self.otherKind(mapping) {
            throw ScenarioError(
                origin: .file(path, line: nil), problem: "is \(what), not a scenario; a scenario's `\(field)` names it")
        }
        for (key, value) in mapping where key.string == "arms" { try readArms(value, path: path) }
        for setting in try Self.settings(in: mapping, path: path, skipping: ["arms"]) {
            try set(setting.path, to: setting.value, at: .file(path, line: setting.line))
        }
    }

    /// What a file is that scenarios name, and the field that names it, by fields that no scenario has.
    private static func otherKind(_ mapping: Node.Mapping) -> (what: String, field: String)? {
        let names = Set(mapping.keys.compactMap(\.string))
        if names.isSuperset(of: ["layers", "hidden"]) { return ("a model", "model") }
        if names.isSuperset(of: ["format", "figures"]) { return ("an accelerator", "backend") }
        if names.isSuperset(of: ["format", "products"]) { return ("a hardware profile", "backend") }
        return nil
    }

    /// The leaves of nested mappings as dotted paths; a list is its items joined by commas.
    static func settings(
        in mapping: Node.Mapping, path: String, skipping skipped: Set<String> = [], prefix: String = ""
    ) throws(ScenarioError) -> [(path: String, value: String, line: Int?)] {
        var leaves: [(path: String, value: String, line: Int?)] = []
        for (key, value) in mapping {
            let origin = ScenarioError.Origin.file(path, line: key.mark?.line)
            guard let name = key.string else {
                throw ScenarioError(origin: origin, problem: "a field's name must be text")
            }
            if skipped.contains(name) { continue }
            let full = prefix + name
            switch value {
            case .mapping(let inner):
                guard ScenarioField.all.contains(where: { $0.path.hasPrefix(full + ".") }) else {
                    throw ScenarioField.unknown(full, at: origin)
                }
                leaves += try settings(in: inner, path: path, prefix: full + ".")
            case .scalar(let scalar): leaves.append((full, scalar.string, key.mark?.line))
            case .sequence(let items):
                leaves.append((full, items.map { $0.string ?? "" }.joined(separator: ","), key.mark?.line))
            case .alias: throw ScenarioError(origin: origin, field: full.safeExcerpt, problem: "aliases are not read")
            }
        }
        return leaves
    }

    // MARK: Writing

    /// The whole scenario, every default spelled out; reading it gives the same scenario.
    public var yaml: String {
        var text = ""
        var section = ""
        for field in ScenarioField.all {
            let parts = field.path.split(separator: ".")
            if parts.count == 2, parts[0] != section {
                section = String(parts[0])
                text += "\(section):\n"
            }
            let indent = parts.count == 2 ? "  " : ""
            text += "\(indent)\(parts[parts.count - 1]): \(Self.scalar(field.value(in: self)))\n"
        }
        text += "arms:\n"
        for arm in arms {
            // A standard arm brings its settings; only what follows them is written.
            let base = ArmSpecification.known.filter { arm.settings.starts(with: $0.settings) }.max {
                $0.settings.count < $1.settings.count
            }
            let own = arm.settings.dropFirst(base?.settings.count ?? 0)
            let named = base.map { $0.name == arm.name ? "" : "    arm: \($0.name)\n" } ?? ""
            text += "  \(arm.name):\(own.isEmpty && named.isEmpty ? " {}" : "")\n" + named
            for setting in own { text += "    \(setting.path): \(Self.scalar(setting.value))\n" }
        }
        return text
    }

    private static let plainCharacters = CharacterSet(charactersIn: "/._-+,()").union(.alphanumerics)

    /// A value as a YAML scalar, in quotes when it could be taken for anything else than text: a path may have spaces,
    /// colons or a `#`.
    private static func scalar(_ value: String) -> String {
        let isPlain =
            value.unicodeScalars.first.map {
                CharacterSet.alphanumerics.contains($0) || "/._".unicodeScalars.contains($0)
            }
            ?? false
        if isPlain, value.unicodeScalars.allSatisfy(plainCharacters.contains) { return value }
        var text = "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"", "\\": text += "\\\(scalar)"
            case _ where scalar.value < 0x20:
                text += "\\x" + (scalar.value < 0x10 ? "0" : "") + String(scalar.value, radix: 16)
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text + "\""
    }
}
