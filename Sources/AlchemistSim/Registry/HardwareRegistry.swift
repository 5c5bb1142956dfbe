public import Simulator

/// Accelerators that come with the program: the files of `Registry/hardware`, embedded in it.
public enum HardwareRegistry {
    private static let files: [(name: String, bytes: [UInt8])] = [
        ("a100-40g", PackageResources.a100_40g_yaml), ("a100-80g", PackageResources.a100_80g_yaml),
        ("a40", PackageResources.a40_yaml), ("h100", PackageResources.h100_yaml),
        ("h200", PackageResources.h200_yaml), ("l40s", PackageResources.l40s_yaml),
        ("rtx-4090", PackageResources.rtx_4090_yaml), ("rtx-pro-6000", PackageResources.rtx_pro_6000_yaml),
    ]

    /// In alphabetical order.
    public static let names = files.map(\.name)

    /// The file of that name; nil if there is none.
    public static func text(of name: String) -> String? {
        files.first { $0.name == name }.map { String(decoding: $0.bytes, as: UTF8.self) }
    }

    /// The accelerator of that name whose constants are its own; nil if there is none.
    public static func accelerator(named name: String) throws(ProfileError) -> Accelerator? {
        guard let text = text(of: name) else { return nil }
        let node = try ProfileNode(yaml: text, path: name, expected: "an accelerator")
        return try Accelerator(node, name: name) { _ throws(ProfileError) in nil }
    }
}
