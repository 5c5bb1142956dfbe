internal import COpenBLAS
internal import Glibc

/// Which matrix kernels OpenBLAS has loaded, and how to load better ones.
public enum BLAS {
    /// Environment variable by which OpenBLAS is told a core type before it loads.
    static let coreVariable = "OPENBLAS_CORETYPE"
    /// Set on the second run of a process, so that there is no third.
    static let guardVariable = "ALCHEMIST_BLAS_REEXECUTED"
    /// Core types whose kernels use AVX-512.
    static let wideCores: Set<String> = ["SkylakeX", "Cooperlake", "Sapphirerapids", "SapphireRapids"]

    /// The core type whose kernels are in use, as OpenBLAS names it: "Haswell", "SkylakeX", ...
    public static var kernelName: String {
        guard let name = openblas_get_corename() else { return "unknown" }
        return String(cString: name)
    }

    /// Limits OpenBLAS to the calling thread: the engine's pool splits products itself, and two pools on the same
    /// processors only get in each other's way.
    static func useCallingThreadOnly() { openblas_set_num_threads(1) }

    /// Starts the program again with AVX-512 matrix kernels when the processor has them and OpenBLAS chose older ones.
    ///
    /// Debian's OpenBLAS 0.3.21 does not know newer AMD processors and falls back to its Haswell kernels, at half the
    /// speed. The core type is read when the library loads, so the process sets `OPENBLAS_CORETYPE=SkylakeX` and
    /// executes `/proc/self/exe` once more with the same arguments. Call it first in `main`. It returns when there is
    /// nothing to gain, the user has set the variable, or the system refuses.
    public static func reexecuteWithBestKernelsIfNeeded() {
        guard getenv(coreVariable) == nil, getenv(guardVariable) == nil else { return }
        guard !wideCores.contains(kernelName), processorHasAVX512 else { return }
        setenv(coreVariable, "SkylakeX", 1)
        setenv(guardVariable, "1", 1)
        execv("/proc/self/exe", CommandLine.unsafeArgv)
        unsetenv(coreVariable)
    }

    /// One line for the user when the processor has AVX-512 and the kernels in use do not, as after
    /// `OPENBLAS_CORETYPE=Haswell`; nil when there is nothing to gain.
    public static var narrowKernelWarning: String? {
        let chosen = getenv(coreVariable).map { String(cString: $0) }
        return narrowKernelWarning(kernel: kernelName, hasAVX512: processorHasAVX512, chosen: chosen)
    }

    /// The same for any kernels, processor, and value of `OPENBLAS_CORETYPE`.
    package static func narrowKernelWarning(kernel: String, hasAVX512: Bool, chosen: String?) -> String? {
        guard hasAVX512, !wideCores.contains(kernel) else { return nil }
        let cause = chosen.map { " because \(coreVariable)=\($0)" } ?? ""
        return "OpenBLAS uses its \(kernel) kernels\(cause), but the processor has AVX-512: "
            + "set \(coreVariable)=SkylakeX for matrix products at about twice the speed"
    }

    /// Whether the processor has every instruction set that the SkylakeX kernels use.
    static var processorHasAVX512: Bool {
        guard let file = fopen("/proc/cpuinfo", "r") else { return false }
        defer { fclose(file) }
        var line: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { free(line) }
        while getline(&line, &capacity, file) > 0 {
            guard let line else { return false }
            let text = String(cString: line)
            guard text.hasPrefix("flags") else { continue }
            let flags = Set(text.split(whereSeparator: \.isWhitespace))
            return ["avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd"].allSatisfy { flags.contains($0[...]) }
        }
        return false
    }
}
