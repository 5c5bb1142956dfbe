internal import Engine
public import Simulator

/// Measures what work costs on this machine: operators by themselves, then whole quanta through the same backend that
/// runs will use, which show how operators in place differ from operators by themselves.
public struct Calibrator {
    private let engine: EngineContext
    private let training: TrainingConfiguration
    private let serving: ServingConfiguration
    private let effort: CalibrationEffort

    public init(
        _ engine: EngineContext, training: TrainingConfiguration, serving: ServingConfiguration,
        effort: CalibrationEffort
    ) {
        self.engine = engine
        self.training = training
        self.serving = serving
        self.effort = effort
    }

    /// - Parameters:
    ///   - told: how long the speed's probe took at the speed at which times are told (`HardwareProfile.probe`); nil for the
    ///     speed that is found.
    ///   - progress: told the share that is done; what it throws ends the calibration.
    public func run(
        origin: HardwareProfile.Origin, atSpeed told: Double? = nil, progress: (Double) throws -> Void = { _ in }
    ) throws -> HardwareProfile {
        var peak = 0.0
        let probe = SpeedProbe(pool: engine.pool)
        let found = probe.reference(over: effort == .quick ? 0.02 : 3)
        let reference = told ?? found
        let sampling = Sampling(effort, probe, reference: reference)
        let products = ProductBench(
            engine.config, training.tuning, effort: effort, sampling: sampling, pool: engine.pool)
        var surfaces: [Operator.Orientation: CostSurface] = [:]
        for (index, orientation) in Operator.Orientation.allCases.enumerated() {
            try progress(0.2 * Double(index))
            surfaces[orientation] = products.surface(orientation) { peak = max(peak, $0) }
        }
        try progress(0.6)
        let attention = AttentionBench(
            engine.config, effort: effort, sampling: sampling, blockTokens: serving.kvBlockTokens, pool: engine.pool)
        let passes = PassBench(engine.config, effort: effort, sampling: sampling, pool: engine.pool)
        let curves = passes.curves().merging(passes.trainedCurves(TuningMode(training.tuning))) { own, _ in own }
        try progress(0.75)
        var profile = HardwareProfile(
            origin: origin, probe: reference, limits: LimitsBench(effort: effort, pool: engine.pool).limits(seen: peak),
            products: surfaces, heads: attention.heads, attention: attention.forward(),
            attentionBackward: attention.backward(), decodeAttention: attention.decode(), passes: curves,
            corrections: [:])
        try progress(0.9)
        profile.setCorrections(try observe(profile, rounds: effort == .quick ? 3 : 9).corrections)
        try progress(1)
        return profile
    }

    /// Executes whole quanta. What a machine that others share takes for them changes within minutes, and the last seconds of
    /// one calibration see one moment.
    ///
    /// - Parameters:
    ///   - profile: whose operators are summed; its corrections do not count.
    ///   - rounds: executions of each quantum.
    public func observe(_ profile: HardwareProfile, rounds: Int = 1) throws -> QuantumTimes {
        engine.warmUp(serving)
        var bare = profile
        bare.corrections = [:]
        return try QuantumBench(
            engine, profile: bare, training: training, serving: serving, effort: effort
        ).run(rounds: rounds)
    }
}

extension HardwareProfile {
    /// The same surfaces, with whole quanta as they were observed.
    public func corrected(by times: QuantumTimes) -> HardwareProfile {
        var result = self
        result.setCorrections(times.corrections)
        return result
    }
}
