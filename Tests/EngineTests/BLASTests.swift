import Engine
import Testing

@Suite("Matrix kernels")
struct BLASTests {
    @Test("kernels older than the processor are told of", arguments: ["Haswell", "Zen", "unknown"])
    func narrow(kernel: String) throws {
        let imposed = try #require(BLAS.narrowKernelWarning(kernel: kernel, hasAVX512: true, chosen: kernel))
        #expect(imposed.contains("its \(kernel) kernels because OPENBLAS_CORETYPE=\(kernel),"))
        #expect(imposed.contains("set OPENBLAS_CORETYPE=SkylakeX") && !imposed.contains("\n"))
        let found = try #require(BLAS.narrowKernelWarning(kernel: kernel, hasAVX512: true, chosen: nil))
        #expect(found.contains("its \(kernel) kernels, but") && found.contains("set OPENBLAS_CORETYPE=SkylakeX"))
        #expect(BLAS.narrowKernelWarning(kernel: kernel, hasAVX512: false, chosen: nil) == nil)
    }

    @Test("kernels that match are not", arguments: ["SkylakeX", "Cooperlake", "Sapphirerapids"])
    func wide(kernel: String) {
        #expect(BLAS.narrowKernelWarning(kernel: kernel, hasAVX512: true, chosen: kernel) == nil)
    }

    @Test("the warning of this process names its kernels")
    func own() {
        #expect(BLAS.narrowKernelWarning?.contains(BLAS.kernelName) ?? true)
    }
}
