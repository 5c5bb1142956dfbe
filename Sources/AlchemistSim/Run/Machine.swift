internal import CBuildInfo
internal import Engine
internal import Foundation
public import Simulator

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
    /// The most memory that this process has had at a time.
    public static var peakMemory: Bytes {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return Bytes(usage.ru_maxrss * 1024)
    }

    /// Memory that a process can still take, as the kernel tells, within the limit of its control group; nil where it does
    /// not tell.
    public static var availableMemory: Bytes? {
        func number(_ path: String, after prefix: String = "") -> Int? {
            guard let text = try? String(contentsOfFile: path, encoding: .utf8),
                let line = text.split(separator: "\n").first(where: { $0.hasPrefix(prefix) })
            else { return nil }
            return line.dropFirst(prefix.count).split(separator: " ").first.flatMap { Int($0) }
        }
        guard let free = number("/proc/meminfo", after: "MemAvailable:").map({ Bytes($0 * 1024) }) else { return nil }
        guard let limit = number("/sys/fs/cgroup/memory.max"), let used = number("/sys/fs/cgroup/memory.current") else {
            return free
        }
        return min(free, Bytes(max(0, limit - used)))
    }

    /// The processor as the kernel names it, with its family, model and number of cores.
    public static var processor: String {
        let processor = Processor.current
        guard processor.family > 0 else { return processor.name }
        let cores = ProcessInfo.processInfo.activeProcessorCount
        return "\(processor.name) (family \(processor.family), model \(processor.model), \(cores) cores)"
    }

    /// The same without the number of cores, of which a process may be given some.
    static var processorModel: String {
        let processor = Processor.current
        guard processor.family > 0 else { return processor.name }
        return "\(processor.name) (family \(processor.family), model \(processor.model))"
    }
}
