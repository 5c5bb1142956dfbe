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
        for (key, value) in mapping where key.string == "arms" { try readArms(value, path: path) }
        for setting in try Self.settings(in: mapping, path: path, skipping: ["arms"]) {
            try set(setting.path, to: setting.value, at: .file(path, line: setting.line))
        }
    }

    /// `arms: [serve-only, reuse]`, or a mapping from names to what each changes, `arm` naming the one it starts from.
    mutating func readArms(_ node: Node, path: String) throws(ScenarioError) {
        var specifications: [ArmSpecification] = []
        if let names = node.sequence {
            for name in names {
                specifications.append(try Self.arm(named: name.string ?? "", at: .file(path, line: name.mark?.line)))
            }
        } else if let mapping = node.mapping {
            for (key, value) in mapping {
                let origin = ScenarioError.Origin.file(path, line: key.mark?.line)
                let name = key.string ?? ""
                guard Self.isArmName(name) else {
                    throw ScenarioError(
                        origin: origin, field: "arms",
                        problem: "found `\(name.safeExcerpt)`, expected a name of letters, digits, `-` and `_`")
                }
                var specification =
                    ArmSpecification.standard(named: name) ?? ArmSpecification(name: name, settings: [])
                let startsFromStandard =
                    !specification.settings.isEmpty || value.mapping?.contains { $0.key.string == "arm" } == true
                if let changes = value.mapping {
                    for (key, value) in changes where key.string == "arm" {
                        specification = try Self.arm(
                            named: value.string ?? "", at: .file(path, line: value.mark?.line))
                        specification.name = name
                    }
                    for setting in try Self.settings(in: changes, path: path, skipping: ["arm"]) {
                        guard !Self.isOfWholeRun(setting.path) else {
                            throw ScenarioError(
                                origin: .file(path, line: setting.line), field: setting.path,
                                problem: "belongs to the whole run, an arm can not change it")
                        }
                        var probe = self
                        try probe.set(setting.path, to: setting.value, at: .file(path, line: setting.line))
                        specification.settings.append(.init(path: setting.path, value: setting.value))
                    }
                }
                guard startsFromStandard else {
                    throw ScenarioError(
                        origin: origin, field: "arms",
                        problem: "arm `\(name)` needs `arm`, one of "
                            + ArmSpecification.known.map(\.name).joined(separator: ", ") + ", to start from")
                }
                specifications.append(specification)
            }
        }
        guard !specifications.isEmpty else {
            throw ScenarioError(
                origin: .file(path, line: node.mark?.line), field: "arms", problem: "expected at least one arm")
        }
        try replaceArms(specifications, at: .file(path, line: node.mark?.line))
    }

    /// Whether a field can not differ between arms: all serve the same model, adapters included, on the same hardware.
    private static func isOfWholeRun(_ path: String) -> Bool {
        !path.contains(".") || path == ScenarioField.adapterPath || path.hasPrefix("hardware.")
            || path.hasPrefix("metrics.") || path.hasPrefix("content.")
    }

    private static func isArmName(_ name: String) -> Bool {
        !name.isEmpty && name.count <= 64
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
    }

    private static func arm(
        named name: String, at origin: ScenarioError.Origin
    ) throws(ScenarioError) -> ArmSpecification {
        if let arm = ArmSpecification.standard(named: name) { return arm }
        let known = ArmSpecification.known.map(\.name)
        let hint = nearest(to: name, among: known).map { "; did you mean `\($0)`?" } ?? ""
        throw ScenarioError(
            origin: origin, field: "arms",
            problem: "found `\(name.safeExcerpt)`, expected one of \(known.joined(separator: ", "))" + hint)
    }

    /// Takes `specifications` for the arms of the scenario; names are unique.
    mutating func replaceArms(
        _ specifications: [ArmSpecification], at origin: ScenarioError.Origin
    ) throws(ScenarioError) {
        for (index, arm) in specifications.enumerated()
        where specifications[..<index].contains(where: { $0.name == arm.name }) {
            throw ScenarioError(origin: origin, field: "arms", problem: "arm `\(arm.name)` is there twice")
        }
        guard !specifications.isEmpty else {
            throw ScenarioError(origin: origin, field: "arms", problem: "expected at least one arm")
        }
        arms = specifications
    }

    /// Keeps the named arms, in the order given; a standard arm may be named even if the file has none of it.
    public mutating func selectArms(_ names: [String], at origin: ScenarioError.Origin) throws(ScenarioError) {
        var selected: [ArmSpecification] = []
        for name in names {
            if let arm = arms.first(where: { $0.name == name }) {
                selected.append(arm)
            } else {
                selected.append(try Self.arm(named: name, at: origin))
            }
        }
        try replaceArms(selected, at: origin)
    }

    /// The leaves of nested mappings as dotted paths; a list is its items joined by commas.
    private static func settings(
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
            case .alias: throw ScenarioError(origin: origin, field: full, problem: "aliases are not read")
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
