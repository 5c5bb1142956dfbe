/// Does the work of one backend and tells the durations of another: which plans come is then known, whatever the work takes
/// this time.
public final class RetoldBackend<Work: ExecutionBackend, Told: ExecutionBackend>: ExecutionBackend {
    private var work: Work
    private var told: Told
    /// What the work of each plan took, in the order of execution.
    public private(set) var taken: [SimDuration] = []

    /// - Parameters:
    ///   - work: executes every plan; numbers, bytes and audits are its own.
    ///   - told: gives estimates and durations.
    public init(_ work: Work, told: Told) {
        self.work = work
        self.told = told
    }

    public var model: ModelShape { work.model }
    public var footprint: Footprint { work.footprint }
    public func servingWorkspace(tokens: Int) -> Bytes { work.servingWorkspace(tokens: tokens) }
    public func trainWorkspace(for microBatch: MicroBatch, unitRows: Int) -> Bytes {
        work.trainWorkspace(for: microBatch, unitRows: unitRows)
    }

    public func estimate(_ plan: StepPlan) -> SimDuration { told.estimate(plan) }

    public func execute(_ plan: StepPlan) throws -> StepOutcome {
        var outcome = try work.execute(plan)
        taken.append(outcome.duration)
        let said = try told.execute(plan)
        outcome.duration = said.duration
        outcome.unitDurations = said.unitDurations
        return outcome
    }

    public func apply(_ movements: [DataMovement]) throws {
        try work.apply(movements)
        try told.apply(movements)
    }
    public func advance(version: Int) throws {
        try work.advance(version: version)
        try told.advance(version: version)
    }
    public func publish(version: Int) throws {
        try work.publish(version: version)
        try told.publish(version: version)
    }
    public func open(_ microBatch: MicroBatch, unitRows: Int) throws {
        try work.open(microBatch, unitRows: unitRows)
        try told.open(microBatch, unitRows: unitRows)
    }
    public func close(_ microBatch: MicroBatch) throws {
        try work.close(microBatch)
        try told.close(microBatch)
    }
    public func audit(_ microBatches: [MicroBatch]) throws -> GradientAudit? { try work.audit(microBatches) }
    public func evaluate() throws -> HeldOutLoss? { try work.evaluate() }
    public func forgetVersions(before version: Int) {
        work.forgetVersions(before: version)
        told.forgetVersions(before: version)
    }
    public var arenaPeaks: [ArenaPeak] { work.arenaPeaks }
}
