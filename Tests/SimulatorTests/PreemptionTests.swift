import Simulator
import Testing

/// What gives way to whom, on cases small enough to be followed by hand.
@Suite struct PreemptionTests {
    /// Requests that arrive together: prompts of 8 tokens, answers of 9, blocks of 4; each needs 4 blocks in the end.
    private static func run(
        blocks: Int, requests: Int = 3, hostBlocks: Int = 1000, _ change: (inout ArmConfiguration) -> Void = { _ in }
    ) throws -> ArmLog {
        let list = (0..<requests).map { index in
            Request(id: "r\(index)", arrival: SimTime(nanoseconds: Int64(index)), promptTokens: 8, outputTokens: 9)
        }
        let trace = Trace(source: "alike", requests: list)
        var configuration = ArmConfiguration()
        configuration.serving.kvBlockTokens = 4
        configuration.serving.kvWatermark = 0
        change(&configuration)
        let block = MemoryRequirement(configuration: configuration, trace: trace, demand: RateBackend()).kvBlock
        configuration.serving.kvMemory = .bytes(block * blocks)
        configuration.device.hostMemory = block * hostBlocks
        var simulation = try Simulation(configuration: configuration, trace: trace, backend: RateBackend())
        simulation.checksEveryEvent = true
        let log = try simulation.run()
        #expect(simulation.backend.books.problems == [] && simulation.backend.books.isEmpty)
        return log
    }

    @Test func ampleMemoryPreemptsNobody() throws {
        let log = try Self.run(blocks: 12)
        #expect(log.requests.allSatisfy { $0.preemptions == 0 && $0.outcome == .finished })
        #expect(log.quanta.map(\.kvBlocks).max() == 12)
    }

    /// Three prompts of two blocks fill six; the first decoded token of the oldest takes the youngest's.
    @Test(arguments: PreemptionPolicy.allCases) func theLastComerGivesWay(preemption: PreemptionPolicy) throws {
        let log = try Self.run(blocks: 6) { $0.serving.preemption = preemption }
        #expect(log.requests.allSatisfy { $0.outcome == .finished })
        #expect(log.requests[0].preemptions == 0)
        #expect(log.requests[2].preemptions > 0)
        let finishes = log.requests.map { $0.finish ?? .zero }
        #expect(finishes == finishes.sorted(), "who came first ends first")
        switch preemption {
        case .recompute:
            #expect(log.requests[2].recomputedTokens > 0 && log.transfers.isEmpty)
            // The prompt, and again the prompt with the one token that was there.
            #expect(log.requests.allSatisfy { $0.swappedBytes == .zero })
        case .swap:
            #expect(log.requests.allSatisfy { $0.recomputedTokens == 0 })
            let moved = log.transfers.reduce(Bytes.zero) { $0 + $1.bytes }
            #expect(moved == log.requests.reduce(Bytes.zero) { $0 + $1.swappedBytes } && moved > .zero)
            #expect(log.transfers.allSatisfy { $0.layer == -1 })
            #expect(log.memory.host.peakByOwner[MemoryOwner.kv.rawValue] > .zero)
        }
        // Nothing is emitted twice.
        #expect(log.tokenGaps.count == 3 * 8)
    }

    @Test func aFullHostHasTheLastComerRecomputed() throws {
        let log = try Self.run(blocks: 6, hostBlocks: 1) { $0.serving.preemption = .swap }
        #expect(log.requests.contains { $0.recomputedTokens > 0 } && log.transfers.isEmpty)
        #expect(log.requests.allSatisfy { $0.outcome == .finished })
    }

    @Test(arguments: [3, 4]) func whatCanNeverFitIsRefusedAtOnce(blocks: Int) throws {
        let log = try Self.run(blocks: blocks, requests: 1)
        #expect(log.requests[0].outcome == (blocks < 4 ? .refused : .finished))
        #expect(log.requests[0].scheduled == nil || blocks == 4)
        #expect(log.requests[0].effectiveArrival != nil)
    }

    /// A request is admitted beside others only if the watermark stays free.
    @Test(arguments: [0.0, 0.6]) func theWatermarkHoldsBackAdmission(watermark: Double) throws {
        let log = try Self.run(blocks: 7) { $0.serving.kvWatermark = watermark }
        // The first came alone. When it takes its third block, four are left for the prompts of the others.
        #expect(log.quanta[0].prefillTokens == 8)
        #expect(log.quanta[1].prefillTokens == (watermark == 0 ? 16 : 0))
        #expect(log.requests.contains { $0.preemptions > 0 } == (watermark == 0))
    }

    /// By priority the last in line is served first, and the first gives way.
    @Test func priorityDecidesWhoIsServedAndWhoGivesWay() throws {
        let list = (0..<4).map { index in
            Request(
                id: "r\(index)", arrival: SimTime(nanoseconds: Int64(index)), promptTokens: 8, outputTokens: 9,
                priority: -index)
        }
        var configuration = ArmConfiguration()
        configuration.serving.maxBatch = 1
        func order(_ admission: AdmissionPolicy) throws -> [Int] {
            configuration.serving.admission = admission
            var simulation = try Simulation(
                configuration: configuration, trace: Trace(source: "", requests: list), backend: RateBackend())
            let log = try simulation.run()
            return log.requests.sorted { ($0.scheduled ?? .zero) < ($1.scheduled ?? .zero) }.map(\.index)
        }
        #expect(try order(.fcfs) == [0, 1, 2, 3])
        // The first was alone when it came.
        #expect(try order(.priority) == [0, 3, 2, 1])
    }

    /// What the three policies make of a decoding sequence and a prompt that comes meanwhile.
    @Test(arguments: BatchPolicy.allCases) func policiesMixOrDoNot(policy: BatchPolicy) throws {
        let list = [
            Request(id: "a", arrival: .zero, promptTokens: 8, outputTokens: 20),
            Request(id: "b", arrival: SimTime(nanoseconds: 100_000), promptTokens: 64, outputTokens: 20),
        ]
        var configuration = ArmConfiguration()
        configuration.serving.policy = policy
        configuration.serving.tokenBudget = 32
        var simulation = try Simulation(
            configuration: configuration, trace: Trace(source: "", requests: list), backend: RateBackend())
        let quanta = try simulation.run().quanta
        let mixed = quanta.count { $0.prefillTokens > 0 && $0.decodeTokens > 0 }
        let second = quanta.dropFirst().firstIndex { $0.prefillTokens > 0 } ?? 0
        let decodedBefore = quanta[..<second].reduce(0) { $0 + $1.decodeTokens }
        switch policy {
        case .chunked:
            #expect(mixed == 3, "64 tokens beside one that decodes take 31, 31 and 2")
        case .prefillFirst:
            #expect(mixed == 0 && decodedBefore < 19)
            #expect(quanta[second].prefillTokens == 32 && quanta[second + 1].prefillTokens == 32)
        case .decodeFirst:
            #expect(mixed == 0 && decodedBefore == 19, "the first answers to its end")
        }
    }
}
