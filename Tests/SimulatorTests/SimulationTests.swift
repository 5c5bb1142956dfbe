import Simulator
import Testing

@Suite struct SimulationTests {
    /// Conversations of one to four turns with lengths, arrivals and feedback drawn from `stream`.
    static func randomTrace(_ stream: inout RandomStream, requests: Int) -> Trace {
        var list: [Request] = []
        var arrival = SimTime.zero
        while list.count < requests {
            let conversation = "c\(list.count)"
            var history = 0
            var previous: Int?
            for turn in 0...stream.below(4) {
                arrival = arrival + SimDuration(nanoseconds: Int64(stream.below(4_000_000)))
                let prompt = history + 1 + stream.below(60)
                let output = 1 + stream.below(30)
                history = prompt + output
                let choice = stream.below(4)
                let delay = SimDuration(nanoseconds: Int64(stream.below(20_000_000)))
                let feedback: FeedbackEntry =
                    switch choice {
                    case 0: .unstated
                    case 1: .none
                    case 2: .given(Feedback(delay: delay))
                    default:
                        .given(
                            Feedback(
                                delay: delay,
                                signal: .sft(edited: Array(repeating: 1, count: 1 + stream.below(20))))
                        )
                    }
                list.append(
                    Request(
                        id: "r\(list.count)", arrival: arrival, promptTokens: prompt, outputTokens: output,
                        conversation: conversation, turn: turn, previousTurn: previous,
                        thinkTime: SimDuration(nanoseconds: Int64(stream.below(3_000_000))), feedback: feedback))
                previous = list.count - 1
            }
        }
        return Trace(source: "random", requests: list)
    }

    static func randomConfiguration(_ stream: inout RandomStream) -> ArmConfiguration {
        var configuration = ArmConfiguration(seed: stream.next())
        configuration.serving.tokenBudget = [3, 16, 64, 256][stream.below(4)]
        configuration.serving.maxBatch = [1, 4, 32][stream.below(3)]
        configuration.serving.kvBlockTokens = [1, 5, 16][stream.below(3)]
        configuration.device.linkBandwidth = [5e7, 1e9, 1e11][stream.below(3)]
        configuration.training.enabled = stream.below(5) > 0
        configuration.training.reuse = configuration.training.enabled && stream.below(4) > 0
        configuration.training.updateEvery = 1 + stream.below(5)
        configuration.training.microBatchTokens = [40, 200, 1000][stream.below(3)]
        configuration.training.lossTokens = stream.below(2) == 0 ? .completion : .all
        configuration.training.staleness = [.exact, .bounded(1), .any][stream.below(3)]
        configuration.training.quantumMax = SimDuration(nanoseconds: [50_000, 500_000, 100_000_000][stream.below(3)])
        configuration.recording.scope = configuration.training.reuse ? [.prefill, .all][stream.below(2)] : .none
        configuration.recording.offload = [.eager, .none, .hedged, .headroom][stream.below(4)]
        configuration.recording.backpressure = [.drop, .stall][stream.below(2)]
        configuration.recording.granule = [.layer, .chunk, .request][stream.below(3)]
        configuration.recording.hostEviction = [.none, .oldest, .expiring][stream.below(3)]
        configuration.recording.headroom = [.share(0.5), .bytes(Bytes(300_000)), .share(1)][stream.below(3)]
        configuration.recording.selection =
            [
                .all, .fraction(0.5), .expectedFeedback(recall: 0.9, precision: 0.8),
            ][stream.below(3)]
        configuration.recording.prefetchLayers = stream.below(3)
        configuration.recording.keepFor = SimDuration(nanoseconds: [1_000_000, 1_000_000_000][stream.below(2)])
        let plans = [[.full], [.full], [.lean], [.boundary], [.lean, .full, .boundary]] as [[SavePlan]]
        configuration.recording.plan = LayerPlans(layers: plans[stream.below(plans.count)])
        configuration.training.checkpointing = Checkpointing.allCases[stream.below(Checkpointing.allCases.count)]
        return configuration
    }

    @Test(arguments: 0..<400) func lawsHoldInRandomScenarios(seed: Int) throws {
        var stream = RandomStream(seed: UInt64(seed), name: "scenario")
        let trace = Self.randomTrace(&stream, requests: 1 + stream.below(40))
        var configuration = Self.randomConfiguration(&stream)
        var backend = RateBackend(
            plans: SavePlans(
                checkpointing: configuration.training.checkpointing, recorded: configuration.recording.plan))
        // Nobody is preempted here.
        backend.books.keepsVersions = true
        let least = MemoryRequirement(configuration: configuration, trace: trace, demand: backend)
        configuration.device.memory = least.deviceForEveryRequest + Bytes([0, 100_000, 200_000_000][stream.below(3)])
        configuration.device.hostMemory = least.host + Bytes([0, 300_000, 200_000_000][stream.below(3)])
        var simulation = try Simulation(configuration: configuration, trace: trace, backend: backend)
        simulation.checksEveryEvent = true
        let log = try simulation.run()
        #expect(simulation.backend.books.problems == [])
        #expect(simulation.backend.books.isEmpty)
        #expect(log.requests.allSatisfy { $0.outcome == .finished })
        #expect(log.memory.device.peak <= configuration.device.memory)
        #expect(log.memory.host.peak <= configuration.device.hostMemory)
        for (a, b) in zip(log.quanta, log.quanta.dropFirst()) {
            #expect(a.start + a.duration <= b.start, "two quanta overlap on the compute stream")
        }
        if configuration.training.enabled {
            let trained = log.steps.reduce(0) { $0 + $1.samples }
            let expected = trace.requests.filter { request in
                switch request.feedback {
                case .given: true
                case .none: false
                case .unstated: configuration.feedback.feedback(for: request.id, seed: configuration.seed) != nil
                }
            }
            #expect(trained == expected.count)
            #expect(log.steps.map(\.version) == Array(0..<log.steps.count))
        } else {
            #expect(log.steps.isEmpty)
        }
        Self.expectTimesOfUsers(log, trace, configuration)
        // A second run decides the same.
        var again = try Simulation(configuration: configuration, trace: trace, backend: backend)
        let repeated = try again.run()
        #expect(repeated.end == log.end)
        #expect(repeated.shapes.map(\.key) == log.shapes.map(\.key))
    }

    /// A turn is sent once the answer before it has been read, and feedback comes once the answer has been judged.
    private static func expectTimesOfUsers(_ log: ArmLog, _ trace: Trace, _ configuration: ArmConfiguration) {
        for (index, request) in trace.requests.enumerated() {
            let previous = request.previousTurn.flatMap { log.requests[$0].finish }
            let sent = previous.map { max(request.arrival, $0 + request.thinkTime) } ?? request.arrival
            #expect(log.requests[index].effectiveArrival == sent, "request \(index)")
        }
        for sample in log.steps.flatMap(\.learned) {
            let request = trace.requests[sample.request]
            let delay: SimDuration? =
                switch request.feedback {
                case .given(let feedback): feedback.delay
                case .none: nil
                case .unstated:
                    configuration.feedback.feedback(for: request.id, seed: configuration.seed)?.delay
                }
            guard let delay, let finish = log.requests[sample.request].finish else {
                #expect(Bool(false), "request \(sample.request) is learned from without feedback")
                continue
            }
            #expect(sample.ready == finish + delay, "feedback on request \(sample.request)")
        }
    }

    @Test func reuseSkipsTheForwardPassOfRecordedTokens() throws {
        var stream = RandomStream(seed: 7, name: "scenario")
        let trace = Self.randomTrace(&stream, requests: 60)
        var configuration = ArmConfiguration()
        configuration.training.enabled = true
        func run(reuse: Bool) throws -> ArmLog {
            configuration.training.reuse = reuse
            configuration.recording.scope = reuse ? .prefill : .none
            var simulation = try Simulation(configuration: configuration, trace: trace, backend: RateBackend())
            return try simulation.run()
        }
        let recompute = try run(reuse: false)
        let reuse = try run(reuse: true)
        func sum(_ log: ArmLog, _ value: (StepRecord) -> Int) -> Int { log.steps.reduce(0) { $0 + value($1) } }
        #expect(sum(recompute) { $0.tokens } == sum(reuse) { $0.tokens })
        #expect(sum(recompute) { $0.reusedTokens } == 0)
        let prompts = reuse.steps.count > 0 ? sum(reuse) { $0.reusedTokens } : 0
        #expect(prompts > 0)
        let recorded = reuse.requests.reduce(0) { $0 + $1.recordedTokens }
        #expect(recorded == trace.requests.reduce(0) { $0 + $1.promptTokens })
        let forward = { (log: ArmLog) in log.steps.reduce(SimDuration.zero) { $0 + $1.time.forward } }
        #expect(forward(reuse).seconds < 0.8 * forward(recompute).seconds)
        let backward = { (log: ArmLog) in log.steps.reduce(SimDuration.zero) { $0 + $1.time.backward } }
        #expect(abs(backward(reuse).seconds / backward(recompute).seconds - 1) < 0.1)
    }

    @Test func recordingAndTrainingOffChangesNothing() throws {
        var stream = RandomStream(seed: 11, name: "scenario")
        let trace = Self.randomTrace(&stream, requests: 50)
        var plain = try Simulation(configuration: ArmConfiguration(), trace: trace, backend: RateBackend())
        // Settings of recording and training that are not in use, and users' feedback, must not touch serving.
        var configuration = ArmConfiguration()
        configuration.training.updateEvery = 1
        configuration.training.quantumMax = SimDuration(nanoseconds: 1)
        configuration.training.tuning = .lora(rank: 4, alpha: 8, targets: Projection.allCases)
        configuration.recording.offload = .none
        configuration.recording.keepFor = .zero
        configuration.feedback.rate = 1
        var other = try Simulation(configuration: configuration, trace: trace, backend: RateBackend())
        let a = try plain.run()
        let b = try other.run()
        #expect(a.quanta.map(\.start) == b.quanta.map(\.start))
        #expect(a.requests.map(\.finish) == b.requests.map(\.finish))
        #expect(a.steps.isEmpty && a.transfers.isEmpty && a.memory.trainingPeak == .zero)
    }

    @Test(arguments: [MemoryTier.device, .host]) func tooLittleMemoryIsRefusedBeforeAnyWork(tier: MemoryTier) throws {
        var stream = RandomStream(seed: 3, name: "scenario")
        let trace = Self.randomTrace(&stream, requests: 5)
        var configuration = ArmConfiguration()
        configuration.training.enabled = true
        configuration.recording.scope = .prefill
        let least = MemoryRequirement(configuration: configuration, trace: trace, demand: RateBackend())
        configuration.device.memory = tier == .device ? least.device - Bytes(1) : least.device
        configuration.device.hostMemory = tier == .host ? least.host - Bytes(1) : least.host
        let error = #expect(throws: SimulationError.self) {
            _ = try Simulation(configuration: configuration, trace: trace, backend: RateBackend())
        }
        guard case .tooLittleMemory(tier, let needed, let available, _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(needed == available + Bytes(1))
    }

    /// The server waits for no more than one trainer quantum: with training on, a request that comes to an idle server
    /// starts within the longest quantum.
    @Test func trainingDelaysAnIdleServerByAtMostOneQuantum() throws {
        let requests = (0..<40).map { index in
            Request(
                id: "r\(index)", arrival: SimTime(nanoseconds: Int64(index) * 5_300_000), promptTokens: 50,
                outputTokens: 4,
                feedback: .given(Feedback(delay: .zero)))
        }
        var configuration = ArmConfiguration()
        configuration.training.enabled = true
        configuration.training.updateEvery = 1
        configuration.training.quantumMax = SimDuration(nanoseconds: 300_000)
        var backend = RateBackend()
        backend.flopsPerSecond = 2e9
        var simulation = try Simulation(
            configuration: configuration, trace: Trace(source: "even", requests: requests), backend: backend)
        let log = try simulation.run()
        let longest = log.quanta.filter { $0.kind == .train }.map(\.duration).max() ?? .zero
        #expect(longest > .zero && longest.seconds < 400e-6)
        var serverFree = SimTime.zero
        var delayed = 0
        for record in log.requests {
            guard let arrival = record.effectiveArrival, let scheduled = record.scheduled, let finish = record.finish
            else {
                continue
            }
            if arrival >= serverFree {
                #expect(scheduled - arrival <= longest)
                delayed += scheduled > arrival ? 1 : 0
            }
            serverFree = max(serverFree, finish)
        }
        #expect(delayed > 0, "no request ever met a trainer quantum: the test shows nothing")
    }
}
