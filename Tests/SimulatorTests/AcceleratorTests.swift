import Simulator
import Testing

@Suite struct AcceleratorTests {
    /// A model whose heads and widths four devices can share.
    static let model = ModelShape(
        name: "shared", layers: 6, hidden: 512, heads: 8, kvHeads: 4, headSize: 64, intermediate: 1408,
        vocabulary: 4096, maxContext: 4096, tiedHead: false)
    static let settings: [AcceleratorSetting] = {
        var all: [AcceleratorSetting] = []
        for devices in [1, 2, 4] {
            for bits in [16, 8] {
                var setting = AcceleratorSetting()
                setting.tensorParallel = devices
                setting.weightBits = bits
                all.append(setting)
            }
        }
        return all
    }()
    static let tunings: [Tuning] = [.full, .lora(rank: 8, alpha: 16, targets: Projection.allCases)]

    private static func pricer(
        _ setting: AcceleratorSetting = AcceleratorSetting(), _ tuning: Tuning = .full, _ shape: ModelShape = model
    ) -> OperatorPricer {
        let hardware = Hardware.accelerator(.sample, setting)
        return OperatorPricer(hardware, hardware.operators(of: Footprint(model: shape, tuning: tuning)))
    }

    private static func decode(_ contexts: [Int]) -> ServingIteration {
        ServingIteration(
            slices: contexts.enumerated().map { index, context in
                ServingSlice(
                    request: index, tokens: context - 1..<context, isPrefill: false, emitsToken: true)
            }, version: 0)
    }

    // MARK: Formulas

    /// One tile for each multiprocessor is one wave; the time of a wave by hand, with computing far longer than reading.
    @Test func aWaveTakesWhatItsTilesTake() {
        var accelerator = Accelerator.sample
        accelerator.constants.products.tiles = [
            AcceleratorConstants.Tile(rows: 100, columns: 100, efficiency: 0.5)
        ]
        accelerator.constants.products.slowdown = 0
        func seconds(_ rows: Int, _ columns: Int) -> Double {
            accelerator.product(rows: rows, columns: columns, depth: 936, bytes: 0, flopsPerSecond: 1e13)
        }
        // 2 x 100 x 100 x (936 + 64) operations at half of a tenth of 1e13 per second.
        let wave = 2e7 / 5e11
        #expect(abs(seconds(100, 1000) - (4e-6 + wave)) < 1e-12)
        #expect(abs(seconds(1, 1) - (4e-6 + wave)) < 1e-12)
        #expect(abs(seconds(1000, 200) - (4e-6 + 2 * wave)) < 1e-12)
        // A quarter of a second wave counts one half: 0.25 to the power 0.5.
        #expect(abs(seconds(125 * 10, 100) - (4e-6 + (1 + 0.3.squareRoot()) * wave)) < 1e-12)
    }

    @Test func readingAndComputingOverlapAsTheSharpnessSays() {
        var accelerator = Accelerator.sample
        accelerator.constants.products.slowdown = 0
        let computing = accelerator.product(rows: 256, columns: 640, depth: 512, bytes: 0, flopsPerSecond: 1e13) - 4e-6
        let bytes = 9e11 * computing
        let both = accelerator.product(rows: 256, columns: 640, depth: 512, bytes: bytes, flopsPerSecond: 1e13)
        #expect(abs(both - (4e-6 + computing * 2.0.squareRoot())) < 1e-12)
    }

    @Test func anAllReduceIsARing() {
        #expect(Accelerator.sample.allReduce(bytes: 1e6, devices: 1) == 0)
        let expected = 2e-5 + 3e-6 + 2 * 3 / 4.0 * 1e6 / 5e10
        #expect(abs(Accelerator.sample.allReduce(bytes: 1e6, devices: 4) - expected) < 1e-15)
    }

    @Test(arguments: 0..<200) func productsGrowWithEverySize(seed: Int) {
        var stream = RandomStream(seed: UInt64(seed), name: "products")
        let sizes = (0..<3).map { _ in 1 + stream.below(3000) }
        func seconds(_ sizes: [Int]) -> Double {
            Accelerator.sample.product(
                rows: sizes[0], columns: sizes[1], depth: sizes[2],
                bytes: 2 * Double(sizes[0] * sizes[2] + sizes[1] * sizes[2] + sizes[0] * sizes[1]),
                flopsPerSecond: 1e13)
        }
        for axis in 0..<3 {
            var larger = sizes
            larger[axis] += 1 + stream.below(200)
            #expect(seconds(larger) >= seconds(sizes) * (1 - 1e-12), "\(sizes) \(larger)")
        }
    }

    // MARK: Plans

    @Test(arguments: settings, 0..<12) func noPriceLiesBelowWhatTheHardwareCanDo(
        setting: AcceleratorSetting, seed: Int
    ) {
        var stream = RandomStream(seed: UInt64(seed), name: "accelerated floor")
        let batch = MicroBatch.random(&stream, longest: 1500)
        let pricer = Self.pricer(setting, Self.tunings[seed % 2])
        let slices = (0..<1 + stream.below(40)).map { request in
            let start = stream.below(2000)
            let isPrefill = stream.below(8) == 0
            return ServingSlice(
                request: request, tokens: start..<start + (isPrefill ? 1 + stream.below(700) : 1),
                isPrefill: isPrefill, emitsToken: !isPrefill || stream.below(2) == 0,
                record: isPrefill ? ChunkID(slot: Int32(request), generation: 0) : nil)
        }
        var units: [TrainerUnit] = (0..<Self.model.layers).map { .backward(layer: $0, rows: 0..<batch.rows) }
        if batch.freshRows > 0 {
            units += (0..<Self.model.layers).map { .forward(layer: $0, rows: 0..<batch.freshRows) }
        }
        units += [.loss(rows: 0..<batch.lossRows), .gradientNorm, .optimizer(parameters: 0..<100_000)]
        for plan in [
            StepPlan.serve(ServingIteration(slices: slices, version: 0)),
            .train(TrainerQuantum(microBatch: batch, units: units)),
        ] {
            let price = pricer.price(of: plan)
            #expect(price.seconds >= price.floor && price.floor > 0)
            pricer.list.forEachOperator(of: plan) { op in
                let own = pricer.price(of: op)
                #expect(own.seconds >= own.floor, "\(op)")
            }
        }
    }

    /// A decoding step can not be faster than its weights and its K and V come from memory.
    @Test func decodingReadsWeightsAndContexts() {
        let large = ModelShape(
            name: "large", layers: 32, hidden: 4096, heads: 32, kvHeads: 8, headSize: 128, intermediate: 14_336,
            vocabulary: 128_256, maxContext: 8192, tiedHead: false)
        let contexts = [Int](repeating: 2000, count: 16)
        // Arithmetic must not matter, as it does not on real devices.
        var accelerator = Accelerator.sample
        accelerator.figures.flopsPerSecond = 3e14
        let hardware = Hardware.accelerator(accelerator, AcceleratorSetting())
        let pricer = OperatorPricer(hardware, hardware.operators(of: Footprint(model: large, tuning: .full)))
        let price = pricer.price(of: Self.decode(contexts))
        let weights = 2.0 * Double(large.layers * large.matrixParametersPerLayer)
        let cached = 2.0 * Double(2 * large.kvWidth * large.layers * contexts.reduce(0, +))
        #expect(price.seconds > (weights + cached) / 1e12)
        #expect(price.seconds < 1.6 * (weights + cached) / 1e12)
    }

    @Test func eightBitsAndMoreDevicesMakeDecodingFaster() {
        func seconds(_ devices: Int, _ bits: Int) -> Double {
            var setting = AcceleratorSetting()
            setting.tensorParallel = devices
            setting.weightBits = bits
            let large = ModelShape(
                name: "large", layers: 8, hidden: 4096, heads: 32, kvHeads: 8, headSize: 128, intermediate: 14_336,
                vocabulary: 32_000, maxContext: 8192, tiedHead: false)
            return Self.pricer(setting, .full, large).price(of: Self.decode([500, 600])).seconds
        }
        #expect(seconds(1, 8) < 0.7 * seconds(1, 16) && seconds(1, 8) > 0.4 * seconds(1, 16))
        // All-reduces and launches do not shrink.
        #expect(seconds(2, 16) < 0.7 * seconds(1, 16) && seconds(2, 16) > 0.5 * seconds(1, 16))
        #expect(seconds(4, 16) < seconds(2, 16))
    }

    @Test func everySequenceCostsTheHostSomething() {
        let pricer = Self.pricer()
        let one = pricer.price(of: Self.decode([100]))
        #expect(one.seconds > 1e-3)
        let many = pricer.price(of: Self.decode([Int](repeating: 100, count: 33)))
        #expect(many.seconds - one.seconds > 32e-5)
    }

    @Test(arguments: [false, true]) func runsAreTheSameEveryTime(reuse: Bool) throws {
        let logs = try (0..<2).map { _ in
            try ModelledBackendTests.run(
                ModelledBackend(
                    hardware: .accelerator(.sample, AcceleratorSetting()),
                    demand: AcceleratorDemand(
                        .tiny, .lora(rank: 4, alpha: 8, targets: Projection.allCases), widths: .mixed(), maxBatch: 8)),
                reuse: reuse)
        }
        #expect(ModelledBackendTests.facts(logs[0]) == ModelledBackendTests.facts(logs[1]))
        #expect(!logs[0].steps.isEmpty)
    }

    // MARK: Memory

    /// Llama-3-8B as published: 8,030,261,248 parameters, 128 KiB of K and V for each token.
    @Test func footprintsGoByWidths() {
        let model = ModelShape(
            name: "llama-3-8b", layers: 32, hidden: 4096, heads: 32, kvHeads: 8, headSize: 128, intermediate: 14_336,
            vocabulary: 128_256, maxContext: 8192, tiedHead: false)
        #expect(model.parameters == 8_030_261_248)
        let full = Footprint(model: model, tuning: .full, widths: .mixed())
        #expect(full.weights.count == 2 * model.parameters)
        #expect(full.kvPerToken.count == 128 << 10)
        #expect(full.gradients.count == 4 * model.parameters && full.optimizer.count == 12 * model.parameters)
        #expect(full.publishBuffer.count == 2 * model.parameters)
        let eight = Footprint(model: model, tuning: .full, widths: .mixed(weightBits: 8, kvBits: 8))
        let matrices = model.layers * model.matrixParametersPerLayer
        #expect(eight.weights.count == 2 * model.parameters - matrices)
        #expect(eight.kvPerToken.count == 64 << 10)
        let fp32 = Footprint(model: model, tuning: .full)
        #expect(fp32.weights.count == 4 * model.parameters && fp32.optimizer.count == 8 * model.parameters)
        // 4.25 MiB for each token: (2 h + 2 q + 2 I) x 2 bytes and the log-sum-exp in each of 32 layers, and K and V.
        let record = full.recordSizes.activations[0].perToken.count * 32
        #expect(record == 32 * ((4 * 4096 + 2 * 14_336) * 2 + 32 * 4))
    }

    /// Pieces are never wider than what an accelerator computes in; 8 bits take a scale for each row of each tensor.
    @Test func piecesAreAtMostAsWideAsValues() {
        let model = ModelShape(
            name: "llama-3-8b", layers: 32, hidden: 4096, heads: 32, kvHeads: 8, headSize: 128, intermediate: 14_336,
            vocabulary: 128_256, maxContext: 8192, tiedHead: false)
        func sizes(_ precision: PiecePrecision, kvBits: Int = 16) -> RecordSizes {
            Footprint(
                model: model, tuning: .full, plans: SavePlans(precision: precision), widths: .mixed(kvBits: kvBits)
            ).recordSizes
        }
        #expect(sizes(.fp32) == sizes(.own) && sizes(.bf16) == sizes(.own))
        let eight = sizes(.int8)
        #expect(eight.activations[0].perToken.count == 4 * 4096 + 2 * 14_336 + 6 * 4 + 32 * 4)
        #expect(eight.kvPerToken.count == 2 * (1024 + 4) && eight.cachedKVPerToken.count == 2 * 1024 * 2)
        #expect(eight.finalPerToken.count == 4096 + 4)
        #expect(sizes(.int8, kvBits: 8).kvPerToken.count == 2 * 1024)
    }
}
