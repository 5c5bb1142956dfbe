internal import Engine
internal import Simulator

/// What this machine's work costs, measured before a run and then left alone, so that the same plan is always
/// expected to take the same time.
///
/// An operator's price is its FLOPs at the rate measured for products of its smallest dimension, or its bytes at the
/// measured bandwidth, whichever is longer. Each phase has a factor by which real quanta differed from these prices.
/// It bounds the trainer's quanta; results never come from it.
struct Calibration: Sendable, Equatable {
    /// Where a quantum belongs.
    enum Phase: Int, Sendable, CaseIterable {
        case prefill, decode, forward, loss, backward, optimizer

        public var name: String {
            switch self {
            case .prefill: "prefill"
            case .decode: "decode"
            case .forward: "forward"
            case .loss: "loss"
            case .backward: "backward"
            case .optimizer: "optimizer"
            }
        }
    }

    /// FLOP/s of matrix products by their smallest dimension, ascending.
    public var productRates: [(smallest: Int, flopsPerSecond: Double)]
    /// Bytes per second of a pass over memory.
    public var bandwidth: Double
    /// Measured over priced, by phase.
    public var factors: [Double]

    /// Before anything has been measured: one rate for all.
    static let nominal = Calibration(
        productRates: [(smallest: 1, flopsPerSecond: 1e11)], bandwidth: 2e10,
        factors: [Double](repeating: 1, count: Phase.allCases.count))

    public static func == (a: Calibration, b: Calibration) -> Bool {
        a.productRates.elementsEqual(b.productRates, by: ==) && a.bandwidth == b.bandwidth && a.factors == b.factors
    }

    /// Price of a plan whose operators are listed by `list`.
    func price(of plan: StepPlan, operators list: OperatorList) -> SimDuration {
        let seconds: Double
        switch plan {
        case .serve(let iteration):
            let phase = iteration.prefillTokens > 0 ? Phase.prefill : .decode
            seconds = factors[phase.rawValue] * time(of: list.operators(of: plan))
        case .train(let quantum):
            seconds = quantum.units.reduce(0) { sum, unit in
                let price = time(of: list.operators(of: unit, in: quantum.microBatch))
                return sum + factors[Phase(unit.phase).rawValue] * price
            }
        }
        return SimDuration(nanoseconds: Int64((seconds * 1e9).rounded(.up)))
    }

    /// Seconds of a list of operators at the measured rates.
    func time(of operators: [Operator]) -> Double {
        operators.reduce(0) { sum, op in
            let smallest =
                switch op.kind {
                case .matrixProduct(let m, let n, let k): min(m, n, k)
                case .attention(let queries, _), .attentionBackward(let queries, _): min(queries, 64)
                case .decodeAttention, .elementwise, .copy: Int.max
                }
            return sum + Double(op.count) * max(op.flops / productRate(smallest), op.bytes / bandwidth)
        }
    }

    /// Linear between measured points, flat beyond them.
    private func productRate(_ smallest: Int) -> Double {
        guard let first = productRates.first, let last = productRates.last else { return 1e11 }
        if smallest <= first.smallest { return first.flopsPerSecond }
        if smallest >= last.smallest { return last.flopsPerSecond }
        for (low, high) in zip(productRates, productRates.dropFirst()) where smallest <= high.smallest {
            let share = Double(smallest - low.smallest) / Double(high.smallest - low.smallest)
            return low.flopsPerSecond + share * (high.flopsPerSecond - low.flopsPerSecond)
        }
        return last.flopsPerSecond
    }
}

extension Calibration.Phase {
    init(_ phase: TrainerPhase) {
        switch phase {
        case .forward: self = .forward
        case .loss: self = .loss
        case .backward: self = .backward
        case .optimizer: self = .optimizer
        }
    }
}
