internal import Simulator

/// How thoroughly operators are measured.
public enum CalibrationEffort: Sendable {
    /// Some seconds at most, before a run: good enough to bound the trainer's quanta.
    case quick
    /// Up to two minutes: good enough to stand for the machine.
    case full
}

/// Repeated measurements of one thing.
struct Sampling {
    /// Executions that are timed at least, and at most.
    var least: Int
    var most: Int
    /// Time after which no further execution is begun.
    var budget: Double
    private let probe: SpeedProbe
    /// Times are told as they would be at the speed at which a probe takes this long.
    private let reference: Double

    init(_ effort: CalibrationEffort, _ probe: SpeedProbe, reference: Double) {
        self.probe = probe
        self.reference = reference
        switch effort {
        case .quick: (least, most, budget) = (3, 5, 0.000_3)
        case .full: (least, most, budget) = (5, 31, 0.008)
        }
    }

    /// The time of one execution, after one that is not counted.
    ///
    /// - Parameters:
    ///   - elasticity: how much of a change of the machine's speed shows in this work.
    ///   - prepare: done before each execution, and not timed.
    func time(
        _ elasticity: Double = SpeedElasticity.computing, prepare: () -> Void = {}, _ body: () -> Void
    ) -> Sample {
        body()
        for _ in 0..<3 { probe.measure() }
        var times: [Double] = []
        var total = 0.0
        while times.count < least || (times.count < most && total < budget) {
            prepare()
            let seconds = measured(body).seconds
            times.append(seconds)
            total += seconds
        }
        for _ in 0..<3 { probe.measure() }
        let factor = SpeedElasticity.factor(reference: reference, probe: probe.seconds, elasticity)
        return Sample(times).scaled(by: factor)
    }
}

/// What repeated measurements found.
struct Sample {
    let median: Double
    /// Half the distance between the quartiles over the median.
    let spread: Double
    let shortest: Double

    init(_ times: [Double]) {
        let sorted = times.sorted()
        let middle = sorted.count / 2
        median = sorted.count.isMultiple(of: 2) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle]
        let spread = (sorted[sorted.count * 3 / 4] - sorted[sorted.count / 4]) / 2 / median
        self.spread = (spread * 1e4).rounded() / 1e4
        shortest = sorted[0]
    }

    /// The same work `factor` times.
    private init(median: Double, spread: Double, shortest: Double) {
        self.median = median
        self.spread = spread
        self.shortest = shortest
    }

    func scaled(by factor: Double) -> Sample {
        Sample(median: median * factor, spread: spread, shortest: shortest * factor)
    }
}

extension CostSurface {
    init(axes: [[Int]], samples: [Sample]) {
        self.init(axes: axes, seconds: samples.map(\.median), spread: samples.map(\.spread))
    }
}

extension Array<Int> {
    /// In order and without repetitions.
    var asAxis: [Int] { Set(self).sorted() }
}
