public import Simulator

extension Hardware {
    /// The file that reads back as this hardware.
    public var yaml: String {
        switch self {
        case .machine(let profile): profile.yaml
        case .accelerator(let accelerator, _): accelerator.yaml
        }
    }

    /// Opens what a scenario's `backend` names: hardware of the registry, or a file.
    public init(named name: String, _ setting: AcceleratorSetting) throws(ProfileError) {
        if let text = HardwareRegistry.text(of: name) {
            try self.init(yaml: text, path: name, setting)
        } else {
            guard name.contains("/") || name.contains(".") else {
                let hint = nearest(to: name, among: HardwareRegistry.names).map { "; did you mean `\($0)`?" } ?? ""
                throw ProfileError(
                    path: name,
                    problem: "there is no such hardware, expected measured, "
                        + HardwareRegistry.names.joined(separator: ", ") + ", or the path of a file" + hint,
                    isOfName: true)
            }
            try self.init(yaml: try ProfileNode.text(of: name), path: name, setting)
        }
    }

    /// Reads the text of a profile of either kind; `path` is for messages.
    public init(yaml text: String, path: String, _ setting: AcceleratorSetting) throws(ProfileError) {
        let node = try ProfileNode(yaml: text, path: path, expected: "a profile of hardware")
        if node.scalar(at: "kind") == Accelerator.kind {
            let accelerator = try Accelerator(node, name: path) { name throws(ProfileError) in
                try HardwareRegistry.accelerator(named: name)
            }
            self = .accelerator(accelerator, setting)
        } else {
            self = .machine(try HardwareProfile(node))
        }
    }

    /// What the measured machine's profile is, if this is one.
    public var machine: HardwareProfile? { if case .machine(let profile) = self { profile } else { nil } }
}
