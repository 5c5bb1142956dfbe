/// One arm of a run: a trace served, recorded and learned from in virtual time.
///
/// Server and trainer share one device and its compute stream, or have a device each. The trainer works in quanta that
/// are predicted to end within `training.quantumMax`; on a shared device the server goes first but for the turns that
/// `training.sharing` gives the trainer. Copies run beside compute.
public struct Simulation<Backend: ExecutionBackend> {
    typealias Event = SimulationEvent
    typealias Stream = ComputeStream
    typealias Work = ComputeWork
    typealias OpenRecord = OpenRequestRecord

    let configuration: ArmConfiguration
    let trace: Trace
    /// Index of the turn that follows each request, if any.
    let nextTurn: [Int?]
    public internal(set) var backend: Backend
    var events = EventQueue<Event>()
    var memory: MemorySystem
    var scheduler: Scheduler
    var trainer: Trainer
    var serverWork: Work?
    /// On the trainer's own device.
    var trainerWork: Work?
    package var log = ArmLog()
    /// What is recorded of each request that is not a sample yet.
    var records: [Int: OpenRecord] = [:]
    /// What a micro-batch may take on the trainer's device.
    let microBatchRoom: Bytes
    /// Whether each request is recorded; empty if all are.
    let selected: [Bool]
    /// Iterations that only decoded, executed last and with nothing else in between.
    var decodesInARow = 0
    /// The next iteration, planned, while it waits for room for its records.
    var heldSlices: [ServingSlice] = []
    /// Since when it has waited.
    var servingHeldSince: SimTime?
    /// Since when the next request in line has waited for memory that records hold.
    var admissionHeldSince: SimTime?
    /// When the next transfer can start that waits for what it copies.
    var copyWake: SimTime?
    /// Version that serving reads.
    var servedVersion = 0
    /// The version that is on its way to the server.
    var publishing: Int?
    var waitsForPublishSince: SimTime?
    /// The first step that no token has been served with.
    var unservedStep = 0
    /// Nanoseconds that a share of the stream owes the trainer.
    var trainerCredit = 0.0
    /// Since when the trainer has been able to run but for a reload.
    var stalledSince: SimTime?
    var shapeIndices: [PlanShape: Int] = [:]
    var openRequests: Int
    var pendingFeedback = 0
    let recent = RecentEvents()

    /// Whether the books are held against the pieces after every event, as tests do.
    package var checksEveryEvent = false
    /// Whether stretches that only decode are executed without planning each iteration.
    package var decodesInStretches = true

    var now: SimTime { events.now }
    /// Whether server and trainer have a device each.
    var hasTrainerDevice: Bool { configuration.hasTrainerDevice }

    /// - Throws: `SimulationError.tooLittleMemory` when the device or the host can not hold what the run needs, and
    ///   `SimulationError.tooManyLayers`.
    public init(configuration: ArmConfiguration, trace: Trace, backend: Backend) throws(SimulationError) {
        guard backend.model.layers < LayerSet.limit else {
            throw .tooManyLayers(backend.model.layers, most: LayerSet.limit - 1)
        }
        self.configuration = configuration
        self.trace = trace
        self.backend = backend
        let requirement = MemoryRequirement(configuration: configuration, trace: trace, demand: backend)
        try requirement.check(configuration.device)
        memory = MemorySystem(
            device: configuration.device, kvBlockTokens: configuration.serving.kvBlockTokens,
            sizes: backend.footprint.recordSizes, kvBlocks: requirement.kvBlocks, recording: configuration.recording,
            hasTrainerDevice: configuration.hasTrainerDevice)
        microBatchRoom = requirement.microBatchRoom(on: configuration.device)
        selected = Self.selection(trace, configuration)
        scheduler = Scheduler(configuration: configuration.serving, prefixes: Self.prefixes(configuration, trace))
        trainer = Trainer(configuration: configuration.training, model: backend.model)
        var following = [Int?](repeating: nil, count: trace.requests.count)
        for (index, request) in trace.requests.enumerated() {
            if let previous = request.previousTurn { following[previous] = index }
        }
        nextTurn = following
        openRequests = trace.requests.count
        log.requests = trace.requests.indices.map(RequestRecord.init(index:))
        for (tier, owner, bytes) in requirement.fixed {
            precondition(memory.reserve(bytes, for: owner, on: tier), "the fixed owners fit, as has been checked")
        }
        memory.notesMovements = !backend.isPure
        if !backend.isPure {
            // Only what was measured can replay it.
            log.quanta.limit = .max
            log.units.limit = .max
        }
        scheduleArrival(from: 0)
        scopePrefixCache()
        limitLinks()
    }

    /// The prefix cache finds what the served weights made, or what any version did.
    mutating func scopePrefixCache() {
        let isShared = configuration.serving.prefixCacheAcrossVersions
        memory.setCacheScope(PrefixCache.Scope(version: isShared ? nil : servedVersion))
    }

    /// Runs to the end of the trace, of the feedback it draws, and of the training that this feeds.
    ///
    /// - Parameter shouldStop: asked between events; once true, the run ends there and is marked interrupted.
    public mutating func run(
        progress: (_ finished: Int, _ now: SimTime) -> Void = { _, _ in }, shouldStop: () -> Bool = { false }
    ) throws -> ArmLog {
        Law.record { [recent] in recent.text }
        try evaluate()
        try dispatch()
        while let (time, event) = events.popNext() {
            memory.ledger.now = time
            recent.note(event, at: time)
            try handle(event)
            try dispatch()
            if checksEveryEvent { try checkBooks() }
            progress(trace.requests.count - openRequests, time)
            if shouldStop() {
                log.status = .interrupted
                break
            }
        }
        try evaluate()
        // What is left in the prefix cache is of no more use.
        memory.clearPrefixCache()
        try flushMovements()
        log.memory = memory.ledger.record
        noteArenas()
        log.kvCapacity = memory.kv.capacity
        if log.status == .complete { try checkFinalLaws() }
        return log
    }

    private mutating func handle(_ event: Event) throws {
        switch event {
        case .computeDone(let stream): try finishWork(on: stream)
        case .published(let version): try receiveWeights(of: version)
        case .copyDone(let direction, let started): finishCopy(direction, started: started)
        case .copyReady: break
        case .arrival(let request):
            if trace.requests[request].previousTurn == nil { scheduleArrival(from: request + 1) }
            arrive(request)
        case .feedback(let request): takeFeedback(on: request)
        case .recordExpiry(let request): expireRecord(of: request)
        }
    }

    /// Gives the compute streams their next work and starts the copies that can start.
    private mutating func dispatch() throws {
        if serverWork == nil {
            let turn = trainerTurn()
            var isTaken = false
            if let turn { isTaken = try startTraining(within: turn) }
            if !isTaken { isTaken = try startServing() }
            if !isTaken, !hasTrainerDevice { _ = try startTraining() }
        }
        if hasTrainerDevice, trainerWork == nil { _ = try startTraining() }
        let waited = memory.copiesMakeRoom
        startCopies()
        try flushMovements()
        // Whoever waits for copies that the host has just refused would wait for nothing.
        if waited, !memory.copiesMakeRoom { try dispatch() }
    }

    private static func prefixes(_ configuration: ArmConfiguration, _ trace: Trace) -> PrefixHashes? {
        configuration.serving.prefixCache ? PrefixHashes(trace, blockTokens: configuration.serving.kvBlockTokens) : nil
    }

    mutating func flushMovements() throws {
        let movements = memory.takeMovements()
        if !movements.isEmpty { try backend.apply(movements) }
    }

    /// Puts a plan on the compute stream.
    mutating func execute(_ plan: StepPlan) throws -> StepOutcome {
        try flushMovements()
        let (predicted, outcome) = try backend.executePredicted(plan)
        var record = QuantumRecord(
            kind: .serve, start: now, duration: outcome.duration, predicted: predicted, shape: 0,
            version: servedVersion, waiting: scheduler.waitingCount, kvBlocks: memory.kv.liveBlocks,
            cachedBlocks: memory.kv.cachedBlocks)
        switch plan {
        case .serve(let iteration):
            (record.prefillTokens, record.decodeTokens, record.recordedTokens) = iteration.counts
            decodesInARow = record.prefillTokens == 0 ? decodesInARow + 1 : 0
            if let since = servingHeldSince {
                record.held = now - since
                servingHeldSince = nil
            }
        case .train(let quantum):
            record.kind = .train
            // A trainer on a device of its own leaves the server's caches alone.
            if !hasTrainerDevice { decodesInARow = 0 }
            record.version = trainer.version
            for (unit, duration) in zip(quantum.units, outcome.unitDurations) {
                log.units.append(UnitRecord(quantum: log.quanta.total, phase: unit.phase, duration: duration))
            }
        }
        record.probe = outcome.probe
        if log.keepsShapes { record.shape = noteShape(of: plan, kind: record.kind, outcome.duration) }
        log.quanta.append(record)
        let stream = hasTrainerDevice && record.kind == .train ? Stream.trainer : .server
        events.schedule(.computeDone(stream), at: now + outcome.duration, priority: 0)
        return outcome
    }

    /// Notes what a plan cost under its shape. Prices can be asked for again, so beyond a limit they are not kept.
    private mutating func noteShape(of plan: StepPlan, kind: QuantumRecord.Kind, _ duration: SimDuration) -> Int {
        let shape = plan.shape(lastLayer: backend.model.layers - 1)
        if let index = shapeIndices[shape] {
            log.shapes[index].add(duration)
            return index
        }
        guard !backend.isPure || log.shapes.count < log.shapeLimit else {
            log.keepsShapes = false
            log.shapes = []
            shapeIndices = [:]
            return 0
        }
        var record = PlanShapeRecord(shape, kind: kind)
        record.add(duration)
        log.shapes.append(record)
        shapeIndices[shape] = log.shapes.count - 1
        return log.shapes.count - 1
    }

    private mutating func finishWork(on stream: Stream) throws {
        let finished = stream == .server ? serverWork : trainerWork
        if stream == .server { serverWork = nil } else { trainerWork = nil }
        log.end = now
        switch finished {
        case .serving(let iteration, let outcome):
            creditTrainer(for: outcome.duration)
            finishServing(iteration)
            noteServed(iteration)
        case .training(let quantum, let outcome): try finishTraining(quantum, outcome)
        case nil: break
        }
    }
}
