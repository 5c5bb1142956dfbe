/// Executes plans by giving them durations that were recorded before. Estimates are priced as they were then, so that a
/// replay of an unchanged run takes the same decisions at the same times.
public struct ReplayBackend<Demand: MemoryDemand>: ExecutionBackend {
    /// Which of a shape's recorded durations an execution takes.
    public enum Choice: Sendable {
        /// The k-th execution takes the k-th.
        case inOrder
        /// Every execution takes the median: arms replayed over one table then differ by their decisions alone.
        case median
    }

    private let demand: Demand
    private let table: ReplayTable
    private let choice: Choice
    private let pricer: OperatorPricer
    private let fallback: OperatorPricer?
    /// Shapes met so far: their text, and how often they were executed.
    private var met: [PlanShape: (key: String, count: Int)] = [:]

    /// - Parameters:
    ///   - profile: what estimates were made from.
    ///   - fallback: prices plans that the table does not have; nil makes them an error.
    public init(
        table: ReplayTable, choice: Choice, profile: HardwareProfile, fallback: HardwareProfile?, demand: Demand
    ) {
        self.demand = demand
        self.table = table
        self.choice = choice
        let list = OperatorList(model: demand.model, tuning: demand.footprint.tuning)
        pricer = OperatorPricer(profile, list)
        self.fallback = fallback.map { OperatorPricer($0, list) }
    }

    public var model: ModelShape { demand.model }
    public var footprint: Footprint { demand.footprint }
    public func servingWorkspace(tokens: Int) -> Bytes { demand.servingWorkspace(tokens: tokens) }
    public func trainWorkspace(for microBatch: MicroBatch, unitRows: Int) -> Bytes {
        demand.trainWorkspace(for: microBatch, unitRows: unitRows)
    }

    public func estimate(_ plan: StepPlan) -> SimDuration { pricer.price(of: plan).duration }

    /// - Throws: `PricingError.missingShape` when the table has no duration left and nothing prices it instead.
    public mutating func execute(_ plan: StepPlan) throws -> StepOutcome {
        let shape = plan.shape(lastLayer: model.layers - 1)
        let (key, executed) = met[shape] ?? (shape.key, 0)
        met[shape] = (key, executed + 1)
        let recorded =
            switch choice {
            case .inOrder: table.execution(of: key, at: executed)
            case .median: table.median(of: key)
            }
        if let recorded { return outcome(recorded) }
        guard let fallback else {
            throw PricingError.missingShape(key, execution: executed + 1, recorded: table.count(of: key))
        }
        if let known = table.median(of: key) { return outcome(known) }
        switch plan {
        case .serve: return StepOutcome(duration: fallback.price(of: plan).duration)
        case .train(let quantum):
            let units = quantum.units.map { fallback.price(of: $0, in: quantum.microBatch).duration }
            return outcome(ReplayTable.Execution(duration: units.reduce(.zero, +), units: units))
        }
    }

    private func outcome(_ execution: ReplayTable.Execution) -> StepOutcome {
        var outcome = StepOutcome(duration: execution.duration)
        outcome.unitDurations = execution.units
        return outcome
    }

    public func apply(_ movements: [DataMovement]) {}
    public func advance(version: Int) {}
    public func publish(version: Int) {}
    public func open(_ microBatch: MicroBatch, unitRows: Int) {}
    public func close(_ microBatch: MicroBatch) {}
    public func audit(_ microBatches: [MicroBatch]) -> GradientAudit? { nil }
    public func forgetVersions(before version: Int) {}
}
