public import Engine
internal import Glibc
public import Simulator

/// Watches the machine's speed: a machine that others share, or that grows warm, computes at one speed now and at
/// another in ten seconds.
///
/// A probe takes a short, fixed piece of work, a matrix product that fits the caches. The speed is told by the median of
/// the last few, because a single one may be disturbed.
public final class SpeedProbe {
    private static let window = 9

    private let pool: ThreadPool
    private let x = FloatBuffer.filled(64 * 384)
    private let w = FloatBuffer.filled(384 * 384)
    private let y = FloatBuffer.filled(64 * 384)
    private var last: [Double] = []

    public init(pool: ThreadPool) {
        self.pool = pool
        for _ in 0..<Self.window { measure() }
    }

    /// The median time of the last probes, in seconds.
    public var seconds: Double { last.sorted()[last.count / 2] }

    /// The median time of all probes that can be taken in some seconds: a speed to relate others to. A machine that has
    /// been idle needs a while to find its speed.
    func reference(over seconds: Double) -> Double {
        var times: [Double] = []
        var total = 0.0
        while total < seconds {
            let time = measured(run).seconds
            times.append(time)
            total += time
        }
        return Sample(times).median
    }

    /// Takes a probe.
    public func measure() {
        run()
        let time = measured(run).seconds
        if last.count == Self.window { last.removeFirst() }
        last.append(time)
    }

    private func run() {
        MatrixProduct.forward(
            Matrix(x.base, rows: 64, columns: 384), Matrix(w.base, rows: 384, columns: 384),
            Matrix(y.base, rows: 64, columns: 384), pool: pool)
    }
}

/// How much of a change of the probe's time shows in the time of some work: time ~ probe ^ elasticity. Both were found by
/// regression over quanta of `mini` while the speed of a shared machine drifted by a third (experiments/LOG.md).
public enum SpeedElasticity {
    /// Work that mostly computes.
    public static let computing = 1.0
    /// Work that mostly reads memory: decoding, and products of a few rows.
    public static let reading = 0.6

    public static func of(_ plan: StepPlan) -> Double {
        guard case .serve(let iteration) = plan, WorkPhase(iteration) == .decode else { return computing }
        return reading
    }

    /// What to multiply a time by, taken while probes took `probe`, for what it would have been when they took
    /// `reference`.
    public static func factor(reference: Double, probe: Double, _ elasticity: Double) -> Double {
        pow(reference / probe, elasticity)
    }
}
