internal import COpenBLAS
internal import Glibc

/// Which matrix kernels OpenBLAS has loaded, and how to load better ones.
public enum BLAS {
    /// Environment variable by which OpenBLAS is told a core type before it loads.
    static let coreVariable = "OPENBLAS_CORETYPE"
    /// Set on the second run of a process to what the library had chosen in the first, so that there is no third.
    static let replacedVariable = "ALCHEMIST_BLAS_REPLACED"

    /// The core type whose kernels are in use, as OpenBLAS names it: "Haswell", "SkylakeX", ...
    public static var kernelName: String {
        guard let name = openblas_get_corename() else { return "unknown" }
        return String(cString: name)
    }

    /// Limits OpenBLAS to the calling thread: the engine's pool splits products itself, and two pools on the same
    /// processors only get in each other's way.
    static func useCallingThreadOnly() { openblas_set_num_threads(1) }

    /// Address space that OpenBLAS takes for each thread that multiplies: its `BUFFER_SIZE` on x86-64, in bytes.
    private static let bufferSize = 32 << 22

    /// Has OpenBLAS take what `threads` threads need to multiply, for good. It asks again and again, for ever, for what the
    /// system does not give, so it must have its buffers before others take the last address space that `ulimit -v` leaves.
    static func takeBuffers(threads: Int) {
        let size = threads * bufferSize
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        guard let room = mmap(nil, size, PROT_READ | PROT_WRITE, flags, -1, 0), room != MAP_FAILED else {
            SystemResource.memory(bytes: size).isRefused()
        }
        munmap(room, size)
        // They are in none of its headers. A library without them gets its buffers with its first products.
        typealias Take = @convention(c) (CInt) -> UnsafeMutableRawPointer?
        typealias Give = @convention(c) (UnsafeMutableRawPointer?) -> Void
        guard let take = dlsym(nil, "blas_memory_alloc"), let give = dlsym(nil, "blas_memory_free") else { return }
        let buffers = (0..<threads).map { _ in unsafeBitCast(take, to: Take.self)(0) }
        for buffer in buffers { unsafeBitCast(give, to: Give.self)(buffer) }
    }

    /// Starts the program again with other matrix kernels when those that OpenBLAS chose do not suit the processor.
    ///
    /// OpenBLAS takes processors that it does not know for older ones, or for wider ones: Debian's 0.3.21 runs a Zen 5 with
    /// its Haswell kernels, at half the speed, and a Zen 4 with Cooperlake's, which are 5 % slower there than Haswell's.
    /// The core type is read when the library loads, so the process sets `OPENBLAS_CORETYPE` and executes
    /// its file once more with the same arguments. Call it first in `main`. It returns when there is nothing to
    /// gain, the user has set the variable, or the system refuses.
    public static func reexecuteWithBestKernelsIfNeeded() {
        guard getenv(coreVariable) == nil, getenv(replacedVariable) == nil else { return }
        guard let core = betterCore(than: kernelName, on: .current) else { return }
        setenv(coreVariable, core, 1)
        setenv(replacedVariable, kernelName, 1)
        // Threads of its own would only spin: see `useCallingThreadOnly`.
        setenv("OPENBLAS_NUM_THREADS", "1", 0)
        // By its own path, so that the process keeps its name.
        var path = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = readlink("/proc/self/exe", &path, path.count - 1)
        if length > 0 { execv(path, CommandLine.unsafeArgv) }
        execv("/proc/self/exe", CommandLine.unsafeArgv)
        unsetenv(coreVariable)
        unsetenv(replacedVariable)
    }

    /// The core type whose kernels suit `processor` better than those of `kernel`; nil when `kernel` is as good as any.
    package static func betterCore(than kernel: String, on processor: Processor) -> String? {
        let (best, equals): (String, Set<String>)
        switch processor.vectorUnits {
        case .wide: (best, equals) = ("SkylakeX", ["Cooperlake", "Sapphirerapids", "SapphireRapids"])
        case .narrow: (best, equals) = ("Haswell", ["Zen"])
        case .other: return nil
        }
        return kernel == best || equals.contains(kernel) ? nil : best
    }

    /// How the kernels in use came to be chosen, for the results.
    public static var choice: String {
        choice(
            chosen: getenv(coreVariable).map { String(cString: $0) },
            replaced: getenv(replacedVariable).map { String(cString: $0) })
    }

    package static func choice(chosen: String?, replaced: String?) -> String {
        if let replaced { return "program, instead of \(replaced)" }
        return chosen == nil ? "library" : coreVariable
    }

    /// One line for the user when much of the processor's arithmetic lies idle under the kernels in use, as after
    /// `OPENBLAS_CORETYPE=Haswell` on one with 512-bit units; nil otherwise.
    public static var narrowKernelWarning: String? {
        let chosen = getenv(coreVariable).map { String(cString: $0) }
        return narrowKernelWarning(kernel: kernelName, processor: .current, chosen: chosen)
    }

    /// The same for any kernels, processor, and value of `OPENBLAS_CORETYPE`.
    package static func narrowKernelWarning(kernel: String, processor: Processor, chosen: String?) -> String? {
        // On narrow units AVX-512 kernels lose a few percent: not worth a word.
        let wider: Set<String> = ["SkylakeX", "Cooperlake", "Sapphirerapids", "SapphireRapids"]
        guard let core = betterCore(than: kernel, on: processor), !wider.contains(kernel) else { return nil }
        let cause = chosen.map { " because \(coreVariable)=\($0)" } ?? ""
        return "OpenBLAS uses its \(kernel) kernels\(cause), which leave much of this processor idle: "
            + "set \(coreVariable)=\(core) for matrix products at up to twice the speed"
    }
}
