import Engine

/// Runs benchmarks: the pool that they share, the rounds, and the limits measured between them.
final class Bench {
    let pool: ThreadPool
    let rounds: Int
    private let limits: Limits

    init(threads: Int, rounds: Int) {
        pool = ThreadPool(width: threads)
        self.rounds = rounds
        limits = Limits(pool: pool)
    }

    /// Seconds of one execution of `body`.
    func seconds(_ body: () -> Void) -> Double {
        let duration = ContinuousClock().measure(body)
        return Double(duration.components.seconds) + 1e-18 * Double(duration.components.attoseconds)
    }

    /// The limit's rate now.
    func rate(of limit: Limit) -> Double { limits.rate(of: limit, seconds) }

    /// FLOP/s of multiply-adds on registers alone, now.
    var registerPeak: Double { limits.registerPeak(seconds) }

    /// Tokens per second, and the fraction of the limit: each round takes the limit before and after, so that a drift of
    /// the machine's speed falls on both.
    func run(_ benchmark: Benchmark) -> Figure {
        let execute = benchmark.prepare(self)
        let warm = max(1e-6, seconds(execute))
        // Short ones are repeated within a round until the clock is fine enough.
        let repeats = max(1, Int((0.1 / warm).rounded(.up)))
        var rates: [Double] = []
        var fractions: [Double] = []
        var before = rate(of: benchmark.limit)
        for _ in 0..<rounds {
            let time = seconds { for _ in 0..<repeats { execute() } } / Double(repeats)
            let after = rate(of: benchmark.limit)
            rates.append(Double(benchmark.tokens) / time)
            fractions.append(benchmark.work / time / ((before + after) / 2))
            before = after
        }
        return Figure(benchmark.name, rates, unit: "tokens/s", fractions: fractions)
    }

    /// How several executions compare: each round runs all of them in turn.
    func interleaved(_ bodies: [() -> Void]) -> [[Double]] {
        for body in bodies { body() }
        return (0..<rounds).map { _ in bodies.map(seconds) }
    }
}
