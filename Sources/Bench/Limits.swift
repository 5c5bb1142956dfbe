import Engine

/// What this machine can do at most, measured by loops that do nothing else.
final class Limits {
    private let pool: ThreadPool
    private let size = 2048
    private let operands: [FloatBuffer]
    /// 512 MiB: no cache holds a noticeable part of it.
    private let large: FloatBuffer
    /// Where loops leave what they computed, so that the compiler can not leave them out.
    private let results: FloatBuffer

    init(pool: ThreadPool) {
        self.pool = pool
        let count = size * size
        operands = (0..<3).map { _ in
            let buffer = FloatBuffer(count: count)
            buffer.floats.update(repeating: 0.5)
            return buffer
        }
        large = FloatBuffer(count: 128 << 20)
        large.floats.update(repeating: 1)
        results = FloatBuffer(count: 64 * max(1, pool.width))
    }

    /// FLOP/s, or bytes per second: the better of two attempts, since interruptions only ever slow a loop down.
    func rate(of limit: Limit, _ seconds: (() -> Void) -> Double) -> Double {
        switch limit {
        case .arithmetic:
            let n = size
            let matrices = operands.map { Matrix($0.base, rows: n, columns: n) }
            let time = (0..<2).map { _ in
                seconds { MatrixProduct.forward(matrices[0], matrices[1], matrices[2], pool: pool) }
            }.min()
            return 2 * Double(n * n * n) / (time ?? .infinity)
        case .streaming:
            let time = (0..<2).map { _ in seconds(read) }.min()
            return Double(large.byteCount) / (time ?? .infinity)
        }
    }

    /// FLOP/s of multiply-adds on registers alone, of vectors of 16 and of 8 floats: the better of the two.
    func registerPeak(_ seconds: (() -> Void) -> Double) -> Double {
        let steps = 4_000_000
        let rates = [
            2.0 * 16 * 12 / seconds { spin(SIMD16<Float>.self, steps) },
            2.0 * 8 * 12 / seconds { spin(SIMD8<Float>.self, steps) },
        ]
        return Double(steps * pool.width) * (rates.max() ?? 0)
    }

    /// Every thread reads its share once.
    private func read() {
        let parts = 4 * pool.width
        pool.parallel(parts) { part, worker in
            let start = large.count / 64 * part / parts * 64
            let end = large.count / 64 * (part + 1) / parts * 64
            var sums = (SIMD16<Float>.zero, SIMD16<Float>.zero, SIMD16<Float>.zero, SIMD16<Float>.zero)
            for place in stride(from: start, to: end, by: 64) {
                let source = UnsafeRawPointer(large.base + place)
                sums.0 += source.loadUnaligned(as: SIMD16<Float>.self)
                sums.1 += source.loadUnaligned(fromByteOffset: 64, as: SIMD16<Float>.self)
                sums.2 += source.loadUnaligned(fromByteOffset: 128, as: SIMD16<Float>.self)
                sums.3 += source.loadUnaligned(fromByteOffset: 192, as: SIMD16<Float>.self)
            }
            results.base[64 * worker] = (sums.0 + sums.1 + sums.2 + sums.3).sum()
        }
    }

    private func spin<Vector: SIMD>(_: Vector.Type, _ steps: Int) where Vector.Scalar == Float {
        pool.parallel(pool.width) { _, worker in
            results.base[64 * worker] = chains(Vector(repeating: 0.999), steps).sum()
        }
    }
}

/// Twelve independent chains of multiply-adds, enough to hide their latency.
@inline(__always)
private func chains<Vector: SIMD>(_ factor: Vector, _ steps: Int) -> Vector where Vector.Scalar == Float {
    var a = Vector.zero, b = Vector.zero, c = Vector.zero, d = Vector.zero
    var e = Vector.zero, f = Vector.zero, g = Vector.zero, h = Vector.zero
    var i = Vector.zero, j = Vector.zero, k = Vector.zero, l = Vector.zero
    for _ in 0..<steps {
        a = factor.addingProduct(a, factor)
        b = factor.addingProduct(b, factor)
        c = factor.addingProduct(c, factor)
        d = factor.addingProduct(d, factor)
        e = factor.addingProduct(e, factor)
        f = factor.addingProduct(f, factor)
        g = factor.addingProduct(g, factor)
        h = factor.addingProduct(h, factor)
        i = factor.addingProduct(i, factor)
        j = factor.addingProduct(j, factor)
        k = factor.addingProduct(k, factor)
        l = factor.addingProduct(l, factor)
    }
    return a + b + c + d + e + f + g + h + i + j + k + l
}
