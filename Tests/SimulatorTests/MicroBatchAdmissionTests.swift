import Simulator
import Testing

/// How many tokens go through the model together on a device, by what the program lets.
@Suite struct MicroBatchAdmissionTests {
    private static let model = ModelShape(
        name: "deep", layers: 12, hidden: 32, heads: 4, kvHeads: 2, headSize: 8, intermediate: 64, vocabulary: 128,
        maxContext: 512, tiedHead: true)

    /// What an arm does besides learning from all requests in one step.
    struct Arm: CustomTestStringConvertible, Sendable {
        var reuse = true
        var checkpointing = Checkpointing.none
        var offload = RecordingConfiguration.Offload.eager
        var plan = SavePlan.full
        var offloadsActivations = false
        var testDescription: String {
            "\(reuse ? "reuse, \(offload), \(plan)" : "recompute"), \(checkpointing)\(offloadsActivations ? ", offload" : "")"
        }

        var backend: RateBackend {
            RateBackend(
                model: MicroBatchAdmissionTests.model,
                plans: SavePlans(
                    checkpointing: checkpointing, recorded: LayerPlans(plan), copiesKV: reuse && offload != .none))
        }
    }

    private static let samples = 32

    /// Requests one by one, all of which have been served and recorded when feedback comes.
    private static func trace(prompt: Int = 120) -> Trace {
        let requests = (0..<samples).map { index in
            let arrival = SimTime(nanoseconds: Int64(index) * 10_000_000)
            return Request(
                id: "r\(index)", arrival: arrival, promptTokens: prompt, outputTokens: 8,
                feedback: .given(Feedback(delay: SimDuration(nanoseconds: 1_000_000_000), signal: .sft())))
        }
        return Trace(source: "test", requests: requests)
    }

    private static func configuration(_ arm: Arm, tokens: Int) -> ArmConfiguration {
        var configuration = ArmConfiguration(seed: 1)
        configuration.serving.kvBlockTokens = 8
        configuration.training.enabled = true
        configuration.training.reuse = arm.reuse
        configuration.training.checkpointing = arm.checkpointing
        configuration.training.offloadsActivations = arm.offloadsActivations
        configuration.training.updateEvery = samples
        configuration.training.microBatchTokens = tokens
        configuration.training.staleness = .any
        configuration.recording.scope = arm.reuse ? .prefill : .none
        configuration.recording.offload = arm.offload
        configuration.recording.plan = LayerPlans(arm.plan)
        configuration.recording.prefetchLayers = 0
        configuration.device.linkBandwidth = 1e12
        configuration.device.linkLatency = .zero
        return configuration
    }

    /// Runs an arm with all laws checked after every event.
    private static func run(_ arm: Arm, memory: Bytes, tokens: Int = 1_000_000, prompt: Int = 120) throws -> ArmLog {
        var configuration = configuration(arm, tokens: tokens)
        configuration.device.memory = memory
        var simulation = try Simulation(
            configuration: configuration, trace: trace(prompt: prompt), backend: arm.backend)
        simulation.checksEveryEvent = true
        let log = try simulation.run()
        #expect(simulation.backend.books.problems == [] && simulation.backend.books.isEmpty)
        #expect(log.steps.reduce(0) { $0 + $1.samples } == samples)
        #expect(log.memory.device.peak <= memory)
        return log
    }

    private static func requirement(_ arm: Arm, prompt: Int = 120) -> MemoryRequirement {
        MemoryRequirement(
            configuration: configuration(arm, tokens: 1), trace: trace(prompt: prompt), demand: arm.backend)
    }

    private static func largest(_ log: ArmLog) -> Int { log.steps.map(\.largestMicroBatch).max() ?? 0 }

    /// Ten samples that keep everything fill the device; with records that return layer by layer more than twice as many
    /// fit.
    @Test(arguments: Checkpointing.allCases) func reuseTrainsMoreTokensAtOnceThanKeepingAll(own: Checkpointing) throws {
        let keepAll = Arm(reuse: false)
        let least = Self.requirement(keepAll)
        let memory = least.device + least.sample * 9
        let most = Self.largest(try Self.run(keepAll, memory: memory))
        #expect(most >= 10 * 127 && most < 12 * 127)
        let eager = try Self.run(Arm(checkpointing: own), memory: memory)
        #expect(Self.largest(eager) > 2 * most)
        #expect(eager.steps.allSatisfy { $0.reusedTokens == Self.samples * 120 })
        // Device copies that the host has, too, make room.
        let hedged = try Self.run(Arm(checkpointing: own, offload: .hedged), memory: memory)
        #expect(Self.largest(hedged) == Self.largest(eager))
        #expect(hedged.steps.allSatisfy { $0.reusedTokens == Self.samples * 120 })
    }

    /// What is admitted is what runs, and takes what the ledger says: on a device that has the ledger's peak and a KV block
    /// a micro-batch fits, and with a byte less it is a smaller one.
    @Test(
        arguments: [
            Arm(reuse: false), Arm(reuse: false, checkpointing: .full),
            Arm(reuse: false, offloadsActivations: true), Arm(), Arm(checkpointing: .selective),
            Arm(checkpointing: .full), Arm(checkpointing: .full, plan: .lean), Arm(plan: .boundary),
        ])
    func theLedgersPeakIsWhatAdmissionAsksFor(arm: Arm) throws {
        let block = Self.requirement(arm).kvBlock
        let tokens = 20 * 127
        let free = try Self.run(arm, memory: Bytes(1 << 32), tokens: tokens)
        #expect(Self.largest(free) == tokens)
        let peak = free.memory.device.peak
        let fitting = try Self.run(arm, memory: peak + block, tokens: tokens)
        #expect(Self.largest(fitting) == tokens && fitting.memory.device.peak == peak)
        let tight = try Self.run(arm, memory: peak + block - Bytes(1), tokens: tokens)
        #expect(Self.largest(tight) == tokens - 127)
        #expect(tight.steps.map(\.microBatches) == [2] && tight.steps.map(\.tokens) == fitting.steps.map(\.tokens))
    }

    /// A device that has room for a sample's layer inputs, and not for its whole record: part of that is computed again.
    @Test(arguments: [RecordingConfiguration.Offload.none, .eager, .hedged, .headroom], [0, 60_000, 1_000_000_000])
    func aSampleDoesWithoutRecordsThatHaveNoRoom(offload: RecordingConfiguration.Offload, spare: Int) throws {
        let arm = Arm(checkpointing: .full, offload: offload)
        let memory = Self.requirement(arm, prompt: 400).deviceForEveryRequest + Bytes(spare)
        let log = try Self.run(arm, memory: memory, prompt: 400)
        let reused = log.steps.reduce(0) { $0 + $1.reusedTokens }
        if spare == 1_000_000_000 {
            #expect(reused == Self.samples * 400)
        } else if offload == .none {
            #expect(reused < Self.samples * 400)
            #expect(log.requests.contains { $0.lost[.deviceFull] > 0 })
        }
    }
}
