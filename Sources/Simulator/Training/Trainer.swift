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
        /// Inputs of the final norm, kept until the last layer's backward pass is done.
        public var finalBytes: Bytes
    }

    /// A step that has begun.
    public struct ActiveStep: Sendable {
        public var record: StepRecord
        /// Samples of the micro-batches that have not been opened.
        public var pending: [[Sample]]
        /// Sum over the reused tokens of their age in versions.
        public var tokenAges = 0
        public var open: OpenMicroBatch?
        public var closed: [MicroBatch] = []
        /// Norm and optimizer; absent until the last micro-batch is closed.
        public var closing: UnitRun?
    }

    public let configuration: TrainingConfiguration
    public let planner: UnitPlanner
    private var queue = Deque<Sample>()
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

    public mutating func add(_ sample: Sample) { queue.append(sample) }

    /// Samples that no step has taken yet.
    public var waiting: Int { queue.count }
    public var hasWork: Bool { step != nil || !queue.isEmpty }

    /// Begins a step when none is under way and enough samples wait; while `draining`, when any do.
    @discardableResult
    public mutating func beginStep(at now: SimTime, draining: Bool) -> Bool {
        guard step == nil, !queue.isEmpty, draining || queue.count >= configuration.updateEvery else { return false }
        let samples = (0..<min(queue.count, configuration.updateEvery)).compactMap { _ in queue.popFirst() }
        var record = StepRecord(version: version, start: now, samples: samples.count)
        record.tokens = samples.reduce(0) { $0 + $1.tokens }
        record.lossTokens = samples.reduce(0) { $0 + $1.lossTokens(configuration.lossTokens).count }
        record.learned = samples.map { LearnedSample(request: $0.request, ready: $0.ready, tokens: $0.tokens) }
        step = ActiveStep(record: record, pending: Sample.pack(samples, limit: configuration.microBatchTokens))
        return true
    }

    /// The micro-batch that `samples` form, with those of their records that may be used.
    ///
    /// - Returns: the micro-batch, and the parts of records that exist but are too stale.
    public mutating func microBatch(
        of samples: [Sample], stepLossTokens: Int, records: RecordStore
    ) -> (plan: MicroBatch, stale: [RecordReference]) {
        var stale: [RecordReference] = []
        let sequences = samples.map { sample in
            var spans: [RecordedSpan] = []
            for part in sample.record {
                guard let chunk = records[part.chunk], !chunk.dead else { continue }
                if configuration.reuse, configuration.staleness.accepts(chunk.versions, at: version) {
                    spans.append(RecordedSpan(chunk: part.chunk, tokens: part.tokens, versions: chunk.versions))
                } else {
                    stale.append(part)
                }
            }
            return TrainingSequencePlan(
                request: sample.request, promptTokens: sample.promptTokens, responseTokens: sample.responseTokens,
                edited: sample.edited, lossTokens: sample.lossTokens(configuration.lossTokens), recorded: spans)
        }
        microBatches += 1
        let plan = MicroBatch(
            id: microBatches - 1, version: version, sequences: sequences, stepLossTokens: stepLossTokens)
        return (plan, stale)
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
