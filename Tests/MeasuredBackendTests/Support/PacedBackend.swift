import MeasuredBackend
import Simulator

/// Does the work for real, and says that it took what a made-up machine takes: which way records go is then the same on
/// every machine, however busy it is, while every number is computed.
final class PacedBackend: ExecutionBackend {
    let work: MeasuredBackend
    private let pace: ModelledBackend<MeasuredDemand>
    /// Told each plan before it is executed.
    var willExecute: (StepPlan) -> Void = { _ in }

    init(_ work: MeasuredBackend, demand: MeasuredDemand) {
        self.work = work
        pace = ModelledBackend(hardware: .machine(.paced), demand: demand)
    }

    var model: ModelShape { work.model }
    var footprint: Footprint { work.footprint }
    func servingWorkspace(tokens: Int) -> Bytes { work.servingWorkspace(tokens: tokens) }
    func trainWorkspace(for microBatch: MicroBatch, unitRows: Int) -> Bytes {
        work.trainWorkspace(for: microBatch, unitRows: unitRows)
    }

    func estimate(_ plan: StepPlan) -> SimDuration { pace.estimate(plan) }
    func execute(_ plan: StepPlan) throws -> StepOutcome {
        willExecute(plan)
        var outcome = try work.execute(plan)
        let paced = try pace.execute(plan)
        outcome.duration = paced.duration
        outcome.unitDurations = paced.unitDurations
        return outcome
    }

    func apply(_ movements: [DataMovement]) throws { try work.apply(movements) }
    func advance(version: Int) throws { try work.advance(version: version) }
    func publish(version: Int) throws { try work.publish(version: version) }
    func open(_ microBatch: MicroBatch, unitRows: Int) throws { try work.open(microBatch, unitRows: unitRows) }
    func close(_ microBatch: MicroBatch) throws { try work.close(microBatch) }
    func audit(_ microBatches: [MicroBatch]) throws -> GradientAudit? { try work.audit(microBatches) }
    func evaluate() throws -> HeldOutLoss? { try work.evaluate() }
    func forgetVersions(before version: Int) { work.forgetVersions(before: version) }
    var arenaPeaks: [ArenaPeak] { work.arenaPeaks }
}

extension HardwareProfile {
    /// A small model's operators at round rates: 40 GFLOP/s, 1 ns for each element of a pass.
    static let paced: HardwareProfile = {
        func surface(_ axes: [[Int]], _ secondsPerUnit: Double) -> CostSurface {
            var units = [1.0]
            for axis in axes { units = units.flatMap { unit in axis.map { unit * Double($0) } } }
            return CostSurface(
                axes: axes, seconds: units.map { 1e-6 + $0 * secondsPerUnit }, spread: units.map { _ in 0 })
        }
        let products = surface([[1, 512], [8, 512], [8, 512]], 2 / 40e9)
        let attention = surface([[1, 128], [1, 512]], 5e-9)
        let passes = Operator.Role.allCases.filter(\.isPass).map { ($0, surface([[64, 65536]], 1e-9)) }
        return HardwareProfile(
            origin: Origin(cpu: "made up", kernel: "none", threads: 2, date: "2025-01-02T03:04:05Z", model: "nano"),
            probe: 1e-4,
            limits: PhysicalLimits(
                flopsPerSecond: 1e12, bytesPerSecond: 1e12, cacheBytesPerSecond: 1e13, cacheBytes: 1e6),
            products: [.forward: products, .inputGradient: products, .weightGradient: products],
            heads: Heads(queryWidth: 64, kvWidth: 32), attention: attention, attentionBackward: attention,
            decodeAttention: attention, passes: Dictionary(uniqueKeysWithValues: passes), corrections: [:])
    }()
}
