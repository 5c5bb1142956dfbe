import Simulator
import Testing

@Suite struct PlacementTests {
    private static let millisecond = SimDuration.milliseconds(1)

    /// Requests that keep a server busy for a while, each with feedback at once.
    private static func trace(_ requests: Int, every gap: SimDuration, prompt: Int = 24, output: Int = 12) -> Trace {
        Trace(
            source: "placement",
            requests: (0..<requests).map { index in
                Request(
                    id: "r\(index)", arrival: SimTime(nanoseconds: Int64(index) * gap.nanoseconds),
                    promptTokens: prompt,
                    outputTokens: output, conversation: nil, turn: 0, previousTurn: nil, thinkTime: .zero,
                    feedback: .given(Feedback(delay: .zero)))
            })
    }

    private static func configuration(_ change: (inout ArmConfiguration) -> Void) -> ArmConfiguration {
        var configuration = ArmConfiguration(seed: 3)
        configuration.training.enabled = true
        configuration.training.updateEvery = 2
        configuration.training.quantumMax = SimDuration(nanoseconds: 200_000)
        configuration.recording.scope = .none
        change(&configuration)
        return configuration
    }

    private static func run(_ configuration: ArmConfiguration, _ trace: Trace) throws -> ArmLog {
        var simulation = try Simulation(configuration: configuration, trace: trace, backend: RateBackend())
        simulation.checksEveryEvent = true
        let log = try simulation.run()
        #expect(simulation.backend.books.problems == [])
        return log
    }

    // MARK: A device each

    @Test func aSeparateTrainerLeavesServingAlone() throws {
        let trace = Self.trace(40, every: SimDuration(nanoseconds: 300_000))
        let alone = try Self.run(Self.configuration { $0.training.enabled = false }, trace)
        let separate = try Self.run(Self.configuration { $0.training.placement = .separate }, trace)
        #expect(alone.requests.map(\.finish) == separate.requests.map(\.finish))
        #expect(alone.requests.map(\.firstToken) == separate.requests.map(\.firstToken))
        #expect(!separate.steps.isEmpty)
        let server = separate.quanta.filter { $0.kind == .serve }
        let trainer = separate.quanta.filter { $0.kind == .train }
        for quanta in [server, trainer] {
            for (a, b) in zip(quanta, quanta.dropFirst()) {
                #expect(a.start + a.duration <= b.start, "two quanta overlap on one stream")
            }
        }
        let overlapping = trainer.contains { quantum in
            server.contains { $0.start < quantum.start + quantum.duration && quantum.start < $0.start + $0.duration }
        }
        #expect(overlapping, "two devices never compute at the same time")
    }

    /// Neither does it empty the server's caches, which the first iteration after other work has to fill again.
    @Test func aSeparateTrainerLeavesTheServersCachesAlone() throws {
        let trace = Self.trace(40, every: SimDuration.milliseconds(3))
        let alone = try Self.runModelled(Self.configuration { $0.training.enabled = false }, trace)
        let separate = try Self.runModelled(Self.configuration { $0.training.placement = .separate }, trace)
        let shared = try Self.runModelled(Self.configuration { $0.training.sharing = .idle }, trace)
        #expect(!separate.steps.isEmpty && !shared.steps.isEmpty)
        #expect(alone.requests.map(\.finish) == separate.requests.map(\.finish))
        #expect(alone.tokenGaps.map(\.gap) == separate.tokenGaps.map(\.gap))
    }

    /// On hardware whose caches show: decoding right after other work takes longer.
    private static func runModelled(_ configuration: ArmConfiguration, _ trace: Trace) throws -> ArmLog {
        let backend = ModelledBackend(hardware: .machine(.sample), demand: SampleDemand())
        var simulation = try Simulation(configuration: configuration, trace: trace, backend: backend)
        simulation.checksEveryEvent = true
        return try simulation.run()
    }

    /// Publishing takes the link's time, and nothing is served with weights that have not arrived.
    @Test(arguments: [1e6, 1e8, 1e11]) func weightsTravelOverTheLink(bandwidth: Double) throws {
        let trace = Self.trace(60, every: SimDuration(nanoseconds: 400_000))
        let configuration = Self.configuration {
            $0.training.placement = .separate
            $0.device.linkBandwidth = bandwidth
        }
        let log = try Self.run(configuration, trace)
        let bytes = RateBackend().footprint.published
        let copy = configuration.device.linkLatency.seconds + Double(bytes.count) / bandwidth
        for step in log.steps {
            let published = try #require(step.published)
            #expect(abs((published - step.end).seconds - copy) < 2e-9)
        }
        for (step, next) in zip(log.steps, log.steps.dropFirst()) {
            let published = try #require(step.published)
            #expect(published <= next.end, "the optimizer has overwritten weights on their way")
        }
        for quantum in log.quanta where quantum.kind == .serve {
            let newest = log.steps.last { ($0.published ?? .zero) <= quantum.start }
            #expect(quantum.version == newest.map { $0.version + 1 } ?? 0)
        }
        let waited = log.steps.reduce(SimDuration.zero) { $0 + $1.time.publish }
        #expect(bandwidth > 1e6 || waited > .zero, "a slow link delays nobody")
        #expect(bandwidth < 1e11 || waited == .zero)
    }

    @Test func theTrainersDeviceHasBooksOfItsOwn() throws {
        let trace = Self.trace(20, every: Self.millisecond)
        let footprint = RateBackend().footprint
        let log = try Self.run(Self.configuration { $0.training.placement = .separate }, trace)
        func peak(_ owner: MemoryOwner, _ tier: MemoryTier) -> Bytes { log.memory[tier].peakByOwner[owner.rawValue] }
        #expect(peak(.weights, .trainerDevice) == footprint.weights)
        #expect(peak(.optimizer, .trainerDevice) == footprint.optimizer)
        #expect(peak(.gradients, .trainerDevice) == footprint.gradients)
        #expect(peak(.trainActivations, .trainerDevice) > .zero)
        for owner in [MemoryOwner.gradients, .optimizer, .trainActivations, .trainWorkspace] {
            #expect(peak(owner, .device) == .zero)
        }
        let colocated = try Self.run(Self.configuration { _ in }, trace)
        #expect(colocated.memory.trainerDevice.peak == .zero)
        // The copy of the weights, and the second buffer for what is published.
        let more = footprint.weights + footprint.adapters + footprint.publishBuffer
        #expect(log.memory.trainingPeak == colocated.memory.trainingPeak + more)
    }

    @Test func theLagIsFromFeedbackToTheFirstTokenServedWithIt() throws {
        let trace = Self.trace(30, every: Self.millisecond)
        let log = try Self.run(Self.configuration { _ in }, trace)
        for step in log.steps {
            #expect(step.learned.count == step.samples)
            #expect(step.learned.reduce(0) { $0 + $1.tokens } == step.tokens)
            let serving = log.quanta.first { $0.kind == .serve && $0.version > step.version }
            #expect(step.firstServed == serving.map { $0.start + $0.duration })
        }
        #expect(log.steps.contains { $0.firstServed != nil })
    }

    // MARK: A shared stream

    /// Under a load that leaves no gaps.
    private static func busy(
        _ sharing: Sharing, every gap: Int64 = 20_000, _ change: (inout ArmConfiguration) -> Void = { _ in }
    ) throws -> ArmLog {
        let trace = Self.trace(120, every: SimDuration(nanoseconds: gap))
        return try run(
            configuration {
                $0.training.sharing = sharing
                $0.serving.maxBatch = 8
                change(&$0)
            }, trace)
    }

    /// Time of the trainer's quanta that begin while requests are served.
    private static func trainingWhileServing(_ log: ArmLog) -> (trainer: Double, server: Double) {
        let end = log.requests.compactMap(\.finish).max() ?? .zero
        let early = log.quanta.filter { $0.start < end }
        func time(_ kind: QuantumRecord.Kind) -> Double {
            early.filter { $0.kind == kind }.reduce(0) { $0 + $1.duration.seconds }
        }
        return (time(.train), time(.serve))
    }

    @Test func idleTrainsOnlyInGaps() throws {
        #expect(Self.trainingWhileServing(try Self.busy(.idle)).trainer == 0)
    }

    @Test(arguments: [0.1, 0.3, 0.5]) func shareGivesTheTrainerItsPart(share: Double) throws {
        let log = try Self.busy(.share) { $0.training.share = share }
        // From the first step on, until the requests are served.
        let first = try #require(log.quanta.first { $0.kind == .train }?.start)
        let end = try #require(log.requests.compactMap(\.finish).max())
        let quanta = log.quanta.filter { $0.start >= first && $0.start < end }
        let train = quanta.filter { $0.kind == .train }.reduce(0.0) { $0 + $1.duration.seconds }
        let all = quanta.reduce(0.0) { $0 + $1.duration.seconds }
        #expect(abs(train / all - share) < 0.05, "\(train / all) of the stream")
    }

    @Test func slackLetsTheTrainerInOnlyWhereObjectivesAllow() throws {
        let idle = try Self.busy(.idle)
        let wide = try Self.busy(.slo) { $0.serving.tbtObjective = SimDuration.milliseconds(20) }
        let longest = { (log: ArmLog) in log.tokenGaps.map(\.gap).max() ?? .zero }
        #expect(Self.trainingWhileServing(wide).trainer > 0)
        #expect(longest(wide) <= SimDuration.milliseconds(20))
        // An objective below what serving alone takes leaves no slack.
        let tight = try Self.busy(.slo) { $0.serving.tbtObjective = SimDuration(nanoseconds: 1_000) }
        #expect(tight.requests.map(\.finish) == idle.requests.map(\.finish))
    }

    @Test(arguments: [0.3, 1, 3.0]) func everyTokenKeepsAnObjectiveThatServingAloneKeeps(factor: Double) throws {
        // All are there from the beginning: nobody arrives while the trainer works.
        let idle = try Self.busy(.idle, every: 0)
        let alone = idle.tokenGaps.map(\.gap.nanoseconds).max() ?? 0
        let objective = SimDuration(nanoseconds: Int64(Double(alone) * (1 + factor)))
        let log = try Self.busy(.slo, every: 0) { $0.serving.tbtObjective = objective }
        #expect(log.tokenGaps.allSatisfy { $0.gap <= objective })
        #expect(Self.trainingWhileServing(log).trainer > 0)
    }

    /// The iteration after the trainer's quantum finds other caches than the one before it, and is foreseen so.
    @Test(arguments: [1, 3.0]) func objectivesAreKeptWhereTheTrainerEmptiesTheCaches(factor: Double) throws {
        func run(_ sharing: Sharing, _ objective: SimDuration) throws -> ArmLog {
            try Self.runModelled(
                Self.configuration {
                    $0.training.sharing = sharing
                    $0.training.quantumMax = SimDuration.milliseconds(1)
                    $0.serving.maxBatch = 8
                    $0.serving.tbtObjective = objective
                }, Self.trace(60, every: .zero))
        }
        let alone = try run(.idle, .zero).tokenGaps.map(\.gap.nanoseconds).max() ?? 0
        let objective = SimDuration(nanoseconds: Int64(Double(alone) * (1 + factor)))
        let log = try run(.slo, objective)
        #expect(log.tokenGaps.allSatisfy { $0.gap <= objective })
        #expect(Self.trainingWhileServing(log).trainer > 0)
    }
}
