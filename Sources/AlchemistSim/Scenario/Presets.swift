internal import Engine
internal import Foundation

/// Models that can be named in a scenario.
public enum Presets {
    public static let names = ModelRegistry.names

    /// What would be right instead of a name that is unknown.
    static func expected(for name: String) -> String {
        "a model that `alchemist-sim models` lists, or the path of a folder, a config.json or a file in YAML"
            + (nearest(to: name, among: names).map { "; did you mean `\($0)`?" } ?? "")
    }

    /// Whether a name that is no model's is meant as a path: it has a slash, ends as a file that describes a model does, or
    /// names a folder.
    static func isPath(_ name: String) -> Bool {
        name.contains("/") || isDescription(name) || isFolder(name)
    }

    /// Whether a path is that of a file that describes a model and holds no values.
    static func isDescription(_ path: String) -> Bool {
        path.hasSuffix(".json") || path.hasSuffix(".yaml") || path.hasSuffix(".yml")
    }

    private static func isFolder(_ path: String) -> Bool {
        var isDirectory: ObjCBool = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) && isDirectory.boolValue
    }

    /// Whether a folder holds a `config.json` and no values.
    static func hasConfigurationOnly(_ folder: String) -> Bool {
        guard let files = try? FileManager.default.contentsOfDirectory(atPath: folder) else { return false }
        return files.contains("config.json") && !files.contains { $0.hasSuffix(".safetensors") }
            && !files.contains("model.safetensors.index.json")
    }
}
