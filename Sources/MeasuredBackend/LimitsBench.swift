internal import Engine
internal import Glibc
internal import Simulator

/// Finds what the machine can do at most.
///
/// The best single observation is taken for each limit, and some margin above it: the next best may be better still, and
/// a limit must never forbid what the machine does.
struct LimitsBench {
    private static let margin = 1.25

    private let pool: ThreadPool
    private let size: Int
    private let rounds: Int

    init(effort: CalibrationEffort, pool: ThreadPool) {
        self.pool = pool
        size = effort == .quick ? 512 : 1536
        rounds = effort == .quick ? 3 : 12
    }

    /// - Parameter seen: the highest rate of any product, in FLOP/s.
    func limits(seen: Double) -> PhysicalLimits {
        let (a, b, c) = (
            FloatBuffer.filled(size * size), FloatBuffer.filled(size * size), FloatBuffer.filled(size * size)
        )
        let product = best {
            MatrixProduct.forward(square(a), square(b), square(c), pool: pool)
        }
        let peak = max(seen, 2 * Double(size * size * size) / product)
        let cache = Self.cacheBytes
        // Reading is what most passes do most of.
        let large = FloatBuffer.filled(max(24 << 20, Int(cache) / 2))
        let little = FloatBuffer.filled(64 << 10)
        let memory = Double(large.byteCount) / best { read(large) }
        let near = 16 * Double(little.byteCount) / best { for _ in 0..<16 { read(little) } }
        return PhysicalLimits(
            flopsPerSecond: Self.margin * peak, bytesPerSecond: Self.margin * memory,
            // Reading and writing at once moves more than reading alone.
            cacheBytesPerSecond: 2 * Self.margin * max(memory, near), cacheBytes: cache)
    }

    private func square(_ buffer: FloatBuffer) -> Matrix { Matrix(buffer.base, rows: size, columns: size) }

    private func best(_ body: () -> Void) -> Double {
        (0..<rounds).map { _ in measured(body).seconds }.min() ?? .infinity
    }

    /// Reads all of a buffer once, as a matrix that one row is multiplied by.
    private func read(_ buffer: FloatBuffer) {
        let columns = 1024
        let rows = buffer.count / columns
        withExtendedLifetime(one) {
            MatrixProduct.forward(
                Matrix(one.base, rows: 1, columns: columns), Matrix(buffer.base, rows: rows, columns: columns),
                Matrix(result.base, rows: 1, columns: rows), pool: pool)
        }
    }

    private let one = FloatBuffer.filled(1024)
    private let result = FloatBuffer.filled(1 << 20)

    /// Size of the last cache in bytes, as the system tells; zero where it does not know.
    private static var cacheBytes: Double {
        let levels = [_SC_LEVEL3_CACHE_SIZE, _SC_LEVEL2_CACHE_SIZE]
        return Double(levels.map { sysconf(Int32($0)) }.max() ?? 0)
    }
}
