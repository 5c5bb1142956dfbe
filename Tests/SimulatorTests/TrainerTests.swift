import Simulator
import Testing

@Suite struct SampleTests {
    private static func sample(_ request: Int, _ prompt: Int, _ response: Int) -> Sample {
        Sample(
            request: request, promptTokens: prompt, responseTokens: response, edited: false, record: [], ready: .zero)
    }

    /// Micro-batches that take samples until none is left.
    private static func batches(_ samples: [Sample], limit: Int) -> [[Sample]] {
        var left = samples[...]
        var batches: [[Sample]] = []
        while !left.isEmpty {
            let count = Sample.count(of: left, within: limit)
            batches.append(Array(left.prefix(count)))
            left = left.dropFirst(count)
        }
        return batches
    }

    @Test(arguments: 0..<40) func packsInOrderUpToTheLimit(seed: Int) {
        var stream = RandomStream(seed: UInt64(seed), name: "pack")
        let limit = 1 + stream.below(120)
        let samples = (0..<stream.below(30)).map { Self.sample($0, 1 + stream.below(50), 1 + stream.below(50)) }
        let batches = Self.batches(samples, limit: limit)
        #expect(batches.flatMap { $0.map(\.request) } == samples.map(\.request))
        let filled = batches.map { $0.reduce(0) { $0 + $1.tokens } }
        for (batch, tokens) in zip(batches, filled) { #expect(batch.count == 1 || tokens <= limit) }
        for (tokens, following) in zip(filled, batches.dropFirst()) {
            #expect(tokens + following[0].tokens > limit, "a sample would still have fitted")
        }
        #expect(batches.allSatisfy { !$0.isEmpty })
    }

    @Test func anOversizedSampleIsAlone() {
        let samples = [Self.sample(0, 5, 1), Self.sample(1, 500, 1), Self.sample(2, 5, 1), Self.sample(3, 5, 1)]
        #expect(Self.batches(samples, limit: 100).map { $0.map(\.request) } == [[0], [1], [2, 3]])
    }

    /// Position i predicts token i + 1: the first token of the answer is predicted by the prompt's last position.
    @Test(arguments: [(1, 1), (7, 1), (1, 9), (12, 5)]) func lossIsOnThePositionsBeforeTheirTargets(
        prompt: Int, response: Int
    ) {
        let sample = Self.sample(0, prompt, response)
        let targets = 1..<prompt + response
        let completion = targets.filter { $0 >= prompt }.map { $0 - 1 }
        #expect(Array(sample.lossTokens(.completion)) == completion && completion.count == response)
        #expect(Array(sample.lossTokens(.all)) == targets.map { $0 - 1 })
        #expect(sample.tokens == targets.count)
    }
}

@Suite struct TrainerTests {
    private static func trainer(_ change: (inout TrainingConfiguration) -> Void) -> Trainer {
        var configuration = TrainingConfiguration()
        configuration.enabled = true
        configuration.reuse = true
        change(&configuration)
        return Trainer(configuration: configuration, model: .tiny)
    }

    @Test(
        arguments: [
            (.exact, 3...3, 3, true), (.exact, 2...3, 3, false), (.exact, 2...2, 3, false), (.exact, 3...3, 4, false),
            (.bounded(0), 3...3, 3, true), (.bounded(0), 2...3, 3, false), (.bounded(1), 2...3, 3, true),
            (.bounded(1), 1...3, 3, false), (.bounded(2), 1...3, 3, true), (.bounded(2), 1...1, 4, false),
            (.any, 0...0, 1000, true), (.any, 0...7, 7, true),
        ] as [(TrainingConfiguration.Staleness, ClosedRange<Int>, Int, Bool)])
    func stalenessGoesByTheOldestPart(
        staleness: TrainingConfiguration.Staleness, interval: ClosedRange<Int>, version: Int, expected: Bool
    ) {
        #expect(staleness.accepts(interval, at: version) == expected)
    }

    @Test(arguments: [1, 3, 8]) func aStepTakesEverySamplesAndTheLastStepWhatIsLeft(every: Int) {
        var trainer = Self.trainer {
            $0.updateEvery = every
            $0.microBatchTokens = 20
            $0.lossTokens = .completion
        }
        var taken = 0
        var steps = 0
        for number in 0..<20 {
            trainer.add(
                Sample(
                    request: number, promptTokens: 4 + number, responseTokens: 3, edited: false, record: [],
                    ready: .zero))
            let now = SimTime(nanoseconds: Int64(number))
            let begins = trainer.beginStep(at: now, draining: false)
            #expect(begins == ((number + 1) % every == 0))
            guard begins else { continue }
            #expect(trainer.beginStep(at: now, draining: true) == false, "two steps at a time")
            #expect(trainer.step?.record.start == now && trainer.step?.record.version == steps)
            #expect(trainer.step?.pending.map(\.request) == Array(taken..<taken + every))
            #expect(trainer.step?.record.tokens == (taken..<taken + every).reduce(0) { $0 + 4 + $1 + 3 - 1 })
            #expect(trainer.step?.record.lossTokens == 3 * every)
            taken += every
            steps += 1
            trainer.finishStep()
            #expect(trainer.version == steps && trainer.step == nil)
        }
        let left = 20 - taken
        #expect(trainer.waiting == left && trainer.hasWork == (left > 0))
        #expect(trainer.beginStep(at: .zero, draining: true) == (left > 0))
        #expect((trainer.step?.record.samples ?? 0) == left)
    }

    /// Of the chunks that a sample names, live and fresh enough ones are used, stale ones are named, gone ones are not.
    @Test(arguments: [true, false]) func microBatchesUseOnlyWhatIsLiveAndFresh(reuse: Bool) throws {
        var device = DeviceConfiguration()
        device.memory = Bytes(100_000)
        let sizes = RecordSizes(
            layers: 3, activationsPerToken: Bytes(10), kvPerToken: Bytes(4), finalPerToken: Bytes(2))
        var memory = MemorySystem(device: device, kvBlockTokens: 4, sizes: sizes)
        var trainer = Self.trainer {
            $0.reuse = reuse
            $0.staleness = .bounded(1)
        }
        for _ in 0..<2 { trainer.finishStep() }
        let opened = memory.openRequest(0, tokens: 24)
        let blocks = try #require(opened)
        func begin(_ tokens: Range<Int>, _ versions: ClosedRange<Int>) throws -> ChunkID {
            let id = memory.beginRecord(request: 0, tokens: tokens, finalRows: 0, versions: versions, blocks: blocks)
            memory.endWriting(try #require(id))
            return try #require(id)
        }
        let fresh = try begin(0..<5, 1...2)
        let stale = try begin(5..<9, 0...2)
        let gone = try begin(9..<12, 2...2)
        let dying = try begin(12..<17, 2...2)
        let current = try begin(20..<24, 2...2)
        memory.drop(gone)
        memory.offload([dying], at: .zero)
        #expect(memory.startCopies(at: .zero).started.count == 1)
        memory.drop(dying)
        #expect(memory.records[dying]?.dead == true, "a chunk that is being copied is given up and still there")
        let sample = Sample(
            request: 0, promptTokens: 24, responseTokens: 4, edited: false,
            record: [(fresh, 0..<5), (stale, 5..<9), (gone, 9..<12), (dying, 12..<17), (current, 20..<24)].map {
                RecordReference(chunk: $0, tokens: $1)
            }, ready: .zero)
        let (plan, old) = trainer.microBatch(of: [sample], stepLossTokens: 9, records: memory.records)
        #expect(plan.version == 2 && plan.stepLossTokens == 9)
        #expect(plan.chunks.map(\.id) == (reuse ? [fresh, current] : []))
        #expect(old.map(\.chunk) == (reuse ? [stale] : [fresh, stale, current]))
        #expect(plan.sequences[0].recorded.map(\.tokens) == (reuse ? [0..<5, 20..<24] : []))
        #expect(plan.rows == 27 && plan.freshRows == (reuse ? 18 : 27) && plan.lossRows == 4)
        // Its number is taken when it is opened.
        let another = trainer.microBatch(of: [sample], stepLossTokens: 9, records: memory.records).plan
        #expect(another.id == plan.id)
    }

    /// Whatever is ready, a quantum takes as many units as are predicted to fit, and at least one; so a run ends.
    @Test(arguments: 0..<40) func quantaAreFullAndProgress(seed: Int) {
        var stream = RandomStream(seed: UInt64(seed), name: "quanta")
        let trainer = Self.trainer { $0.quantumMax = SimDuration(nanoseconds: 100) }
        let times = (0..<60).map { _ in Int64(1 + stream.below(stream.below(4) == 0 ? 300 : 60)) }
        let units = times.indices.map { TrainerUnit.optimizer(parameters: $0..<$0 + 1) }
        var run = Trainer.UnitRun(units: units) { unit in
            guard case .optimizer(let parameters) = unit else { return .zero }
            return SimDuration(nanoseconds: times[parameters.lowerBound])
        }
        #expect(run.predictions.map(\.nanoseconds) == times)
        while !run.isDone {
            let ready = run.next + stream.below(6)
            let chosen = trainer.nextUnits(of: run) { unit in
                guard case .optimizer(let parameters) = unit else { return false }
                return parameters.lowerBound < ready
            }
            var expected = 0
            var sum: Int64 = 0
            while run.next + expected < min(ready, times.count) {
                sum += times[run.next + expected]
                if expected > 0, sum > 100 { break }
                expected += 1
            }
            #expect(chosen == Array(units[run.next..<run.next + expected]))
            #expect(!chosen.isEmpty || ready == run.next, "no progress though a unit is ready")
            run.next += chosen.count
        }
    }
}

@Suite struct UnitPlannerTests {
    private static func rows(of unit: TrainerUnit) -> Range<Int> {
        switch unit {
        case .forward(_, let rows), .loss(let rows), .recompute(_, let rows), .backward(_, let rows),
            .reference(_, let rows), .score(let rows, _):
            rows
        case .optimizer(let parameters): parameters
        case .gradientNorm: 0..<0
        }
    }

    private static func layer(of unit: TrainerUnit) -> Int? {
        switch unit {
        case .forward(let layer, _), .recompute(let layer, _), .backward(let layer, _): layer
        default: nil
        }
    }

    private static func estimate(_ batch: MicroBatch, overhead: Int64) -> (TrainerUnit) -> SimDuration {
        var backend = RateBackend()
        backend.overhead = SimDuration(nanoseconds: overhead)
        return { backend.estimate(.train(TrainerQuantum(microBatch: batch, units: [$0]))) }
    }

    @Test(arguments: 0..<60) func unitsCoverEveryRowOfEveryLayerOnceAndInOrder(seed: Int) {
        var stream = RandomStream(seed: UInt64(seed), name: "planner")
        let batch = MicroBatch.random(&stream, longest: [10, 80, 600][stream.below(3)])
        let layers = 1 + stream.below(5)
        let quantum = SimDuration(nanoseconds: [1, 20_000, 100_000, 10_000_000][stream.below(4)])
        let planner = UnitPlanner(layers: layers, trainedParameters: 1 + stream.below(5000), quantumMax: quantum)
        let estimate = Self.estimate(batch, overhead: [0, 20_000][stream.below(2)])
        let (units, unitRows) = planner.units(for: batch, estimate: estimate)
        let phases = units.map(\.phase)
        let forward = units.filter { $0.phase == .forward }
        let loss = units.filter { $0.phase == .loss }
        let backward = units.filter { $0.phase == .backward }
        #expect(phases == forward.map(\.phase) + loss.map(\.phase) + backward.map(\.phase))
        #expect(loss.flatMap { Array(Self.rows(of: $0)) } == Array(0..<batch.lossRows))
        #expect(forward.compactMap(Self.layer) == forward.compactMap(Self.layer).sorted())
        #expect(backward.compactMap(Self.layer) == backward.compactMap(Self.layer).sorted(by: >))
        for layer in 0..<layers {
            let up = forward.filter { Self.layer(of: $0) == layer }.map(Self.rows)
            #expect(up.flatMap(Array.init) == Array(0..<batch.freshRows))
            let down = backward.filter { Self.layer(of: $0) == layer }.map(Self.rows)
            #expect(down.flatMap { $0.reversed() } == Array((0..<batch.rows).reversed()))
        }
        #expect(unitRows == (forward + backward).map { Self.rows(of: $0).count }.max() ?? 0)
        #expect(units.allSatisfy { !Self.rows(of: $0).isEmpty })

        let closing = planner.closingUnits(estimate: estimate)
        #expect(closing.first == .gradientNorm)
        let ranges = closing.dropFirst().map(Self.rows)
        #expect(ranges.first?.lowerBound == 0 && ranges.last?.upperBound == planner.trainedParameters)
        for (a, b) in zip(ranges, ranges.dropFirst()) { #expect(a.upperBound == b.lowerBound) }
    }

    /// Prices are a tenth of a long run: what fits as a whole is asked for once.
    @Test func whatFitsIsEstimatedOnce() {
        var stream = RandomStream(seed: 3, name: "once")
        let batch = MicroBatch.random(&stream, longest: 600)
        let planner = UnitPlanner(layers: 5, trainedParameters: 50_000, quantumMax: .milliseconds(1_000_000))
        var asked: [TrainerUnit] = []
        let estimate = Self.estimate(batch, overhead: 20_000)
        let units = planner.units(for: batch) {
            asked.append($0)
            return estimate($0)
        }.units
        #expect(
            Set(units.map(Self.rows)).allSatisfy { [batch.freshRows, batch.lossRows, batch.rows].contains($0.count) })
        for unit in asked { #expect(asked.count { $0 == unit } == 1, "\(unit)") }
    }

    /// A unit that is predicted to take longer than the quantum is as small as units get.
    @Test(arguments: 0..<60) func predictedUnitsFitTheQuantum(seed: Int) {
        var stream = RandomStream(seed: UInt64(seed), name: "fit")
        let batch = MicroBatch.random(&stream, longest: [80, 600, 3000][stream.below(3)])
        let quantum = SimDuration(nanoseconds: [60_000, 300_000, 2_000_000][stream.below(3)])
        let planner = UnitPlanner(layers: 3, trainedParameters: 50_000, quantumMax: quantum)
        let estimate = Self.estimate(batch, overhead: [0, 20_000][stream.below(2)])
        let units = planner.units(for: batch, estimate: estimate).units + planner.closingUnits(estimate: estimate)
        for unit in units where unit != .gradientNorm {
            let time = estimate(unit)
            #expect(
                time <= quantum || Self.rows(of: unit).count <= UnitPlanner.fewestRows,
                "\(unit) of \(batch.rows) rows takes \(time) of \(quantum)")
        }
        let whole = (0..<3).map { estimate(.backward(layer: $0, rows: 0..<batch.rows)) }
        guard whole.allSatisfy({ $0 <= quantum }) else { return }
        #expect(units.count { $0.phase == .backward } == 3, "split without need")
    }
}

@Suite struct ReloadPlanTests {
    private static let layers = 5
    private static let sizes = RecordSizes(
        layers: layers, activationsPerToken: Bytes(40), kvPerToken: Bytes(8), finalPerToken: Bytes(12))

    /// Chunks of random sizes, some of them wholly, partly or not at all on the host.
    private static func offloaded(_ stream: inout RandomStream) throws -> (memory: MemorySystem, chunks: [ChunkID]) {
        var device = DeviceConfiguration()
        device.memory = Bytes(1_000_000)
        var memory = MemorySystem(device: device, kvBlockTokens: 4, sizes: sizes)
        var chunks: [ChunkID] = []
        for request in 0..<1 + stream.below(5) {
            let tokens = 1 + stream.below(30)
            let opened = memory.openRequest(request, tokens: tokens)
            let blocks = try #require(opened)
            let finalRows = stream.below(2) == 0 ? tokens : stream.below(2)
            let id = memory.beginRecord(
                request: request, tokens: 0..<tokens, finalRows: finalRows, versions: 0...0, blocks: blocks)
            chunks.append(try #require(id))
            memory.endWriting(try #require(id))
        }
        for chunk in chunks where stream.below(4) > 0 {
            memory.offload([chunk], at: .zero)
            for _ in 0..<(stream.below(3) == 0 ? stream.below(layers + 2) : layers + 1) {
                _ = memory.startCopies(at: .zero)
                _ = memory.finishCopy(.toHost)
            }
            // What is still queued stays on the device once it is pinned.
            memory.pin(chunk)
            while !memory.copiesAreIdle {
                _ = memory.startCopies(at: .zero)
                _ = memory.finishCopy(.toHost)
            }
        }
        return (memory, chunks)
    }

    @Test(arguments: 0..<80) func bringsEverythingBackInOrderWithinItsWindow(seed: Int) throws {
        var stream = RandomStream(seed: UInt64(seed), name: "reload")
        var (memory, chunks) = try Self.offloaded(&stream)
        let records = memory.records
        let prefetch = stream.below(4)
        let hasFreshRows = stream.below(2) == 0
        var plan = ReloadPlan(
            chunks: chunks, records: records, layers: Self.layers, prefetchLayers: prefetch,
            hasFreshRows: hasFreshRows)
        func needed(_ layer: Int, _ part: CopyJob.Part) -> [CopyJob] {
            chunks.map { CopyJob(chunk: $0, layer: layer, part: part) }.filter {
                !records.isOnDevice($0.chunk, layer: layer, part: part)
                    && records.bytesToReload($0.chunk, layer: layer, part: part) > .zero
            }
        }
        func bytes(_ layer: Int) -> Int {
            needed(layer, .activations).reduce(0) {
                $0 + records.bytesToReload($1.chunk, layer: $1.layer, part: .activations).count
            }
        }
        let forwardKV = (0..<Self.layers).flatMap { needed($0, .kv) }
        let backwardKV = (0..<Self.layers).reversed().flatMap { needed($0, .kv) }
        let expected =
            (hasFreshRows ? forwardKV : backwardKV)
            + (0...Self.layers).reversed().flatMap { needed($0, .activations) }
        let kvBytes = forwardKV.reduce(0) { $0 + records.bytesToReload($1.chunk, layer: $1.layer, part: .kv).count }
        #expect(plan.kvBytes.count == kvBytes)
        #expect(plan.windowBytes.count >= (0...Self.layers).map(bytes).max() ?? 0, "no room for the largest layer")

        var asked: [CopyJob] = []
        var staged: [Int: Int] = [:]
        for layer in (0...Self.layers).reversed() {
            for (job, bytes) in plan.next() {
                #expect(bytes == records.bytesToReload(job.chunk, layer: job.layer, part: job.part))
                asked.append(job)
                if job.part == .activations { staged[job.layer, default: 0] += bytes.count }
                memory.reload(job, at: .zero)
            }
            while !memory.copiesAreIdle {
                _ = memory.startCopies(at: .zero)
                _ = memory.finishCopy(.toDevice)
            }
            #expect(staged.values.reduce(0, +) <= plan.windowBytes.count, "more is staged than there is room for")
            for chunk in chunks {
                #expect(memory.records.isOnDevice(chunk, layer: layer, part: .activations) || bytes(layer) == 0)
                for ahead in max(0, layer - prefetch)...layer {
                    let size = records.bytesToReload(chunk, layer: ahead, part: .activations)
                    let there = size == .zero || memory.records.isOnDevice(chunk, layer: ahead, part: .activations)
                    #expect(there, "layer \(ahead) is not prefetched while backward is at \(layer)")
                }
            }
            staged[layer] = nil
            plan.consumed(layer: layer)
        }
        #expect(asked == expected)
        #expect(plan.next().isEmpty)
    }
}
