internal import Glibc

/// The processor that the program runs on, as far as the choice of kernels depends on it.
public struct Processor: Sendable, Equatable {
    /// How many floats its arithmetic units take at a time.
    package enum VectorUnits: Sendable {
        /// 512 bits at a time.
        case wide
        /// 256 bits at a time, AVX-512 instructions in two halves if it has them.
        case narrow
        /// Neither, or not known.
        case other
    }

    /// As CPUID spells it: "GenuineIntel", "AuthenticAMD", ...
    public var vendor: String
    public var name: String
    public var family: Int
    public var model: Int
    /// Instruction sets as Linux names them.
    public var features: Set<String>

    /// What `/proc/cpuinfo` says of its first processor; fields that are missing stay empty.
    package init(cpuinfo text: String) {
        var fields: [Substring: Substring] = [:]
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { continue }
            let key = parts[0].trimmingSpace
            if fields[key] == nil { fields[key] = parts[1].trimmingSpace }
        }
        vendor = String(fields["vendor_id"] ?? "")
        name = String(fields["model name"] ?? "unknown")
        family = fields["cpu family"].flatMap { Int($0) } ?? 0
        model = fields["model"].flatMap { Int($0) } ?? 0
        features = Set((fields["flags"] ?? "").split(separator: " ").map(String.init))
    }

    /// This machine's; all fields empty where the kernel does not tell.
    public static let current = Processor(cpuinfo: readProcessors())

    /// AMD's family 25 computes 512-bit instructions in two halves (Zen 4; AMD's optimisation guide, publication 57647);
    /// family 26 and Intel's have units of the full width.
    package var vectorUnits: VectorUnits {
        let wide: Set<String> = ["avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd"]
        if wide.isSubset(of: features), vendor != "AuthenticAMD" || family > 25 { return .wide }
        return features.isSuperset(of: ["avx2", "fma"]) ? .narrow : .other
    }

    private static func readProcessors() -> String {
        guard let file = fopen("/proc/cpuinfo", "r") else { return "" }
        defer { fclose(file) }
        var text = ""
        var line: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { free(line) }
        // One processor's paragraph is enough; machines have hundreds.
        while getline(&line, &capacity, file) > 1, let line { text += String(cString: line) }
        return text
    }
}

extension Substring {
    fileprivate var trimmingSpace: Substring {
        let isSpace = { (character: Character) in character == " " || character == "\t" }
        let rest = drop(while: isSpace)
        return rest.lastIndex { !isSpace($0) }.map { rest[...$0] } ?? rest
    }
}
