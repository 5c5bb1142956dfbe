import Simulator
import Testing

@Suite struct SchedulerTests {
    private static let sizes = RecordSizes(
        layers: 1, activationsPerToken: Bytes(1), kvPerToken: Bytes(1), finalPerToken: Bytes(1))

    private static func memory(blocks: Int, blockTokens: Int = 4) -> MemorySystem {
        var device = DeviceConfiguration()
        device.memory = Bytes(blocks * blockTokens)
        device.hostMemory = Bytes(1 << 20)
        return MemorySystem(device: device, kvBlockTokens: blockTokens, sizes: sizes, kvBlocks: blocks)
    }

    private static func run(_ scheduler: inout Scheduler, _ memory: inout MemorySystem) {
        _ = scheduler.complete(ServingIteration(slices: scheduler.takeSlices(), version: 0), &memory)
    }

    /// The first in line asks for the blocks that it lacks, not for those that it finds others to hold.
    @Test func whatOthersHoldNeedsNoRoom() {
        let ids = (0..<20).map { Int32($0) }
        let requests = [16, 20].map { length in
            Request(
                id: "", arrival: .zero, promptTokens: length, outputTokens: 4, prompt: Array(ids[..<length]),
                output: nil)
        }
        var configuration = ServingConfiguration()
        configuration.kvWatermark = 0
        configuration.prefixCache = true
        let prefixes = PrefixHashes(Trace(source: "", requests: requests), blockTokens: 4)
        var scheduler = Scheduler(configuration: configuration, prefixes: prefixes)
        var memory = Self.memory(blocks: 6)
        let others = memory.openRequest(9, tokens: 4)
        #expect(others != nil)
        scheduler.enqueue(request: 0, promptTokens: 16, outputTokens: 4)
        #expect(scheduler.newcomerCount == 1)
        scheduler.beginIteration()
        #expect(scheduler.plan(&memory) == .planned && scheduler.newcomerCount == 0)
        Self.run(&scheduler, &memory)
        scheduler.enqueue(request: 1, promptTokens: 20, outputTokens: 4)
        scheduler.beginIteration()
        // Four of its five blocks are those of the first, which has taken the last free one to decode.
        #expect(scheduler.plan(&memory) == .full(blocks: 1) && scheduler.newcomerCount == 1)
    }

    /// Sequences that have had their first turn and gave way wait, but not for the first time; nobody is admitted while
    /// any that was short of blocks has not got them.
    @Test func newcomersAndThoseInNeed() {
        var configuration = ServingConfiguration()
        configuration.kvWatermark = 0
        var scheduler = Scheduler(configuration: configuration)
        var memory = Self.memory(blocks: 7)
        for request in 0..<3 { scheduler.enqueue(request: request, promptTokens: 8, outputTokens: 4) }
        scheduler.beginIteration()
        #expect(scheduler.plan(&memory) == .planned && scheduler.newcomerCount == 0)
        Self.run(&scheduler, &memory)
        scheduler.beginIteration()
        // One block for the first; the others are short of theirs and passed over.
        for _ in 0..<2 {
            #expect(scheduler.plan(&memory) == .short(blocks: 1))
            scheduler.passOver()
        }
        #expect(scheduler.plan(&memory) == .planned)
        Self.run(&scheduler, &memory)
        scheduler.beginIteration()
        #expect(scheduler.plan(&memory) == .short(blocks: 1))
        let preemption = scheduler.preemptLast(for: 1, &memory)
        #expect(preemption?.request == 2)
        #expect(scheduler.plan(&memory) == .planned)
        Self.run(&scheduler, &memory)
        #expect(scheduler.waitingCount == 1 && scheduler.newcomerCount == 0)
        scheduler.enqueue(request: 3, promptTokens: 1, outputTokens: 1)
        #expect(scheduler.waitingCount == 2 && scheduler.newcomerCount == 1)
    }

    /// A sequence that was swapped out in the middle of its prompt has its other blocks promised when it comes back: nobody
    /// is admitted who would take them while it is on its way.
    @Test func whatComesBackKeepsWhatItWasPromised() throws {
        var configuration = ServingConfiguration()
        configuration.kvWatermark = 0
        configuration.preemption = .swap
        configuration.tokenBudget = 12
        var scheduler = Scheduler(configuration: configuration)
        var memory = Self.memory(blocks: 7)
        scheduler.enqueue(request: 0, promptTokens: 8, outputTokens: 9)
        scheduler.enqueue(request: 1, promptTokens: 16, outputTokens: 4)
        scheduler.beginIteration()
        #expect(scheduler.plan(&memory) == .planned)
        Self.run(&scheduler, &memory)
        #expect(scheduler.sequence(of: 1)?.computed == 4)
        // All of the rest is taken, so that the first, which decodes, has the second give way.
        let rest = memory.openRequest(9, tokens: 16)
        let others = try #require(rest)
        scheduler.beginIteration()
        #expect(scheduler.plan(&memory) == .short(blocks: 1))
        let preemption = scheduler.preemptLast(for: 1, &memory)
        #expect(preemption?.swappedBlocks == 1)
        scheduler.passOver()
        #expect(scheduler.plan(&memory) == .planned)
        Self.run(&scheduler, &memory)
        RecordFixture.runCopies(&memory)
        scheduler.finishSwap(of: 1, .toHost, &memory)
        #expect(scheduler.sequence(of: 1)?.state == .onHost)
        memory.closeRequest(9, blocks: others)
        scheduler.enqueue(request: 2, promptTokens: 4, outputTokens: 4)
        scheduler.beginIteration()
        // Five blocks are there: one for the first, one for what comes back, three that it was promised.
        #expect(scheduler.plan(&memory) == .full(blocks: 4))
        #expect(scheduler.sequence(of: 1)?.state == .returning && scheduler.waitingCount == 1)
        #expect(memory.availableBlocks == 3)
    }

    /// A scheduler under random load with ample memory, checked iteration by iteration against what was asked of it.
    @Test(arguments: 0..<60) func keepsItsPolicy(seed: Int) {
        var stream = RandomStream(seed: UInt64(seed), name: "scheduler")
        var configuration = ServingConfiguration()
        configuration.tokenBudget = [1, 5, 16, 100][stream.below(4)]
        configuration.maxBatch = [1, 3, 20][stream.below(3)]
        configuration.policy = BatchPolicy.allCases[stream.below(3)]
        configuration.admission = AdmissionPolicy.allCases[stream.below(2)]
        var scheduler = Scheduler(configuration: configuration)
        var memory = Self.memory(blocks: 1000)
        let lengths = (0..<25).map { _ in (prompt: 1 + stream.below(40), output: 1 + stream.below(10)) }
        let priorities = lengths.map { _ in configuration.admission == .priority ? stream.below(3) : 0 }
        var next = 0
        var computed = [Int](repeating: 0, count: lengths.count)
        var emitted = [Int](repeating: 0, count: lengths.count)
        var firstVersion = [Int?](repeating: nil, count: lengths.count)
        var finished: Set<Int> = []
        var admitted: Set<Int> = []
        var version = 0
        func rank(_ request: Int) -> (Int, Int) { (priorities[request], request) }
        while finished.count < lengths.count {
            while next < lengths.count, scheduler.isEmpty || stream.below(3) > 0 {
                scheduler.enqueue(
                    request: next, promptTokens: lengths[next].prompt, outputTokens: lengths[next].output,
                    priority: priorities[next])
                next += 1
            }
            scheduler.beginIteration()
            #expect(scheduler.plan(&memory) == .planned)
            let slices = scheduler.takeSlices()
            let before = admitted
            admitted.formUnion(scheduler.takeAdmissions().map(\.request))
            let running = admitted.filter { !finished.contains($0) }.sorted { rank($0) < rank($1) }
            #expect(scheduler.runningCount == running.count && running.count <= configuration.maxBatch)
            #expect(scheduler.waitingCount == next - admitted.count)
            // Nobody was admitted before a better one.
            let waiting = (0..<next).filter { !admitted.contains($0) }
            for newcomer in admitted.subtracting(before) {
                #expect(waiting.allSatisfy { rank(newcomer) < rank($0) })
            }

            #expect(!slices.isEmpty && Set(slices.map(\.request)).count == slices.count)
            let total = slices.reduce(0) { $0 + $1.tokens.count }
            #expect(total <= configuration.tokenBudget)
            let decoding = running.filter { computed[$0] >= lengths[$0].prompt }
            let prefilling = running.filter { computed[$0] < lengths[$0].prompt }
            let decodes = slices.filter { !$0.isPrefill }.map(\.request)
            let prompts = slices.filter(\.isPrefill).map(\.request)
            switch configuration.policy {
            case .chunked:
                #expect(decodes == Array(decoding.prefix(configuration.tokenBudget)))
                #expect(slices.map(\.isPrefill) == slices.map(\.isPrefill).sorted { !$0 && $1 }, "decoding first")
            case .prefillFirst:
                #expect(decodes.isEmpty || prompts.isEmpty)
                #expect(prefilling.isEmpty == prompts.isEmpty)
                #expect(!prompts.isEmpty || decodes == Array(decoding.prefix(configuration.tokenBudget)))
            case .decodeFirst:
                #expect(decodes == Array(decoding.prefix(configuration.tokenBudget)))
                #expect(decodes.isEmpty || prompts.isEmpty)
            }
            // Prompts in the order of rank, each whole but for the last; newcomers after those that were there.
            let old = prompts.filter(before.contains)
            #expect(prompts == old + prompts.filter { !before.contains($0) })
            #expect(old == old.sorted { rank($0) < rank($1) })
            for slice in slices.filter(\.isPrefill).dropLast() {
                #expect(slice.tokens.upperBound == lengths[slice.request].prompt)
            }
            for slice in slices {
                #expect(slice.tokens.lowerBound == computed[slice.request])
                #expect(slice.isPrefill || slice.tokens.count == 1)
                #expect(slice.emitsToken == (slice.tokens.upperBound >= lengths[slice.request].prompt))
                #expect(slice.tokens.upperBound < lengths[slice.request].prompt + lengths[slice.request].output)
                computed[slice.request] = slice.tokens.upperBound
                emitted[slice.request] += slice.emitsToken ? 1 : 0
                firstVersion[slice.request] = firstVersion[slice.request] ?? version
                let blocks = scheduler.sequence(of: slice.request)?.kvBlocks ?? []
                #expect(blocks.count == memory.kv.blockCount(for: slice.tokens.upperBound), "blocks on demand")
            }
            let done = scheduler.complete(ServingIteration(slices: slices, version: version), &memory)
            #expect(Set(done.map(\.request)) == Set(running.filter { emitted[$0] == lengths[$0].output }))
            for sequence in done {
                #expect(sequence.computed == lengths[sequence.request].prompt + lengths[sequence.request].output - 1)
                #expect(sequence.oldestKV == firstVersion[sequence.request])
                memory.closeRequest(sequence.request, blocks: sequence.kvBlocks)
                finished.insert(sequence.request)
            }
            for request in running where !finished.contains(request) {
                #expect(scheduler.sequence(of: request)?.generated == emitted[request])
                #expect(scheduler.sequence(of: request)?.computed == computed[request])
                #expect(scheduler.sequence(of: request)?.oldestKV == firstVersion[request])
            }
            #expect(
                scheduler.oldestKV == running.filter { !finished.contains($0) }.compactMap { firstVersion[$0] }.min())
            version += stream.below(2)
        }
        scheduler.beginIteration()
        #expect(scheduler.isEmpty && scheduler.plan(&memory) == .planned && scheduler.takeSlices().isEmpty)
        #expect(memory.kv.liveBlocks == 0)
    }
}
