/// Executes plans by pricing their operators on some hardware: no clock, no numbers, the same durations on every run.
public struct ModelledBackend<Demand: MemoryDemand>: ExecutionBackend {
    private let demand: Demand
    private let pricer: OperatorPricer

    /// - Parameter demand: what the work keeps in memory, the same as where it is really done.
    public init(profile: HardwareProfile, demand: Demand) {
        self.demand = demand
        pricer = OperatorPricer(profile, OperatorList(model: demand.model, tuning: demand.footprint.tuning))
    }

    public var model: ModelShape { demand.model }
    public var footprint: Footprint { demand.footprint }
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
