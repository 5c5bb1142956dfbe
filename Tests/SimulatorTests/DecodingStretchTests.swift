import Simulator
import Testing

/// Stretches that only decode are executed without planning: nothing may come out otherwise.
@Suite struct DecodingStretchTests {
    private static func log(
        _ configuration: ArmConfiguration, _ trace: Trace, inStretches: Bool
    ) throws -> (log: ArmLog, planned: Int) {
        let backend = CountingBackend(base: ModelledBackend(hardware: .machine(.sample), demand: SampleDemand()))
        var simulation = try Simulation(configuration: configuration, trace: trace, backend: backend)
        simulation.log.shapeLimit = 0
        simulation.decodesInStretches = inStretches
        let log = try simulation.run()
        return (log, simulation.backend.executed)
    }

    private static func facts(_ log: ArmLog) -> [String] {
        let series = MemoryTier.allCases.map { "\(log.memory[$0].series.levels) \(log.memory[$0].peakByOwner)" }
        return ModelledBackendTests.facts(log) + series
            + log.steps.map { "\(String(describing: $0.published)) \(String(describing: $0.firstServed))" }
    }

    /// Thousands of small scenarios with every policy.
    @Test(arguments: 0..<20) func drawnCasesComeOutTheSame(group: Int) throws {
        for number in 0..<100 {
            var stream = RandomStream(seed: UInt64(group * 100 + number), name: "decoding stretch")
            var drawn = ServingCase.random(&stream)
            // Answers long enough for a block or two, and time between requests.
            for index in drawn.items.indices {
                drawn.items[index].output += 1 + stream.below(40)
                drawn.items[index].gap *= 1 + stream.below(200)
                if let delay = drawn.items[index].feedback { drawn.items[index].feedback = delay * stream.below(200) }
            }
            let trace = drawn.trace
            let configuration = drawn.configuration(for: trace, demand: SampleDemand())
            let stepwise = try Self.log(configuration, trace, inStretches: false).log
            let ahead = try Self.log(configuration, trace, inStretches: true).log
            guard Self.facts(stepwise) != Self.facts(ahead) else { continue }
            Issue.record("\(zip(Self.facts(stepwise), Self.facts(ahead)).first { $0 != $1 } ?? ("", "")) of \(drawn)")
            return
        }
    }

    /// With training beside, on the same device and on another, and by each way of sharing.
    @Test(arguments: [Placement.colocated, .separate], Sharing.allCases)
    func trainingComesOutTheSame(placement: Placement, sharing: Sharing) throws {
        var configuration = ModelledBackendTests.configuration()
        configuration.training.placement = placement
        configuration.training.sharing = sharing
        configuration.serving.tbtObjective = SimDuration.milliseconds(1)
        let trace = try ModelledBackendTests.trace(requests: 200)
        let stepwise = try Self.log(configuration, trace, inStretches: false)
        let ahead = try Self.log(configuration, trace, inStretches: true)
        #expect(Self.facts(stepwise.log) == Self.facts(ahead.log))
        #expect(!ahead.log.steps.isEmpty)
        if sharing != .share { #expect(ahead.planned < stepwise.planned) }
    }
}

/// Counts what is executed plan by plan.
private struct CountingBackend<Base: ExecutionBackend>: ExecutionBackend {
    var base: Base
    var executed = 0

    var model: ModelShape { base.model }
    var footprint: Footprint { base.footprint }
    func servingWorkspace(tokens: Int) -> Bytes { base.servingWorkspace(tokens: tokens) }
    func trainWorkspace(for microBatch: MicroBatch, unitRows: Int) -> Bytes {
        base.trainWorkspace(for: microBatch, unitRows: unitRows)
    }
    func estimate(_ plan: StepPlan) -> SimDuration { base.estimate(plan) }
    mutating func execute(_ plan: StepPlan) throws -> StepOutcome {
        executed += 1
        return try base.execute(plan)
    }
    var isPure: Bool { base.isPure }
    mutating func decode(sequences: Int, pairs: Int, decodesBefore: Int) throws -> SimDuration? {
        try base.decode(sequences: sequences, pairs: pairs, decodesBefore: decodesBefore)
    }
    mutating func apply(_ movements: [DataMovement]) throws { try base.apply(movements) }
    mutating func advance(version: Int) throws { try base.advance(version: version) }
    mutating func publish(version: Int) throws { try base.publish(version: version) }
    mutating func open(_ microBatch: MicroBatch, unitRows: Int) throws {
        try base.open(microBatch, unitRows: unitRows)
    }
    mutating func close(_ microBatch: MicroBatch) throws { try base.close(microBatch) }
    mutating func audit(_ microBatches: [MicroBatch]) throws -> GradientAudit? { try base.audit(microBatches) }
    mutating func forgetVersions(before version: Int) { base.forgetVersions(before: version) }
}
