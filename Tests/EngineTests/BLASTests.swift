import Engine
import Testing

@Suite("Matrix kernels")
struct BLASTests {
    static let wideFlags = "fma avx2 avx512f avx512dq avx512bw avx512vl avx512cd"

    static func processor(_ vendor: String, _ family: Int, _ flags: String) -> Processor {
        Processor(
            cpuinfo: """
                processor\t: 0
                vendor_id\t: \(vendor)
                cpu family\t: \(family)
                model\t\t: 17
                model name\t: Some CPU @ 2 GHz
                flags\t\t: fpu \(flags)
                bogomips\t: 5192.26

                """)
    }

    static let zen5 = processor("AuthenticAMD", 26, wideFlags)
    static let zen4 = processor("AuthenticAMD", 25, wideFlags)
    static let zen2 = processor("AuthenticAMD", 23, "fma avx2")
    static let intel = processor("GenuineIntel", 6, wideFlags)
    static let old = processor("GenuineIntel", 6, "sse4_2 avx")

    @Test("fields of a processor")
    func parsing() {
        #expect(Self.zen4.vendor == "AuthenticAMD")
        #expect(Self.zen4.name == "Some CPU @ 2 GHz")
        #expect(Self.zen4.family == 25 && Self.zen4.model == 17)
        #expect(Self.zen4.features.contains("fpu") && Self.zen4.features.contains("avx512cd"))
        let empty = Processor(cpuinfo: "")
        #expect(empty.name == "unknown" && empty.family == 0 && empty.features.isEmpty)
        #expect(empty.vectorUnits == .other)
    }

    @Test(
        "kernels that suit a processor",
        arguments: [
            (zen5, "Haswell", "SkylakeX"), (zen5, "SkylakeX", nil), (zen5, "Cooperlake", nil),
            (zen4, "Cooperlake", "Haswell"), (zen4, "SkylakeX", "Haswell"), (zen4, "Haswell", nil), (zen4, "Zen", nil),
            (zen2, "Zen", nil), (zen2, "Nehalem", "Haswell"), (intel, "Haswell", "SkylakeX"),
            (intel, "Sapphirerapids", nil), (old, "Sandybridge", nil), (old, "unknown", nil),
        ] as [(Processor, String, String?)])
    func better(processor: Processor, kernel: String, expected: String?) {
        #expect(BLAS.betterCore(than: kernel, on: processor) == expected)
    }

    @Test("kernels that waste the processor are told of", arguments: ["Haswell", "Zen", "unknown"])
    func narrow(kernel: String) throws {
        let imposed = try #require(BLAS.narrowKernelWarning(kernel: kernel, processor: Self.zen5, chosen: kernel))
        #expect(imposed.contains("its \(kernel) kernels because OPENBLAS_CORETYPE=\(kernel),"))
        #expect(imposed.contains("set OPENBLAS_CORETYPE=SkylakeX") && !imposed.contains("\n"))
        let found = try #require(BLAS.narrowKernelWarning(kernel: kernel, processor: Self.zen5, chosen: nil))
        #expect(found.contains("its \(kernel) kernels, which") && found.contains("set OPENBLAS_CORETYPE=SkylakeX"))
    }

    @Test("kernels that match, or lose a few percent, are not")
    func wide() {
        for kernel in ["SkylakeX", "Cooperlake", "Sapphirerapids"] {
            #expect(BLAS.narrowKernelWarning(kernel: kernel, processor: Self.zen5, chosen: kernel) == nil)
            #expect(BLAS.narrowKernelWarning(kernel: kernel, processor: Self.zen4, chosen: kernel) == nil)
        }
        #expect(BLAS.narrowKernelWarning(kernel: "Haswell", processor: Self.zen4, chosen: nil) == nil)
    }

    @Test("how the kernels were chosen")
    func choice() {
        #expect(BLAS.choice(chosen: nil, replaced: nil) == "library")
        #expect(BLAS.choice(chosen: "Haswell", replaced: nil) == "OPENBLAS_CORETYPE")
        #expect(BLAS.choice(chosen: "SkylakeX", replaced: "Haswell") == "program, instead of Haswell")
    }

    @Test("this process's own")
    func own() {
        #expect(!BLAS.kernelName.isEmpty)
        #expect(BLAS.narrowKernelWarning?.contains(BLAS.kernelName) ?? true)
    }
}
