internal import Simulator
internal import Yams

/// The arms of a scenario: how they are read, chosen and changed.
extension Scenario {
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
                        let origin = ScenarioError.Origin.file(path, line: setting.line)
                        try requireOfArm(setting.path, named: setting.path, at: origin)
                        var probe = self
                        try probe.setField(setting.path, to: setting.value, at: origin)
                        specification.settings.append(.init(path: setting.path, value: setting.value, origin: origin))
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

    /// Refuses a field that arms can not differ in; `path` is how it was written.
    private func requireOfArm(
        _ field: String, named path: String, at origin: ScenarioError.Origin
    ) throws(ScenarioError) {
        guard Self.isOfWholeRun(field), ScenarioField.all.contains(where: { $0.path == field }) else { return }
        throw ScenarioError(
            origin: origin, field: path, problem: "belongs to the whole run, an arm can not change it")
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

    // MARK: Changing one arm

    /// Sets `arms.NAME.FIELD`, an arm's own.
    mutating func setOfArm(
        _ path: String, to value: String, at origin: ScenarioError.Origin
    ) throws(ScenarioError) {
        let parts = path.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 3, let index = arms.firstIndex(where: { $0.name == parts[1] }) else {
            throw ScenarioError(
                origin: origin, field: path.safeExcerpt,
                problem: "expected \(ArmSpecification.prefix)NAME.FIELD with one of this scenario's arms, "
                    + arms.map(\.name).joined(separator: ", "))
        }
        let field = parts[2]
        try requireOfArm(field, named: path, at: origin)
        var probe = self
        try probe.setField(field, to: value, at: origin)
        arms[index].set(.init(path: field, value: value, origin: origin))
    }

    /// Refuses a field of the arms' common settings that every arm, of those that it could change anything in, sets itself.
    ///
    /// - Throws: `ScenarioError` that says where they do, and how to reach them.
    public func requireEffect(of field: String, at origin: ScenarioError.Origin) throws(ScenarioError) {
        guard !field.hasPrefix(ArmSpecification.prefix), let arms = armsThatAllSet(field) else { return }
        let places = arms.map { arm, place in
            switch place {
            case .file(let path, let line): "\(arm) at \(path)" + (line.map { ":\($0)" } ?? "")
            case .option(let option): "\(arm) by \(option)"
            case .arm, nil: "\(arm) by its definition"
            }
        }
        throw ScenarioError(
            origin: origin, field: field,
            problem:
                "every arm sets this field itself (\(places.joined(separator: ", "))), so this would change nothing; "
                + "expected \(ArmSpecification.prefix)NAME.\(field), as in \(ArmSpecification.prefix)\(arms[0].arm).\(field)"
        )
    }

    /// Who sets a field itself, and where, if every arm does that it could change anything in; nil if one does not.
    private func armsThatAllSet(
        _ field: String
    ) -> [(arm: String, place: ScenarioError.Origin?)]? {
        let concerned = arms.filter { concerns(field, $0) }
        let found = concerned.compactMap { arm in
            arm.settings.last { $0.path == field }.map { (arm: arm.name, place: $0.origin) }
        }
        return found.isEmpty || found.count < concerned.count ? nil : found
    }

    /// Whether a field can make a difference to an arm: an arm that trains nothing, or records nothing, ignores how.
    private func concerns(_ field: String, _ arm: ArmSpecification) -> Bool {
        if arm.settings.contains(where: { $0.path == field }) { return true }
        guard let configuration = try? configuration(of: arm) else { return true }
        if field.hasPrefix("training."), field != "training.enabled" { return configuration.training.enabled }
        if field.hasPrefix("recording."), field != "recording.record" { return configuration.recording.scope != .none }
        return true
    }
}

extension ArmSpecification {
    /// What stands before the name of an arm whose own field is set.
    static let prefix = "arms."

    /// Makes a setting the last word on its field. What makes an arm a standard one stays in its place before it.
    mutating func set(_ setting: Setting) {
        let standard = Self.known.filter { settings.starts(with: $0.settings) }.map(\.settings.count).max() ?? 0
        if let index = settings.lastIndex(where: { $0.path == setting.path }), index >= standard {
            settings[index] = setting
        } else {
            settings.append(setting)
        }
    }
}
