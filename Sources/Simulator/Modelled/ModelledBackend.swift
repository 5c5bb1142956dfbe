/// Executes plans by pricing their operators on some hardware: no clock, no numbers, the same durations on every run.
public struct ModelledBackend<Demand: MemoryDemand>: ExecutionBackend {
    private let demand: Demand
    private let pricer: OperatorPricer

    /// - Parameter demand: what the work keeps in memory, the same as where it is really done.
    public init(hardware: Hardware, demand: Demand) {
        self.demand = demand
        model = demand.model
        footprint = demand.footprint
        pricer = OperatorPricer(hardware, hardware.operators(of: demand.footprint))
    }

    public let model: ModelShape
    public let footprint: Footprint
    public func servingWorkspace(tokens: Int) -> Bytes { demand.servingWorkspace(tokens: tokens) }
    public func trainWorkspace(for microBatch: MicroBatch, unitRows: Int) -> Bytes {
        demand.trainWorkspace(for: microBatch, unitRows: unitRows)
    }

    public func estimate(_ plan: StepPlan) -> SimDuration { pricer.price(of: plan).duration }

    /// - Throws: `PricingError.belowFloor`.
    public func execute(_ plan: StepPlan) throws -> StepOutcome {
        switch plan {
        case .serve(let iteration):
            return StepOutcome(duration: try checked(pricer.price(of: iteration), plan))
        case .train(let quantum):
            var outcome = StepOutcome(duration: .zero)
            for unit in quantum.units {
                let duration = try checked(pricer.price(of: unit, in: quantum.microBatch), plan)
                outcome.unitDurations.append(duration)
                outcome.duration += duration
            }
            return outcome
        }
    }

    /// The price is made once, and is both.
    public func executePredicted(_ plan: StepPlan) throws -> (predicted: SimDuration, outcome: StepOutcome) {
        guard case .serve(let iteration) = plan else { return (estimate(plan), try execute(plan)) }
        let duration = try checked(pricer.price(of: iteration), plan)
        return (duration, StepOutcome(duration: duration))
    }

    public var isPure: Bool { true }

    /// - Throws: `PricingError.belowFloor`.
    public func decode(sequences: Int, pairs: Int, decodesBefore: Int) throws -> SimDuration? {
        let price = pricer.priceOfDecoding(sequences: sequences, pairs: pairs, decodesBefore: decodesBefore)
        guard price.seconds >= price.floor * (1 - 1e-9) else {
            throw PricingError.belowFloor(
                shape: "serve d of \(sequences) sequences with \(pairs) tokens", price: price.seconds,
                floor: price.floor)
        }
        return price.duration
    }

    private func checked(_ price: Price, _ plan: StepPlan) throws(PricingError) -> SimDuration {
        // Sums of the same terms in another order differ in their last bits.
        guard price.seconds >= price.floor * (1 - 1e-9) else {
            throw .belowFloor(
                shape: plan.shape(lastLayer: model.layers - 1).key, price: price.seconds, floor: price.floor)
        }
        return price.duration
    }

    public func apply(_ movements: [DataMovement]) {}
    public func advance(version: Int) {}
    public func publish(version: Int) {}
    public func open(_ microBatch: MicroBatch, unitRows: Int) {}
    public func close(_ microBatch: MicroBatch) {}
    public func audit(_ microBatches: [MicroBatch]) -> GradientAudit? { nil }
    public func forgetVersions(before version: Int) {}
}
