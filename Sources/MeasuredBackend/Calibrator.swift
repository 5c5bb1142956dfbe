internal import Engine
internal import Simulator

/// Warms the engine up and measures what its work costs, through the same backend that runs will use.
struct Calibrator {
    /// Rounds of which the first is warm-up.
    private static let rounds = 4

    private let engine: EngineContext
    private let training: TrainingConfiguration
    private let serving: ServingConfiguration

    init(_ engine: EngineContext, training: TrainingConfiguration, serving: ServingConfiguration) {
        self.engine = engine
        self.training = training
        self.serving = serving
    }

    func run() throws -> Calibration {
        var result = Calibration.nominal
        result.productRates = productRates()
        result.bandwidth = bandwidth()
        var ratios = [[Double]](repeating: [], count: Calibration.Phase.allCases.count)
        let backend = MeasuredBackend(engine: engine, tokens: Zeros(length: sampleTokens), options: options)
        let list = OperatorList(model: backend.model, tuning: training.tuning)
        warmUpServing()
        for round in 0..<Self.rounds {
            for (phase, price, time) in try sampleQuanta(backend, list, result) where round > 0 && price > 0 {
                ratios[phase.rawValue].append(time / price)
            }
        }
        result.factors = ratios.map { values in
            values.isEmpty ? 1 : values.sorted()[values.count / 2]
        }
        return result
    }

    /// Tokens of the sample: two budgets, so that a full chunk with and one without context are among its quanta.
    private var sampleTokens: Int { max(2, min(2 * serving.tokenBudget, 512, engine.config.maxContext / 2)) }

    /// Runs the largest iteration that can come, so that no iteration of a run has to grow the engine's scratch.
    private func warmUpServing() {
        let sequences = min(serving.maxBatch, serving.tokenBudget)
        let tokens = min(engine.config.maxContext, max(1, serving.tokenBudget / sequences))
        let weights = ModelParameters(Weights(zeros: engine.config))
        let batch = (0..<sequences).map { _ in
            Engine.ServingSlice(
                tokens: [Int32](repeating: 0, count: tokens), start: 0,
                kv: [KVSpan(KVBlock(engine.config, capacity: tokens), count: tokens)], wantsLogits: true)
        }
        _ = engine.transformer.forward(batch, weights)
    }

    private var options: MeasuredOptions {
        var configuration = ArmConfiguration()
        configuration.training = training
        configuration.training.enabled = true
        configuration.training.auditEvery = 0
        return MeasuredOptions(configuration)
    }

    /// FLOP/s of products with the layer's widest matrix over numbers of rows; medians.
    private func productRates() -> [(smallest: Int, flopsPerSecond: Double)] {
        let inputs = engine.config.hidden
        let outputs = 2 * engine.config.intermediate
        let weights = FloatBuffer(count: inputs * outputs)
        let x = FloatBuffer(count: 512 * inputs)
        let y = FloatBuffer(count: 512 * outputs)
        return [1, 4, 8, 16, 32, 64, 128, 256, 512].map { rows in
            let times = (0..<7).map { _ in
                measured {
                    MatrixProduct.forward(
                        Matrix(x.base, rows: rows, columns: inputs),
                        Matrix(weights.base, rows: outputs, columns: inputs),
                        Matrix(y.base, rows: rows, columns: outputs), pool: engine.pool)
                }.seconds
            }
            let flops = 2 * Double(rows) * Double(inputs) * Double(outputs)
            return (rows, flops / times.sorted()[times.count / 2])
        }
    }

    /// Bytes per second, read and written, of a copy that is larger than the caches.
    private func bandwidth() -> Double {
        let source = FloatBuffer(count: 16 << 20)
        let target = FloatBuffer(count: 16 << 20)
        let times = (0..<3).map { _ in measured { target.copy(from: source) }.seconds }
        return 2 * Double(source.byteCount) / times.sorted()[1]
    }

    /// Serves and trains one sample; returns the price and the time of each quantum by phase.
    private func sampleQuanta(
        _ backend: MeasuredBackend, _ list: OperatorList, _ rates: Calibration
    ) throws -> [(Calibration.Phase, price: Double, time: Double)] {
        var samples: [(Calibration.Phase, price: Double, time: Double)] = []
        let count = sampleTokens
        let blocks = Array(0..<(count + 1 + backend.options.kvBlockTokens) / backend.options.kvBlockTokens)
        try backend.apply([.openRequest(0, blocks: blocks)])
        func serve(_ range: Range<Int>, _ phase: Calibration.Phase) throws {
            let slice = ServingSlice(
                request: 0, tokens: range, isPrefill: phase == .prefill, emitsToken: range.upperBound >= count)
            let plan = StepPlan.serve(ServingIteration(slices: [slice], version: 0))
            let price = rates.time(of: list.operators(of: plan))
            samples.append((phase, price, try backend.execute(plan).duration.seconds))
        }
        try serve(0..<count / 2, .prefill)
        try serve(count / 2..<count, .prefill)
        try serve(count..<count + 1, .decode)
        try backend.apply([.closeRequest(0), .freeBlocks(blocks)])

        let sequence = TrainingSequencePlan(
            request: 0, promptTokens: count - count / 8, responseTokens: count / 8 + 1, edited: false,
            lossTokens: count - count / 8 - 1..<count, recorded: [])
        let batch = MicroBatch(id: 0, version: 0, sequences: [sequence], stepLossTokens: sequence.lossTokens.count)
        try backend.open(batch, unitRows: batch.rows)
        let layers = backend.model.layers
        var units: [TrainerUnit] = (0..<layers).map { .forward(layer: $0, rows: 0..<batch.freshRows) }
        units.append(.loss(rows: 0..<batch.lossRows))
        units += (0..<layers).reversed().map { .backward(layer: $0, rows: 0..<batch.rows) }
        let parameters = 0..<backend.gradients.table.count
        units += [.gradientNorm, .optimizer(parameters: parameters)]
        let outcome = try backend.execute(.train(TrainerQuantum(microBatch: batch, units: units)))
        try backend.close(batch)
        for (unit, time) in zip(units, outcome.unitDurations) {
            let price = rates.time(of: list.operators(of: unit, in: batch))
            samples.append((Calibration.Phase(unit.phase), price, time.seconds))
        }
        return samples
    }
}

/// Token 0, over and over.
private struct Zeros: TokenIDs {
    let length: Int
    func sequence(of request: Int) -> [Int32] { [Int32](repeating: 0, count: length + 1) }
    func editedResponse(of request: Int) -> [Int32]? { nil }
}
