internal import DequeModule

/// The trainer: collects samples, forms steps, and says which units run next.
///
/// It decides and keeps state; memory is asked through the caller, and the backend does the work.
public struct Trainer: Sendable {
    /// Units that run in order, with what the backend predicts for each.
    public struct UnitRun: Sendable {
        public let units: [TrainerUnit]
        public let predictions: [SimDuration]
        /// The first unit that has not run.
        public var next = 0

        public init(units: [TrainerUnit], predict: (TrainerUnit) -> SimDuration) {
            self.units = units
            predictions = units.map(predict)
        }

        public var isDone: Bool { next == units.count }
    }

    /// A micro-batch whose memory is reserved.
    public struct OpenMicroBatch: Sendable {
        public var plan: MicroBatch
        /// The chunks that it reads.
        public var chunks: [(id: ChunkID, uses: Int)]
        public var run: UnitRun
        public var reloads: ReloadPlan
        public var workspace: Bytes
        /// By layer.
        public var activations: [Bytes]
        /// Where those are, if they leave the device.
        public var offload: ActivationOffload?
        /// Inputs of the final norm, kept until the last layer's backward pass is done.
        public var finalBytes: Bytes

        /// Room for the trainer's own activations on the device while the micro-batch is open, but for the final norm's
        /// inputs.
        public var activationBytes: Bytes { offload?.windowBytes ?? activations.reduce(.zero, +) }
    }

    /// A step that has begun.
    public struct ActiveStep: Sendable {
        public var record: StepRecord
        /// Samples that no micro-batch has taken, in order.
        public var pending: [Sample]
        /// Samples of the micro-batches that have been opened.
        public var opened = 0
        /// Sum over the reused tokens of their age in versions.
        public var tokenAges = 0
        public var open: OpenMicroBatch?
        public var closed: [MicroBatch] = []
        /// Norm and optimizer; absent until the last micro-batch is closed.
        public var closing: UnitRun?
    }

    public let configuration: TrainingConfiguration
    public let planner: UnitPlanner
    /// Samples that no step has taken, in order, by objective.
    private var queues: [Feedback.Kind: Deque<Sample>] = [:]
    /// Steps applied so far.
    public private(set) var version = 0
    public var step: ActiveStep?
    private var microBatches = 0

    public init(configuration: TrainingConfiguration, model: ModelShape) {
        self.configuration = configuration
        planner = UnitPlanner(
            layers: model.layers, trainedParameters: configuration.tuning.trainedParameters(of: model),
            quantumMax: configuration.quantumMax)
    }

    public mutating func add(_ sample: Sample) { queues[sample.objective, default: []].append(sample) }

    /// Samples that no step has taken yet.
    public var waiting: Int { queues.values.reduce(0) { $0 + $1.count } }
    public var hasWork: Bool { step != nil || queues.values.contains { !$0.isEmpty } }

    /// Begins a step when none is under way and enough samples of one objective wait; while `draining`, when any do. Of
    /// several objectives that of the sample that has waited longest goes first.
    @discardableResult
    public mutating func beginStep(at now: SimTime, draining: Bool) -> Bool {
        let fewest = draining ? 1 : configuration.updateEvery
        let ready = Feedback.Kind.allCases.filter { queues[$0, default: []].count >= fewest }
        func oldest(_ kind: Feedback.Kind) -> SimTime { queues[kind]?.first?.ready ?? .zero }
        guard step == nil, let objective = ready.min(by: { oldest($0) < oldest($1) }) else { return false }
        let count = min(queues[objective, default: []].count, configuration.updateEvery)
        let samples = (0..<count).compactMap { _ in queues[objective]?.popFirst() }
        var record = StepRecord(version: version, start: now, samples: samples.count)
        record.objective = objective
        record.tokens = samples.reduce(0) { $0 + $1.tokens }
        record.sharedTokens = samples.reduce(0) { $0 + $1.sharedTokens }
        record.lossTokens = samples.reduce(0) { $0 + $1.lossCount(configuration.lossTokens) }
        record.learned = samples.map { LearnedSample(request: $0.request, ready: $0.ready, tokens: $0.tokens) }
        step = ActiveStep(record: record, pending: samples)
        return true
    }

    /// The micro-batch that `samples` form, with those of their records that may be used.
    ///
    /// - Returns: the micro-batch, and the parts of records that exist but are too stale.
    public func microBatch(
        of samples: some Sequence<Sample>, stepLossTokens: Int, stepSamples: Int = 1, records: RecordStore
    ) -> (plan: MicroBatch, stale: [RecordReference]) {
        var stale: [RecordReference] = []
        var sequences: [TrainingSequencePlan] = []
        var objective = Feedback.Kind.sft
        // A record refers to a chunk twice where it has tokens of others in between.
        var references: [ChunkID: Int] = [:]
        for sample in samples {
            objective = sample.objective
            var spans: [RecordedSpan] = []
            for part in sample.record {
                guard let chunk = records[part.chunk], !chunk.dead else { continue }
                if configuration.reuse, configuration.staleness.accepts(chunk.versions, at: version) {
                    spans.append(RecordedSpan(chunk: part.chunk, tokens: part.tokens, versions: chunk.versions))
                    references[part.chunk, default: 0] += 1
                } else {
                    stale.append(part)
                }
            }
            sequences += sample.sequences(spans, after: sequences.count, configuration.lossTokens)
        }
        var plan = MicroBatch(
            id: microBatches, version: version, sequences: sequences, objective: objective,
            stepLossTokens: stepLossTokens, stepSamples: stepSamples)
        plan.references = references
        return (plan, stale)
    }

    /// The first `count` of the pending samples have become a micro-batch.
    public mutating func open(_ microBatch: OpenMicroBatch, samples count: Int) {
        microBatches += 1
        step?.pending.removeFirst(count)
        step?.open = microBatch
    }

    /// Units that run in the next quantum: as many as are predicted to fit, as long as their inputs are there.
    ///
    /// - Parameters:
    ///   - limit: when set, even the first unit must be predicted to fit it.
    ///   - isReady: whether the records that a unit reads are on the device.
    public func nextUnits(
        of run: UnitRun, within limit: SimDuration? = nil, isReady: (TrainerUnit) -> Bool
    ) -> [TrainerUnit] {
        let most = min(configuration.quantumMax, limit ?? configuration.quantumMax)
        var units: [TrainerUnit] = []
        var predicted = SimDuration.zero
        for index in run.next..<run.units.count {
            let unit = run.units[index]
            if !units.isEmpty || limit != nil, predicted + run.predictions[index] > most { break }
            guard isReady(unit) else { break }
            units.append(unit)
            predicted += run.predictions[index]
        }
        return units
    }

    /// The step is applied and its weights are published.
    public mutating func finishStep() {
        version += 1
        step = nil
    }
}
