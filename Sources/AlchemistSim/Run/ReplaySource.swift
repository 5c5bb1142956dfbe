internal import Engine
internal import MeasuredBackend
internal import Simulator

/// Recorded durations.
struct ReplaySource: BackendSource {
    let recording: Recording
    /// Whether plans that were not recorded are priced by the recorded profile; otherwise they are an error.
    let pricesMissing: Bool
    let model: ModelConfig

    func hardware(for arm: Arm) throws -> Hardware { try recording.arm(named: arm.name).hardware }

    func backend(for arm: Arm, round: Int) throws -> ReplayBackend<ArmDemand> {
        let recorded = try recording.arm(named: arm.name)
        guard round < recorded.repeats.count else {
            throw RecordingError.missingRepeat(arm: arm.name, wanted: round + 1, recorded: recorded.repeats.count)
        }
        return ReplayBackend(
            table: recorded.repeats[round], choice: .inOrder, hardware: recorded.hardware,
            fallback: pricesMissing ? recorded.hardware : nil,
            demand: ArmDemand(model, arm.configuration, on: recorded.hardware, threads: recording.threads))
    }
}

/// One table of costs for every arm: the median over all executions of a shape, in whichever arm and repeat.
struct CommonCosts: BackendSource {
    private let table: ReplayTable
    private let profiles: [String: Hardware]
    private let model: ModelConfig
    private let threads: Int
    private let bias: [WorkPhase: Double]

    /// - Parameter profiles: what each arm's estimates were made from.
    init(
        of logs: [ArmLog], profiles: [String: Hardware], model: ModelConfig, threads: Int
    ) {
        let logs = logs.map { log in log.steadied(at: Self.speed(of: logs)) }
        var table = ReplayTable()
        for log in logs { table.add(log) }
        self.table = table
        self.profiles = profiles
        self.model = model
        self.threads = threads
        bias = Self.bias(of: logs)
    }

    func hardware(for arm: Arm) throws -> Hardware {
        guard let profile = profiles[arm.name] else {
            throw RecordingError.missingArm(arm.name, known: profiles.keys.sorted())
        }
        return profile
    }

    func backend(for arm: Arm, round: Int) throws -> ReplayBackend<MeasuredDemand> {
        let hardware = try hardware(for: arm)
        return ReplayBackend(
            table: table, choice: .median, hardware: hardware,
            fallback: hardware.machine.map { .machine($0.scaled(by: bias)) } ?? hardware,
            demand: MeasuredDemand(model, MeasuredOptions(arm.configuration), threads: threads))
    }

    /// The median probe, in nanoseconds; nil where no machine was watched.
    private static func speed(of logs: [ArmLog]) -> Double? {
        let probes = logs.flatMap { $0.quanta.compactMap(\.probe?.nanoseconds) }.sorted()
        return probes.isEmpty ? nil : Double(probes[probes.count / 2])
    }

    /// Measured time over predicted time, so that what is priced is neither cheaper nor dearer than what was measured.
    private static func bias(of logs: [ArmLog]) -> [WorkPhase: Double] {
        var sums: [WorkPhase: (measured: Double, predicted: Double)] = [:]
        for quantum in logs.lazy.flatMap(\.quanta) {
            let phases: [WorkPhase] =
                switch quantum.kind {
                case .serve: [quantum.prefillTokens > 0 ? .prefill : .decode]
                case .train: [.forward, .loss, .backward, .optimizer]
                }
            for phase in phases {
                sums[phase, default: (0, 0)].measured += quantum.duration.seconds
                sums[phase, default: (0, 0)].predicted += quantum.predicted.seconds
            }
        }
        return sums.mapValues { $0.measured / $0.predicted }
    }
}

extension ArmLog {
    /// The same quanta as though the machine had always run at one speed.
    fileprivate func steadied(at reference: Double?) -> ArmLog {
        guard let reference else { return self }
        var quanta = Array(self.quanta)
        var units = Array(self.units)
        var unit = 0
        for index in quanta.indices {
            let quantum = quanta[index]
            let first = unit
            while unit < units.count, units[unit].quantum == index { unit += 1 }
            guard let probe = quantum.probe else { continue }
            let isReading = quantum.kind == .serve && quantum.prefillTokens == 0
            let factor = SpeedElasticity.factor(
                reference: reference, probe: Double(probe.nanoseconds),
                isReading ? SpeedElasticity.reading : SpeedElasticity.computing)
            func steady(_ duration: SimDuration) -> SimDuration {
                SimDuration(nanoseconds: max(1, Int64((Double(duration.nanoseconds) * factor).rounded())))
            }
            for place in first..<unit { units[place].duration = steady(units[place].duration) }
            quanta[index].duration =
                first < unit ? units[first..<unit].reduce(.zero) { $0 + $1.duration } : steady(quantum.duration)
        }
        var log = self
        log.quanta = BoundedLog(quanta, limit: self.quanta.limit)
        log.units = BoundedLog(units, limit: self.units.limit)
        return log
    }
}

extension HardwareProfile {
    /// The same hardware with everything in a phase costing more or less.
    fileprivate func scaled(by factors: [WorkPhase: Double]) -> HardwareProfile {
        var scaled = self
        for (phase, factor) in factors {
            scaled.corrections[phase] = (corrections[phase] ?? .none).scaled(by: factor)
        }
        return scaled
    }
}

extension ReplayTable {
    /// Adds the quanta of a log, in the order in which they were executed.
    mutating func add(_ log: ArmLog) {
        let keys = log.shapes.map(\.key)
        var unit = 0
        for (index, quantum) in log.quanta.enumerated() {
            let first = unit
            while unit < log.units.count, log.units[unit].quantum == index { unit += 1 }
            add(
                keys[quantum.shape],
                Execution(duration: quantum.duration, units: log.units[first..<unit].map(\.duration)))
        }
    }
}
