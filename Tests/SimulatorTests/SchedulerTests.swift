import Simulator
import Testing

@Suite struct SchedulerTests {
    /// A scheduler under random load, checked iteration by iteration against what was asked of it.
    @Test(arguments: 0..<60) func keepsItsPolicy(seed: Int) {
        var stream = RandomStream(seed: UInt64(seed), name: "scheduler")
        var configuration = ServingConfiguration()
        configuration.tokenBudget = [1, 5, 16, 100][stream.below(4)]
        configuration.maxBatch = [1, 3, 20][stream.below(3)]
        var scheduler = Scheduler(configuration: configuration)
        let lengths = (0..<25).map { _ in (prompt: 1 + stream.below(40), output: 1 + stream.below(10)) }
        var admitted: [Int] = []
        var waiting: [Int] = []
        var next = 0
        var computed = [Int](repeating: 0, count: lengths.count)
        var emitted = [Int](repeating: 0, count: lengths.count)
        var firstVersion = [Int?](repeating: nil, count: lengths.count)
        var finished: Set<Int> = []
        var version = 0
        while finished.count < lengths.count {
            while next < lengths.count, scheduler.isEmpty || stream.below(3) > 0 {
                scheduler.enqueue(next)
                waiting.append(next)
                next += 1
            }
            while let request = scheduler.nextToAdmit {
                #expect(request == waiting.first, "not first come, first served")
                waiting.removeFirst()
                scheduler.admit(
                    Scheduler.Sequence(
                        request: request, promptTokens: lengths[request].prompt, outputTokens: lengths[request].output,
                        kvBlocks: []))
                admitted.append(request)
            }
            let running = admitted.filter { !finished.contains($0) }
            #expect(scheduler.running.map(\.request) == running)
            #expect(running.count <= configuration.maxBatch)
            #expect(waiting.isEmpty || running.count == configuration.maxBatch)
            #expect(scheduler.waitingCount == waiting.count)

            let slices = scheduler.nextIteration()
            #expect(!slices.isEmpty && Set(slices.map(\.request)).count == slices.count)
            let total = slices.reduce(0) { $0 + $1.tokens.count }
            #expect(total <= configuration.tokenBudget)
            let decoding = running.filter { computed[$0] >= lengths[$0].prompt }
            let prefilling = running.filter { computed[$0] < lengths[$0].prompt }
            // Decodes come first, oldest first; then prompts, oldest first, each whole but for the last.
            let decodes = decoding.prefix(configuration.tokenBudget)
            #expect(slices.prefix { !$0.isPrefill }.map(\.request) == Array(decodes))
            let prompts = slices.drop { !$0.isPrefill }
            #expect(prompts.map(\.request) == Array(prefilling.prefix(prompts.count)))
            for slice in prompts.dropLast() { #expect(slice.tokens.upperBound == lengths[slice.request].prompt) }
            let left = prefilling.reduce(0) { $0 + lengths[$1].prompt - computed[$1] }
            #expect(total == min(configuration.tokenBudget, decoding.count + left), "budget is left unused")
            for slice in slices {
                #expect(slice.isPrefill == (computed[slice.request] < lengths[slice.request].prompt))
                #expect(slice.tokens.lowerBound == computed[slice.request])
                #expect(slice.isPrefill || slice.tokens.count == 1)
                #expect(slice.emitsToken == (slice.tokens.upperBound >= lengths[slice.request].prompt))
                #expect(slice.tokens.upperBound < lengths[slice.request].prompt + lengths[slice.request].output)
                computed[slice.request] = slice.tokens.upperBound
                emitted[slice.request] += slice.emitsToken ? 1 : 0
                firstVersion[slice.request] = firstVersion[slice.request] ?? version
            }
            let done = scheduler.complete(ServingIteration(slices: slices, version: version))
            #expect(done.map(\.request) == running.filter { emitted[$0] == lengths[$0].output })
            for sequence in done {
                #expect(sequence.computed == lengths[sequence.request].prompt + lengths[sequence.request].output - 1)
                #expect(sequence.computed == sequence.totalTokens)
                #expect(sequence.oldestKV == firstVersion[sequence.request])
                finished.insert(sequence.request)
            }
            for sequence in scheduler.running {
                #expect(sequence.generated == emitted[sequence.request])
                #expect(sequence.oldestKV == firstVersion[sequence.request])
                #expect(scheduler.sequence(of: sequence.request)?.computed == computed[sequence.request])
            }
            version += stream.below(2)
        }
        #expect(admitted == Array(lengths.indices))
        #expect(scheduler.isEmpty && scheduler.nextIteration().isEmpty)
    }

    @Test func requestsAreAdmittedInOrderOnly() async {
        await #expect(processExitsWith: .failure) {
            var scheduler = Scheduler(configuration: ServingConfiguration())
            scheduler.enqueue(0)
            scheduler.enqueue(1)
            scheduler.admit(Scheduler.Sequence(request: 1, promptTokens: 1, outputTokens: 1, kvBlocks: []))
        }
    }
}
