internal import Glibc

/// When requests arrive.
public enum ArrivalModel: Sendable, Equatable {
    /// Independent of each other, `rate` a second on average.
    case poisson(rate: Double)
    /// Independent gaps, of a Gamma distribution with this standard deviation over mean.
    case gamma(rate: Double, variation: Double)
    /// Calm and bursts in turn: a Markov-modulated Poisson process of two states, each of exponential duration in
    /// seconds. `rate` is the mean over both; a burst's is `factor` times the calm's.
    case bursts(rate: Double, factor: Double, meanCalm: Double, meanBurst: Double)
    /// Poisson with a rate that swings around its mean by `amplitude` of it once in `period` seconds, lowest first.
    case diurnal(rate: Double, amplitude: Double, period: Double)
    /// At these times, in order.
    case replay([SimTime])
}

/// The instants of a model, one after the other.
struct ArrivalProcess {
    private let model: ArrivalModel
    private var stream: RandomStream
    private var time = 0.0
    private var count = 0
    private var isBurst = false
    private var stateEnd = 0.0

    init(_ model: ArrivalModel, seed: UInt64) {
        self.model = model
        stream = RandomStream(seed: seed, name: "arrivals")
        if case .bursts(_, _, let meanCalm, _) = model {
            stateEnd = stream.exponential(mean: meanCalm)
        }
    }

    /// The gap before the next arrival in seconds.
    mutating func nextGap() -> Double {
        let before = time
        switch model {
        case .poisson(let rate): return stream.exponential(mean: 1 / rate)
        case .gamma(let rate, let variation):
            let shape = 1 / (variation * variation)
            return stream.gamma(shape: shape) / (shape * rate)
        case .bursts(let rate, let factor, let meanCalm, let meanBurst):
            let calm = rate * (meanCalm + meanBurst) / (meanCalm + factor * meanBurst)
            while true {
                let gap = stream.exponential(mean: 1 / (isBurst ? calm * factor : calm))
                if time + gap < stateEnd {
                    time += gap
                    return time - before
                }
                time = stateEnd
                isBurst.toggle()
                stateEnd += stream.exponential(mean: isBurst ? meanBurst : meanCalm)
            }
        case .diurnal(let rate, let amplitude, let period):
            // Thinning (Lewis and Shedler, 1979): arrivals at the highest rate, kept by the present one's share of it.
            while true {
                time += stream.exponential(mean: 1 / (rate * (1 + amplitude)))
                let present = 1 - amplitude * cos(2 * .pi * time / period)
                if stream.uniform() * (1 + amplitude) < present { return time - before }
            }
        case .replay(let times):
            defer { count += 1 }
            return count == 0 ? times[0].seconds : (times[count] - times[count - 1]).seconds
        }
    }
}
