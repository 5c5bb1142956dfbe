import Simulator
import Testing

@Suite struct ModelledBackendTests {
    static func configuration(reuse: Bool = true) -> ArmConfiguration {
        var configuration = ArmConfiguration(seed: 3)
        configuration.training.enabled = true
        configuration.training.reuse = reuse
        configuration.training.microBatchTokens = 300
        configuration.recording.scope = reuse ? .prefill : .none
        configuration.serving.tokenBudget = 64
        return configuration
    }

    static func trace(requests: Int = 60) throws -> Trace {
        var options = TraceGeneratorOptions()
        options.requests = requests
        options.maxContext = 200
        options.scale = 0.1
        options.language.vocabulary = 128
        options.arrivals = .poisson(rate: 300)
        options.meanThinkTime = 0.002
        options.feedback = TraceGeneratorOptions.FeedbackModel(rate: 0.9, meanDelay: 0.005)
        return try TraceGenerator(options).generate()
    }

    static func run(_ backend: some ExecutionBackend, reuse: Bool = true) throws -> ArmLog {
        var simulation = try Simulation(configuration: configuration(reuse: reuse), trace: trace(), backend: backend)
        simulation.checksEveryEvent = true
        return try simulation.run()
    }

    /// Everything that a log has of times and decisions, as text.
    static func facts(_ log: ArmLog) -> [String] {
        log.requests.map { "\($0)" } + log.tokenGaps.map { "\($0)" } + log.quanta.map { "\($0)" }
            + log.units.map { "\($0)" } + log.transfers.map { "\($0)" } + log.shapes.map(\.key)
            + log.steps.map {
                "\($0.version) \($0.start) \($0.end) \($0.time) \($0.stall) \($0.tokens) \($0.reusedTokens)"
            }
            + ["\(log.memory.device.peak) \(log.memory.host.peak) \(log.memory.trainingPeak) \(log.end)"]
    }

    @Test(arguments: [false, true]) func runsAreTheSameEveryTime(reuse: Bool) throws {
        let logs = try (0..<2).map { _ in
            try Self.run(ModelledBackend(profile: .sample, demand: SampleDemand()), reuse: reuse)
        }
        #expect(Self.facts(logs[0]) == Self.facts(logs[1]))
        #expect(!logs[0].steps.isEmpty && logs[0].steps.allSatisfy { $0.loss == nil && $0.gradientNorm == nil })
    }

    @Test func durationsAreEstimatesAndUnitsSumToThem() throws {
        let log = try Self.run(ModelledBackend(profile: .sample, demand: SampleDemand()))
        for (index, quantum) in log.quanta.enumerated() {
            let units = log.units.filter { $0.quantum == index }
            #expect(units.isEmpty == (quantum.kind == .serve))
            if quantum.kind == .serve {
                #expect(quantum.duration == quantum.predicted)
            } else {
                #expect(units.reduce(SimDuration.zero) { $0 + $1.duration } == quantum.duration)
                #expect((quantum.duration - quantum.predicted).nanoseconds <= Int64(units.count))
            }
        }
    }

    @Test func aProfileThatPromisesTheImpossibleStopsTheRun() throws {
        var profile = HardwareProfile.sample
        profile.corrections[.backward] = HardwareProfile.Correction(scale: 1e-3, overhead: 0)
        let error = #expect(throws: PricingError.self) {
            _ = try Self.run(ModelledBackend(profile: profile, demand: SampleDemand()))
        }
        guard case .belowFloor(let shape, let price, let floor) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(price < floor && shape.hasPrefix("train "))
    }

    // MARK: Replay

    private static func table(of log: ArmLog) -> ReplayTable {
        var table = ReplayTable()
        for (index, quantum) in log.quanta.enumerated() {
            table.add(
                log.shapes[quantum.shape].key,
                ReplayTable.Execution(
                    duration: quantum.duration, units: log.units.filter { $0.quantum == index }.map(\.duration)))
        }
        return table
    }

    private static func replay(_ table: ReplayTable, fallback: HardwareProfile? = nil) -> ReplayBackend<SampleDemand> {
        ReplayBackend(table: table, choice: .inOrder, profile: .sample, fallback: fallback, demand: SampleDemand())
    }

    /// Durations that no profile would give, as a clock's are.
    private struct Noisy: ExecutionBackend {
        var inner = ModelledBackend(profile: .sample, demand: SampleDemand())
        var stream = RandomStream(seed: 4, name: "noise")

        var model: ModelShape { inner.model }
        var footprint: Footprint { inner.footprint }
        func servingWorkspace(tokens: Int) -> Bytes { inner.servingWorkspace(tokens: tokens) }
        func trainWorkspace(for batch: MicroBatch, unitRows: Int) -> Bytes {
            inner.trainWorkspace(for: batch, unitRows: unitRows)
        }
        func estimate(_ plan: StepPlan) -> SimDuration { inner.estimate(plan) }
        mutating func execute(_ plan: StepPlan) throws -> StepOutcome {
            func noisy(_ duration: SimDuration) -> SimDuration {
                SimDuration(nanoseconds: 1 + Int64(Double(duration.nanoseconds) * (0.5 + stream.uniform())))
            }
            var outcome = try inner.execute(plan)
            outcome.unitDurations = outcome.unitDurations.map(noisy)
            outcome.duration =
                outcome.unitDurations.isEmpty ? noisy(outcome.duration) : outcome.unitDurations.reduce(.zero, +)
            return outcome
        }
        func apply(_ movements: [DataMovement]) {}
        func advance(version: Int) {}
        func publish(version: Int) {}
        func open(_ microBatch: MicroBatch, unitRows: Int) {}
        func close(_ microBatch: MicroBatch) {}
        func audit(_ microBatches: [MicroBatch]) -> GradientAudit? { nil }
        func forgetVersions(before version: Int) {}
    }

    @Test(arguments: [false, true]) func aReplayTakesTheSameDecisionsAtTheSameTimes(reuse: Bool) throws {
        let live = try Self.run(Noisy(), reuse: reuse)
        let again = try Self.run(Self.replay(Self.table(of: live)), reuse: reuse)
        #expect(Self.facts(live) == Self.facts(again))
    }

    @Test func aPlanThatWasNotRecordedIsNamedOrPriced() throws {
        let live = try Self.run(Noisy(), reuse: true)
        let table = Self.table(of: live)
        // The other arm does other work.
        let error = #expect(throws: PricingError.self) { _ = try Self.run(Self.replay(table), reuse: false) }
        guard case .missingShape(let shape, _, _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(error?.description.contains(shape) == true && !shape.isEmpty)
        let priced = try Self.run(Self.replay(table, fallback: .sample), reuse: false)
        #expect(priced.status == .complete && !priced.steps.isEmpty)
    }

    @Test func theMedianIsAnExecutionOfItsOwn() {
        var table = ReplayTable()
        for value in [50, 10, 40, 20] as [Int64] {
            table.add("a", ReplayTable.Execution(duration: .milliseconds(value), units: [.milliseconds(value)]))
        }
        #expect(table.median(of: "a")?.units == [.milliseconds(20)])
        #expect(table.execution(of: "a", at: 1)?.duration == .milliseconds(10))
        #expect(table.execution(of: "a", at: 4) == nil && table.count(of: "a") == 4)
        #expect(table.median(of: "b") == nil)
    }
}
