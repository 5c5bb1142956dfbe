internal import Engine
internal import Foundation

/// Models that can be named in a scenario.
public enum Presets {
    public static let names = ModelConfig.presets.map(\.name)

    /// Whether a name that is no preset's is meant as a checkpoint's folder: it has a slash, or there is one.
    static func isFolder(_ name: String) -> Bool {
        var isDirectory: ObjCBool = false
        return name.contains("/")
            || FileManager.default.fileExists(atPath: name, isDirectory: &isDirectory) && isDirectory.boolValue
    }
}
