internal import Engine
public import Simulator

/// Executes plans with a real transformer on this machine and reports the wall time of each quantum.
///
/// Timed is what a device would do: the forward pass, the trainer's units. Not timed are the movements of bytes, which
/// the simulated link is charged for, and bookkeeping.
public final class MeasuredBackend: ExecutionBackend {
    private let demand: MeasuredDemand
    public var model: ModelShape { demand.model }
    public var footprint: Footprint { demand.footprint }

    let engine: EngineContext
    private let pricer: OperatorPricer
    private let probe: SpeedProbe
    let options: MeasuredOptions
    let tuning: TuningMode
    let tokens: any TokenIDs
    let arena: RecordArena
    /// What the passes of training read.
    var current: ModelParameters
    /// What serving reads: the same, unless the trainer has a device of its own.
    var served: ModelParameters
    /// What the optimizer writes; the two change places when a step is published. Base weights are shared in LoRA mode.
    var next: ModelParameters
    /// The reference model of pairs: the one that training started from, without adapters.
    let referenceModel: ModelParameters
    let gradients: GradientBuffer
    let optimizer: OptimizerState
    let rule: AdamW
    var gradientScale = 1.0
    var pass: OpenPass?
    /// The reference model's pass, which comes before `pass`.
    var reference: OpenReference?
    /// Memory that floats of rounded records take in turn.
    let widenedBuffers = BufferPool()
    /// Rounded pieces that the step in progress has read, for audits.
    var roundedReads = RoundedReads()
    /// Trained parameters by version, for audits.
    var history: [Int: FloatBuffer] = [:]
    /// What made the K and V of each request, in order, with the version that did, for audits: its slices, and before them
    /// what others had made of its blocks. A request that was preempted begins again at its first token.
    var slicesServed: [Int: [(tokens: Range<Int>, version: Int)]] = [:]
    /// Requests that have given up their blocks since they were last prefilled, for audits.
    private var closed: Set<Int> = []
    /// Told the logits of every emitted token, for tests.
    package var logitsObserver: ((_ request: Int, _ position: Int, _ logits: [Float]) -> Void)?

    /// - Parameters:
    ///   - engine: model and scratch, shared by arms that run in turn.
    ///   - profile: what estimates are made from.
    public init(
        engine: EngineContext, profile: HardwareProfile, tokens: any TokenIDs, options: MeasuredOptions
    ) {
        self.engine = engine
        self.options = options
        self.tokens = tokens
        demand = MeasuredDemand(engine.config, options, threads: engine.pool.width)
        probe = SpeedProbe(pool: engine.pool)
        pricer = OperatorPricer(profile, OperatorList(demand.footprint))
        tuning = TuningMode(options.training.tuning)
        arena = RecordArena(
            engine.config, demand.footprint, blockTokens: options.kvBlockTokens, pool: engine.pool)
        switch tuning {
        case .full:
            current = ModelParameters(
                engine.start.weights(
                    seed: options.seed, isTrained: options.training.enabled, pool: engine.pool))
            next = options.training.enabled ? ModelParameters(Weights(zeros: engine.config)) : current
        case .lora(let lora):
            let weights = engine.start.weights(seed: options.seed, isTrained: false, pool: engine.pool)
            // Every arm serves the same model, so the arm that only serves has adapters, too.
            current = ModelParameters(weights, adapters: engine.start.adapters(lora, seed: options.seed))
            next =
                options.training.enabled
                ? ModelParameters(weights, adapters: engine.start.adapters(lora, seed: options.seed)) : current
        }
        referenceModel = Self.reference(current.weights, options.training)
        served = current
        if options.training.enabled, options.training.placement == .separate {
            // Base weights that nobody changes are kept once, although either device holds a copy.
            switch tuning {
            case .full: served = ModelParameters(Weights(zeros: engine.config))
            case .lora(let lora):
                served = ModelParameters(current.weights, adapters: Adapters(engine.config, lora, seed: options.seed))
            }
        }
        gradients = GradientBuffer(engine.config, tuning)
        optimizer = OptimizerState(gradients.table)
        rule = AdamW(
            weightDecay: options.training.weightDecay,
            clipNorm: options.training.clipNorm > 0 ? options.training.clipNorm : nil)
        copyToServer()
        keepVersion(0)
    }

    /// What adapters are put on does not change; weights that are trained are copied before.
    private static func reference(_ weights: Weights, _ training: TrainingConfiguration) -> ModelParameters {
        guard training.enabled, training.learnsPairs, case .full = training.tuning else {
            return ModelParameters(weights)
        }
        let copy = Weights(zeros: weights.config)
        copy.copy(from: weights)
        return ModelParameters(copy)
    }

    var isAudited: Bool { options.training.enabled && options.training.auditEvery > 0 }

    public func servingWorkspace(tokens: Int) -> Bytes { demand.servingWorkspace(tokens: tokens) }

    public func trainWorkspace(for microBatch: MicroBatch, unitRows: Int) -> Bytes {
        demand.trainWorkspace(for: microBatch, unitRows: unitRows)
    }

    public func estimate(_ plan: StepPlan) -> SimDuration { pricer.price(of: plan).duration }

    public func execute(_ plan: StepPlan) throws -> StepOutcome {
        probe.measure()
        var outcome =
            switch plan {
            case .serve(let iteration): withRounding(try serve(iteration))
            case .train(let quantum): try train(quantum)
            }
        outcome.probe = SimDuration(seconds: probe.seconds)
        if let reference = options.steadyProbe {
            outcome.scale(
                by: SpeedElasticity.factor(
                    reference: reference, probe: probe.seconds, SpeedElasticity.of(plan)))
        }
        return outcome
    }

    public func apply(_ movements: [DataMovement]) throws {
        for movement in movements {
            try arena.follow(movement)
            if isAudited, case .closeRequest(let request) = movement { closed.insert(request) }
        }
    }

    // MARK: Serving

    /// Iterations are charged for rounding the K and V that have left the device since the last one.
    private func withRounding(_ outcome: StepOutcome) -> StepOutcome {
        var outcome = outcome
        outcome.duration = outcome.duration + arena.takeRounding()
        return outcome
    }

    private func serve(_ iteration: ServingIteration) throws -> StepOutcome {
        let batch = try iteration.slices.map { slice in
            Engine.ServingSlice(
                tokens: Array(tokens.sequence(of: slice.request)[slice.tokens]), start: slice.tokens.lowerBound,
                kv: arena.spans(of: slice.request, tokens: slice.tokens.upperBound),
                record: try arena.blocks(for: slice), wantsLogits: slice.emitsToken)
        }
        if isAudited { note(iteration) }
        guard let observer = logitsObserver else {
            return StepOutcome(duration: measured { _ = engine.transformer.forward(batch, served) })
        }
        let emitting = iteration.slices.filter(\.emitsToken)
        var logits = [Float](repeating: 0, count: emitting.count * model.vocabulary)
        let duration = logits.withUnsafeMutableBufferPointer { logits in
            measured { _ = engine.transformer.forward(batch, served, logits: logits) }
        }
        for (row, slice) in emitting.enumerated() {
            let first = row * model.vocabulary
            observer(slice.request, slice.tokens.upperBound - 1, Array(logits[first..<first + model.vocabulary]))
        }
        return StepOutcome(duration: duration)
    }

    /// Notes which weights make the K and V of an iteration.
    private func note(_ iteration: ServingIteration) {
        for slice in iteration.slices {
            let request = slice.request
            // A request may begin, or begin anew, with blocks of others.
            if slice.isPrefill, closed.remove(request) != nil || slicesServed[request] == nil {
                slicesServed[request, default: []] += arena.versions(of: request, tokens: slice.tokens.lowerBound)
            }
            slicesServed[request, default: []].append((slice.tokens, iteration.version))
            arena.note(slice.tokens, of: request, version: iteration.version)
        }
    }

    // MARK: Real memory

    /// The most bytes ever held in KV blocks, in records, and in pieces that came back from the host.
    public var arenaPeaks: [ArenaPeak] {
        [
            ArenaPeak(.kvBlocks, on: .device, held: Bytes(arena.kv.peak)),
            ArenaPeak(.recorded, on: .device, held: Bytes(arena.deviceRecords.peak)),
            ArenaPeak(.staged, on: .device, held: Bytes(arena.staged.peak)),
            ArenaPeak(.kvBlocks, on: .host, held: Bytes(arena.hostKV.peak)),
            ArenaPeak(.recorded, on: .host, held: Bytes(arena.hostRecords.peak)),
        ]
    }

    /// Whether no request and no record holds memory.
    public var arenaIsEmpty: Bool { arena.isEmpty }
}

/// What a measured arm needs to know of its configuration.
public struct MeasuredOptions: Sendable {
    public var seed: UInt64
    public var training: TrainingConfiguration
    /// What is kept between forward and backward.
    public var plans: SavePlans
    public var kvBlockTokens: Int
    public var maxBatch: Int
    /// When set, durations are told as they would be at the speed at which a probe takes this many seconds: the machine's
    /// drift is taken out of them. Otherwise they are wall time.
    public var steadyProbe: Double?
    /// Texts that nobody learns from.
    public var heldOut = HeldOutTexts.none

    public init(_ configuration: ArmConfiguration) {
        seed = configuration.seed
        training = configuration.training
        plans = SavePlans(configuration)
        kvBlockTokens = configuration.serving.kvBlockTokens
        maxBatch = configuration.serving.maxBatch
    }
}

/// Where token ids come from.
public protocol TokenIDs {
    /// Prompt and answer of a request.
    func sequence(of request: Int) -> [Int32]
    /// An answer that the request's feedback names beside the one served, of `tokens` tokens; numbers count from 1.
    func answer(_ number: Int, to request: Int, tokens: Int) -> [Int32]
}

extension StepOutcome {
    /// Multiplies every duration; units still sum to the whole.
    fileprivate mutating func scale(by factor: Double) {
        func scaled(_ duration: SimDuration) -> SimDuration {
            SimDuration(nanoseconds: max(1, Int64((Double(duration.nanoseconds) * factor).rounded())))
        }
        unitDurations = unitDurations.map(scaled)
        duration = unitDurations.isEmpty ? scaled(duration) : unitDurations.reduce(.zero, +)
    }
}
