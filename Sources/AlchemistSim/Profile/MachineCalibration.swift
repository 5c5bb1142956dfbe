internal import Engine
internal import MeasuredBackend
public import Simulator

/// Measures the profile of this machine.
public struct MachineCalibration {
    private let origin: HardwareProfile.Origin
    private let calibrator: Calibrator

    /// - Parameters:
    ///   - scenario: its threads, batching and tuning are those that are measured.
    ///   - model: the one that the scenario names; its sizes are measured, with drawn weights.
    public init(_ scenario: Scenario, model: ScenarioModel) throws(ExperimentError) {
        let arm = try model.adopted(by: scenario).base
        let threads = scenario.threads > 0 ? scenario.threads : ThreadPool.processorCount
        let engine = EngineContext(model.config, pool: ThreadPool(width: threads))
        origin = HardwareProfile.Origin(
            cpu: Machine.processor, kernel: BLAS.kernelName, threads: threads, date: "", model: model.config.name)
        calibrator = Calibrator(engine, training: arm.training, serving: arm.serving, effort: .full)
    }

    /// One pass.
    ///
    /// - Parameters:
    ///   - date: in ISO 8601.
    ///   - first: an earlier pass at whose speed the times are told, so that their medians can be taken.
    ///   - progress: told the share that is done; what it throws ends the pass.
    public func run(
        date: String, toldAs first: HardwareProfile? = nil, progress: (Double) throws -> Void = { _ in }
    ) throws -> HardwareProfile {
        var origin = origin
        origin.date = date
        return try calibrator.run(origin: origin, atSpeed: first?.probe, progress: progress)
    }

    /// Goes on from a pass while something else is measured, so that both see the same of a drifting machine.
    public func continued(from pass: HardwareProfile) -> any ContinuedCalibration {
        ContinuedMachineCalibration(calibrator, pass)
    }
}

/// A calibration that goes on between other measurements.
public protocol ContinuedCalibration: AnyObject {
    /// Executes whole quanta, for some seconds.
    func observe() throws
    /// The surfaces of the first pass, and whole quanta by all that was observed since.
    var profile: HardwareProfile { get }
}

private final class ContinuedMachineCalibration: ContinuedCalibration {
    private let calibrator: Calibrator
    private let pass: HardwareProfile
    private var times = QuantumTimes()

    init(_ calibrator: Calibrator, _ pass: HardwareProfile) {
        self.calibrator = calibrator
        self.pass = pass
    }

    func observe() throws { times.add(try calibrator.observe(pass)) }

    var profile: HardwareProfile { pass.corrected(by: times) }
}

extension HardwareProfile {
    /// Median and largest spread of its points.
    public var spreads: (points: Int, median: Double, largest: Double) {
        let surfaces = Array(products.values) + [attention, attentionBackward, decodeAttention] + Array(passes.values)
        let all = surfaces.flatMap(\.spread).sorted()
        return (all.count, all.isEmpty ? 0 : all[all.count / 2], all.last ?? 0)
    }
}
