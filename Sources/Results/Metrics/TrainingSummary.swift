public import Simulator

/// What training cost and brought in one arm.
public struct TrainingSummary: Sendable, Equatable {
    public var steps: Int
    public var samples: Int
    /// Tokens of the largest micro-batch.
    public var largestMicroBatch: Int
    /// Tokens of samples whose gradients were applied: of each answer, its prompt included.
    public var tokens: Int
    /// Prompt tokens among them that did not run again for a further answer.
    public var sharedTokens: Int
    /// Those whose forward pass was skipped.
    public var reusedTokens: Int
    /// Recorded tokens that were too stale to be used.
    public var staleTokens: Int
    public var time: PhaseTimes
    /// Time in which the trainer could have run but for a reload.
    public var stall: SimDuration
    /// Seconds from 0 to the end of the arm's last quantum, the trainer's draining included.
    public var wallSeconds: Double
    /// Devices that the arm holds all that time.
    public var devices: Int
    /// Mean loss over the loss tokens of the first and of the last quarter of the steps, at least one, in nats; absent
    /// where no numbers are computed.
    public var firstLoss: Double?
    public var lastLoss: Double?
    public var longestQuantum: SimDuration?
    /// Age in versions of the reused tokens' records: the mean, weighted by reused tokens, and the oldest.
    public var meanAge: Double?
    public var oldestAge: Int?
    /// From a sample's feedback to the first token served with weights that contain it; of samples that got so far.
    public var learningLag: Distribution?
    /// Losses on held-out texts before the first step, and after the last; absent where they were not taken.
    public var firstHeldOut: HeldOutLoss?
    public var lastHeldOut: HeldOutLoss?
    /// The audits of those steps that had one, in order.
    public var audits: [GradientAudit]

    /// `nil` for an arm that made no training step.
    public init?(_ log: ArmLog, devices: Int = 1) {
        guard !log.steps.isEmpty else { return nil }
        steps = log.steps.count
        samples = log.steps.reduce(0) { $0 + $1.samples }
        largestMicroBatch = log.steps.reduce(0) { max($0, $1.largestMicroBatch) }
        tokens = log.steps.reduce(0) { $0 + $1.tokens }
        sharedTokens = log.steps.reduce(0) { $0 + $1.sharedTokens }
        reusedTokens = log.steps.reduce(0) { $0 + $1.reusedTokens }
        staleTokens = log.steps.reduce(0) { $0 + $1.staleTokens }
        time = log.steps.reduce(into: PhaseTimes()) { sum, step in
            sum.forward += step.time.forward
            sum.reference += step.time.reference
            sum.loss += step.time.loss
            sum.recompute += step.time.recompute
            sum.backward += step.time.backward
            sum.optimizer += step.time.optimizer
            sum.publish += step.time.publish
        }
        stall = log.steps.reduce(into: .zero) { $0 += $1.stall }
        wallSeconds = log.end.seconds
        self.devices = devices
        let quarter = max(1, log.steps.count / 4)
        firstLoss = Self.meanLoss(log.steps.prefix(quarter))
        lastLoss = Self.meanLoss(log.steps.suffix(quarter))
        longestQuantum = log.quanta.sums.longestTraining
        let reusing = log.steps.filter { $0.reusedTokens > 0 }
        meanAge = ratio(
            reusing.reduce(0) { $0 + $1.meanAge * Double($1.reusedTokens) }, Double(reusedTokens))
        oldestAge = reusing.map(\.oldestAge).max()
        learningLag = Distribution(
            log.steps.flatMap { step in
                step.firstServed.map { served in step.learned.map { served - $0.ready } } ?? []
            })
        firstHeldOut = log.evaluations.first?.loss
        lastHeldOut = log.evaluations.last?.loss
        audits = log.steps.compactMap(\.audit)
    }

    private static func meanLoss(_ steps: ArraySlice<StepRecord>) -> Double? {
        var sum = 0.0
        for step in steps {
            guard let loss = step.loss else { return nil }
            sum += loss * Double(step.lossTokens)
        }
        return sum / Double(max(1, steps.reduce(0) { $0 + $1.lossTokens }))
    }

    /// Compute, waiting for reloads, and publishing.
    public var busy: SimDuration { time.total + stall }
    /// Compute alone.
    public var compute: SimDuration { time.total - time.publish }

    public var tokensPerBusySecond: Double? { ratio(Double(tokens), busy.seconds) }
    public var tokensPerWallSecond: Double? { ratio(Double(tokens), wallSeconds) }
    public var tokensPerDeviceSecond: Double? { ratio(Double(tokens), wallSeconds * Double(devices)) }
    /// Of the tokens that ran.
    public var reusedFraction: Double? { ratio(Double(reusedTokens), Double(tokens - sharedTokens)) }
    /// Share of the recorded tokens of samples that were fresh enough to be used.
    public var hitRate: Double? { ratio(Double(reusedTokens), Double(reusedTokens + staleTokens)) }
    /// Share of the busy time that forward passes below the head take.
    public var forwardShare: Double? { ratio(time.forward.seconds, busy.seconds) }
    /// Compute seconds, and those of its forward passes, repeated ones included, per trained token.
    public var computePerToken: Double? { ratio(compute.seconds, Double(tokens)) }
    public var forwardPerToken: Double? { ratio((time.forward + time.recompute).seconds, Double(tokens)) }

    /// The worst over audited steps: this one is bound by a law.
    public var roundingError: Double? { audits.map(\.roundingError).max() }
    /// Over audited steps: what the precision of records does.
    public var precisionError: Spread? { Spread(audits.map(\.precisionError)) }
    public var precisionCosine: Spread? { Spread(audits.map(\.precisionCosine)) }
    /// Over audited steps. Staleness is a distribution rather than a law, so its median speaks for it.
    public var stalenessError: Spread? { Spread(audits.map(\.stalenessError)) }
    public var stalenessCosine: Spread? { Spread(audits.map(\.stalenessCosine)) }
}
