internal import CBuildInfo
internal import Foundation

/// Where the program comes from.
public enum Build {
    public static let version = "0.1.0"
    public static let commit = String(cString: alchemist_commit())
    /// Instruction sets it was compiled for.
    public static let features = String(cString: alchemist_build_features()).trimmed
    /// An instruction set that it may use but this machine lacks.
    public static var missingFeature: String? { alchemist_missing_feature().map { String(cString: $0) } }
}

/// The machine that the program runs on.
public enum Machine {
    /// The processor as the kernel names it, with its family, model and number of cores.
    public static var processor: String {
        guard let text = try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8) else { return "unknown" }
        var fields: [String: String] = [:]
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { continue }
            fields[parts[0].trimmed, default: parts[1].trimmed] = parts[1].trimmed
        }
        let name = fields["model name"] ?? "unknown"
        guard let family = fields["cpu family"], let model = fields["model"] else { return name }
        return "\(name) (family \(family), model \(model), \(ProcessInfo.processInfo.activeProcessorCount) cores)"
    }
}
