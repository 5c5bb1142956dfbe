/// How the trainer learns, and when.
public struct TrainingConfiguration: Sendable, Equatable {
    public enum LossTokens: String, Sendable, CaseIterable {
        /// Loss on the tokens of the answer.
        case completion
        /// Loss on every token but the first.
        case all
    }
    /// Which records may stand in for a forward pass at the current weights.
    public enum Staleness: Sendable, Equatable {
        /// Only those made wholly at the trainer's current version.
        case exact
        /// Those whose oldest part is at most this many versions old.
        case bounded(Int)
        case any

        /// The versions that all of a record must lie between to be used at version `current`.
        public func versions(at current: Int) -> ClosedRange<Int> {
            switch self {
            case .exact: current...current
            case .bounded(let versions): max(0, current - versions)...Int.max
            case .any: 0...Int.max
            }
        }

        /// Whether a record made between versions `interval` may be used at version `current`.
        public func accepts(_ interval: ClosedRange<Int>, at current: Int) -> Bool {
            let allowed = versions(at: current)
            return interval.lowerBound >= allowed.lowerBound && interval.upperBound <= allowed.upperBound
        }
    }

    public var enabled = false
    public var placement = Placement.colocated
    /// Who gets a shared compute stream.
    public var sharing = Sharing.idle
    /// With `Sharing.share`: the trainer's part of the stream's time.
    public var share = 0.2
    /// Whether recorded tokens skip the forward pass. Otherwise every sample is recomputed.
    public var reuse = false
    public var tuning = Tuning.lora(rank: 8, alpha: 16, targets: Projection.allCases)
    /// What is learned from feedback.
    public var objective = Objective.trace
    /// Of pairs: how dearly leaving the reference model is paid for.
    public var beta = 0.1
    /// Whether the answers of a pair or a group share their prompt's passes.
    public var sharedPrompts = false
    /// Whether pairs can come, so that full tuning keeps the weights it started from as their reference.
    public var learnsPairs = false
    /// Samples that form one step.
    public var updateEvery = 8
    /// Tokens that run together in one forward and backward pass; one sample alone may exceed it.
    public var microBatchTokens = 2048
    public var lossTokens = LossTokens.completion
    /// What the trainer's own forward pass keeps until the backward pass.
    public var checkpointing = Checkpointing.selective
    /// Whether what that is goes to the host until then.
    public var offloadsActivations = false
    /// Layers of it that may be on the device beside the one in use.
    public var activationsAhead = 1
    public var staleness = Staleness.any
    public var learningRate = 1e-3
    /// How the learning rate, of which `learningRate` is the peak, changes from step to step.
    public var schedule = LearningRateSchedule()
    public var weightDecay = 0.0
    /// Largest global norm of a step's gradient; 0 turns clipping off.
    public var clipNorm = 1.0
    /// Longest predicted time of one trainer quantum.
    public var quantumMax = SimDuration.milliseconds(10)
    /// Every n-th step's gradient is audited outside the clock; 0 audits none.
    public var auditEvery = 4
    /// Whether an audit also takes each sample's gradient by itself, layer by layer: what staleness does at each age.
    public var auditsSamples = false
    /// After every n-th step the loss on held-out texts is taken, outside the clock; 0 takes none.
    public var evaluateEvery = 0
    /// Held-out tokens of each language.
    public var evaluationTokens = 4096

    public init() {}
}
