import Simulator
import Testing

@Suite struct CostSurfaceTests {
    /// A cost that is proportional to each size is met exactly, between the nodes and beyond them.
    @Test func multilinearCostsAreExact() {
        let axes = [[1, 3, 10], [2, 8], [4, 5, 64]]
        var seconds: [Double] = []
        for a in axes[0] { for b in axes[1] { for c in axes[2] { seconds.append(Double(a * b * c)) } } }
        let surface = CostSurface(axes: axes, seconds: seconds, spread: seconds.map { _ in 0 })
        for (a, b, c) in [(1, 2, 4), (2, 5, 33), (7, 8, 64), (20, 40, 640), (10, 3, 5)] as [(Double, Double, Double)] {
            #expect(abs(surface.price(a, b, c) / (a * b * c) - 1) < 1e-12)
        }
        // Before the first node a price stays.
        #expect(surface.price(0.5, 2, 4) == surface.price(1, 2, 4))
    }

    /// However noisy the measurements are, no price falls when a size grows, and none leaves the range of what was
    /// measured around it.
    @Test(arguments: 0..<30) func pricesNeverFallWhenASizeGrows(seed: Int) {
        var stream = RandomStream(seed: UInt64(seed), name: "surface")
        let axes = [[1, 2, 7, 30], [1, 4, 9], [3, 8, 20]]
        var seconds: [Double] = []
        for a in axes[0] {
            for b in axes[1] {
                for c in axes[2] { seconds.append(Double(a * b * c) * (0.3 + 1.4 * stream.uniform())) }
            }
        }
        let surface = CostSurface(axes: axes, seconds: seconds, spread: seconds.map { _ in 0 })
        for _ in 0..<300 {
            let point = (0..<3).map { _ in 40 * stream.uniform() + 0.1 }
            let price = surface.price(point[0], point[1], point[2])
            for axis in 0..<3 {
                var larger = point
                larger[axis] += 30 * stream.uniform()
                #expect(surface.price(larger[0], larger[1], larger[2]) >= price * (1 - 1e-12))
            }
            #expect(price >= seconds[0] * 0.1 && price.isFinite)
        }
    }

    @Test func oneAndTwoAxesWorkAlike() {
        let line = CostSurface(axes: [[10, 20]], seconds: [1, 2], spread: [0, 0])
        #expect(line.price(15) == 1.5 && line.price(40) == 4 && line.price(1) == 1)
        let plane = CostSurface(axes: [[1, 2], [1, 2]], seconds: [1, 2, 2, 4], spread: [0, 0, 0, 0])
        #expect(plane.price(1.5, 1.5) == 2.25 && plane.price(4, 4) == 16)
    }
}

@Suite struct PricingTests {
    private let pricer = OperatorPricer(
        .sample, OperatorList(model: .tiny, tuning: SampleDemand().footprint.tuning))

    private static func slices(_ stream: inout RandomStream) -> [ServingSlice] {
        (0..<1 + stream.below(8)).map { request in
            let start = stream.below(200)
            let isPrefill = stream.below(3) == 0
            return ServingSlice(
                request: request, tokens: start..<start + (isPrefill ? 1 + stream.below(60) : 1), isPrefill: isPrefill,
                emitsToken: !isPrefill || stream.below(2) == 0,
                record: isPrefill && stream.below(2) == 0 ? ChunkID(slot: Int32(request), generation: 0) : nil,
                finalRows: 1)
        }
    }

    private static let another = ServingSlice(request: 9, tokens: 50..<51, isPrefill: false, emitsToken: true)

    private func seconds(_ slices: [ServingSlice]) -> Double {
        pricer.price(of: ServingIteration(slices: slices, version: 0)).seconds
    }

    /// An operator costs more with more rows, outputs, inputs, queries and pairs.
    @Test func operatorsCostMoreWhenTheyAreLarger() {
        var stream = RandomStream(seed: 3, name: "operators")
        func seconds(_ kind: Operator.Kind, _ role: Operator.Role = .qkv) -> Double {
            pricer.seconds(of: Operator(role: role, kind: kind, flops: 0, bytes: 0, count: 1))
        }
        for _ in 0..<300 {
            let sizes = (0..<3).map { _ in 1 + stream.below(700) }
            let more = 1 + stream.below(500)
            for orientation in Operator.Orientation.allCases {
                func product(_ m: Int, _ n: Int, _ k: Int) -> Double {
                    seconds(.product(orientation, m: m, n: n, k: k))
                }
                let price = product(sizes[0], sizes[1], sizes[2])
                #expect(product(sizes[0] + more, sizes[1], sizes[2]) >= price)
                #expect(product(sizes[0], sizes[1] + more, sizes[2]) >= price)
                #expect(product(sizes[0], sizes[1], sizes[2] + more) >= price)
            }
            let pairs = sizes[0] * (1 + sizes[1])
            for make in [
                { Operator.Kind.attention(queries: $0, pairs: $1) }, { .attentionBackward(queries: $0, pairs: $1) },
                { .decodeAttention(sequences: $0, pairs: $1) },
            ] as [(Int, Int) -> Operator.Kind] {
                #expect(seconds(make(sizes[0], pairs + more), .attention) >= seconds(make(sizes[0], pairs), .attention))
            }
            #expect(seconds(.pass(values: sizes[0] + more), .swiglu) >= seconds(.pass(values: sizes[0]), .swiglu))
        }
    }

    /// One more sequence, a longer context or a longer chunk never makes an iteration cheaper, and recording costs.
    @Test(arguments: 0..<20) func iterationsCostMoreWhenTheyDoMore(seed: Int) {
        var stream = RandomStream(seed: UInt64(seed), name: "iterations")
        for _ in 0..<50 {
            let slices = Self.slices(&stream)
            let before = seconds(slices)
            #expect(seconds(slices + [Self.another]) > before)
            var longer = slices
            let index = stream.below(slices.count)
            let tokens = slices[index].tokens
            longer[index].tokens = tokens.lowerBound + 5..<tokens.upperBound + 5
            #expect(seconds(longer) >= before)
            guard tokens.count > 1 else { continue }
            longer[index].tokens = tokens.lowerBound..<tokens.upperBound + 3
            #expect(seconds(longer) > before)
            longer[index] = slices[index]
            longer[index].record = nil
            #expect(slices[index].record == nil || seconds(longer) < before)
        }
    }

    /// What pricing remembers is what it would find anew, and is the sum over the operators.
    @Test func rememberedPricesAreThoseOfTheOperators() {
        var stream = RandomStream(seed: 8, name: "remembered")
        for _ in 0..<200 {
            let iteration = ServingIteration(
                slices: Self.slices(&stream), version: 0, decodesBefore: stream.below(12))
            let fresh = OperatorPricer(.sample, pricer.list)
            let price = pricer.price(of: iteration)
            #expect(abs(fresh.price(of: iteration).seconds / price.seconds - 1) < 1e-12)
            var sum = 0.0
            pricer.list.forEachOperator(of: .serve(iteration)) { sum += pricer.price(of: $0).seconds }
            let correction = HardwareProfile.sample.corrections[WorkPhase(iteration)] ?? .none
            let rows = iteration.slices.reduce(0) { $0 + $1.tokens.count }
            let contexts = iteration.slices.filter { $0.tokens.count == 1 }.map { Double($0.tokens.upperBound) }
            let scale = correction.scale(
                of: rows, context: contexts.isEmpty ? 0 : contexts.reduce(0, +) / Double(contexts.count),
                decodesBefore: iteration.decodesBefore)
            #expect(abs((correction.overhead + scale * sum) / price.seconds - 1) < 1e-12)
        }
    }

    @Test(arguments: [(0, 1.1), (1, 1.1), (2, 1.1 + 0.2 / 3), (4, 1.3), (5, 1.28), (9, 1.2), (100, 1.2)])
    func correctionsAreLinearBetweenNumbersOfRows(count: Int, scale: Double) throws {
        let correction = try #require(HardwareProfile.sample.corrections[.decode])
        #expect(abs(correction.scale(of: count) - scale) < 1e-12)
        #expect(abs(correction.scaled(by: 2).scale(of: count) - 2 * scale) < 1e-12)
    }

    @Test(arguments: [(0, 1.3), (16, 1.3), (72, 1.35), (128, 1.4), (4000, 1.4)])
    func correctionsAreLinearBetweenContexts(context: Double, scale: Double) throws {
        let correction = try #require(HardwareProfile.sample.corrections[.decode])
        #expect(abs(correction.scale(of: 4, context: context) - scale) < 1e-12)
        // Between the rows both neighbours count by their distance, each at this context.
        let sides = [1, 4].map { correction.scale(of: $0, context: context) }
        #expect(abs((correction.scale(of: 2, context: context) - sides[0]) / (sides[1] - sides[0]) - 1.0 / 3) < 1e-9)
    }

    /// A unit of training takes its own number of rows' scale.
    @Test(arguments: [(1, 1.05), (2, 1.05), (5, 1.075), (8, 1.1), (20, 1.1)])
    func unitsAreCorrectedByTheirRows(rows: Int, scale: Double) {
        var stream = RandomStream(seed: 3, name: "units")
        var batch = MicroBatch.random(&stream)
        while batch.rows < 20 { batch = MicroBatch.random(&stream) }
        let unit = TrainerUnit.backward(layer: 1, rows: 0..<rows)
        let quantum = StepPlan.train(TrainerQuantum(microBatch: batch, units: [unit]))
        var sum = 0.0
        pricer.list.forEachOperator(of: quantum) { sum += pricer.price(of: $0).seconds }
        #expect(abs(pricer.price(of: quantum).seconds / sum / scale - 1) < 1e-12)
    }

    /// The first iteration after other work has a scale of its own, from which the next seven go over to the settled one by
    /// the logarithm of their place.
    @Test(arguments: [(0, 1.5), (1, 1.4), (3, 1.3), (7, 1.2), (8, 1.2), (1000, 1.2)])
    func decodingSettlesWithinEightIterations(before: Int, scale: Double) throws {
        let correction = HardwareProfile.Correction(
            rows: [1, 3], scales: [1.0, 1.4], firstScales: [1.4, 1.6], overhead: 0)
        #expect(abs(correction.scale(of: 2, decodesBefore: before) - scale) < 1e-12)
        #expect(abs(correction.scaled(by: 2).scale(of: 2, decodesBefore: before) - 2 * scale) < 1e-12)
        let plain = HardwareProfile.Correction(rows: [1, 3], scales: [1.0, 1.4], overhead: 0)
        #expect(plain.scale(of: 2, decodesBefore: before) == plain.scale(of: 2))
    }

    @Test(arguments: 0..<20) func noPriceLiesBelowWhatTheHardwareCanDo(seed: Int) {
        var stream = RandomStream(seed: UInt64(seed), name: "floor")
        let batch = MicroBatch.random(&stream)
        let list = pricer.list
        let plans: [StepPlan] = [
            .serve(ServingIteration(slices: Self.slices(&stream), version: 0)),
            .train(
                TrainerQuantum(
                    microBatch: batch,
                    units: (0..<3).map { .backward(layer: $0, rows: 0..<batch.rows) } + [
                        .loss(rows: 0..<batch.lossRows), .gradientNorm, .optimizer(parameters: 0..<100),
                    ])),
        ]
        for plan in plans {
            let price = pricer.price(of: plan)
            #expect(price.seconds >= price.floor && price.floor > 0)
            list.forEachOperator(of: plan) { op in
                let own = pricer.price(of: op)
                #expect(own.seconds >= own.floor, "\(op)")
            }
        }
    }

    @Test func theFloorIsTheLongerOfComputingAndMoving() {
        let limits = PhysicalLimits(flopsPerSecond: 100, bytesPerSecond: 10, cacheBytesPerSecond: 50, cacheBytes: 20)
        func floor(flops: Double, bytes: Double) -> Double {
            limits.floor(of: Operator(role: .qkv, kind: .pass(values: 1), flops: flops, bytes: bytes, count: 3))
        }
        #expect(floor(flops: 1000, bytes: 5) == 30)
        #expect(floor(flops: 0, bytes: 10) == 3 * 0.2)
        #expect(floor(flops: 0, bytes: 120) == 3 * (0.4 + 10))
    }
}
