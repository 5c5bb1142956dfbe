import Simulator

/// What the simulation itself costs per quantum, with work that takes no time to price: scheduling, books, records, copies,
/// prefix cache, events and logs.
enum LoopBenchmarks {
    private static let batch = 32
    private static let requests = 1_500

    enum Kind: String, CaseIterable {
        case serving = "loop, serving alone"
        case cached = "loop, prefix cache"
        case recorded = "loop, eager records and training"
        case tight = "loop, hedged records in a full device"
    }

    /// Microseconds per quantum, the trainer's included.
    static func figure(_ kind: Kind, _ bench: Bench) -> Figure {
        let trace = trace(conversations: kind == .cached)
        let backend = ConstantBackend()
        let configuration = configuration(kind, trace, backend)
        let times = (0..<bench.rounds).map { _ in
            var quanta = 1
            let seconds = bench.seconds {
                do {
                    var simulation = try Simulation(configuration: configuration, trace: trace, backend: backend)
                    quanta = try simulation.run().quanta.total
                } catch {
                    preconditionFailure("\(kind.rawValue): \(error)")
                }
            }
            return seconds / Double(quanta) * 1e6
        }
        return Figure(kind.rawValue, times, unit: "us per quantum")
    }

    private static func trace(conversations: Bool) -> Trace {
        let requests = (0..<requests).map { index in
            let turn = conversations ? index % 4 : 0
            return Request(
                id: "r\(index)", arrival: SimTime(nanoseconds: Int64(index) * 60_000_000),
                promptTokens: 200 * turn + 120 + index % 17, outputTokens: 60 + index * 7 % 61,
                conversation: "c\(index / 4)", turn: turn, previousTurn: turn > 0 ? index - 1 : nil,
                feedback: index % 3 == 0 ? .given(Feedback(delay: .milliseconds(500))) : .none)
        }
        return Trace(source: "bench", requests: requests)
    }

    private static func configuration(
        _ kind: Kind, _ trace: Trace, _ demand: some MemoryDemand
    ) -> ArmConfiguration {
        var configuration = ArmConfiguration()
        configuration.serving.maxBatch = batch
        configuration.serving.tokenBudget = 256
        configuration.serving.prefixCache = kind == .cached
        if kind == .recorded || kind == .tight {
            configuration.training.enabled = true
            configuration.training.reuse = true
            configuration.training.sharing = .share
            configuration.training.auditEvery = 0
            configuration.recording.scope = .prefill
            configuration.recording.offload = kind == .tight ? .hedged : .eager
        }
        let least = MemoryRequirement(configuration: configuration, trace: trace, demand: demand)
        configuration.device.memory =
            least.deviceForEveryRequest + (kind == .tight ? least.kvBlock * 400 : Bytes(1 << 38))
        configuration.device.hostMemory = Bytes(1 << 42)
        return configuration
    }
}

/// Takes the same time for everything, so that what is measured is deciding.
private struct ConstantBackend: ExecutionBackend {
    let model = ModelShape(
        name: "32 layers", layers: 32, hidden: 64, heads: 4, kvHeads: 1, headSize: 16, intermediate: 128,
        vocabulary: 512, maxContext: 4096, tiedHead: true)
    let footprint: Footprint

    init() { footprint = Footprint(model: model, tuning: .lora(rank: 1, alpha: 1, targets: [.query])) }

    func servingWorkspace(tokens: Int) -> Bytes { Bytes(tokens) }
    func trainWorkspace(for microBatch: MicroBatch, unitRows: Int) -> Bytes { Bytes(unitRows) }
    func estimate(_ plan: StepPlan) -> SimDuration {
        switch plan {
        case .serve: .milliseconds(10)
        case .train(let quantum): .milliseconds(Int64(quantum.units.count))
        }
    }
    mutating func execute(_ plan: StepPlan) throws -> StepOutcome {
        var outcome = StepOutcome(duration: estimate(plan))
        if case .train(let quantum) = plan {
            outcome.unitDurations = quantum.units.map { _ in SimDuration.milliseconds(1) }
        }
        return outcome
    }
    mutating func apply(_ movements: [DataMovement]) throws {}
    mutating func advance(version: Int) throws {}
    mutating func publish(version: Int) throws {}
    mutating func open(_ microBatch: MicroBatch, unitRows: Int) throws {}
    mutating func close(_ microBatch: MicroBatch) throws {}
    mutating func audit(_ microBatches: [MicroBatch]) throws -> GradientAudit? { nil }
    mutating func forgetVersions(before version: Int) {}
}
