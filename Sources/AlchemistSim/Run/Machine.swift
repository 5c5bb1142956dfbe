internal import CBuildInfo
internal import Engine
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
        let processor = Processor.current
        guard processor.family > 0 else { return processor.name }
        let cores = ProcessInfo.processInfo.activeProcessorCount
        return "\(processor.name) (family \(processor.family), model \(processor.model), \(cores) cores)"
    }
}
