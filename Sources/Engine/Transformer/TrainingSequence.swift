/// One sample of a micro-batch, or a part of one.
///
/// Several sequences may go on from one *trunk*, another sequence of the micro-batch: their positions follow its last,
/// and they attend to its K and V as to their own. So completions of one prompt share the prompt's forward and backward
/// pass. The prompt's last token, whose targets differ between completions, is then the first of each of these.
public struct TrainingSequence: Sendable {
    /// Input token of each position.
    public let tokens: [Int32]
    /// Token to predict at each position; any value where the weight is 0.
    public let targets: [Int32]
    /// Weight of each position's loss; 0 leaves it out. For a step's loss to be the mean over its loss tokens, the
    /// caller divides by their number over all micro-batches.
    public let weights: [Float]
    /// Tokens, counted from the first, whose forward pass is skipped because its results are attached: ascending,
    /// disjoint, not empty.
    public let recorded: [Range<Int>]
    /// Number of the sequence in the micro-batch that this one goes on from: one before it that is no branch itself, with
    /// nothing but other branches of it between.
    public let trunk: Int?

    public init(
        tokens: [Int32], targets: [Int32], weights: [Float], recorded: [Range<Int>] = [], after trunk: Int? = nil
    ) {
        precondition(!tokens.isEmpty, "a sequence needs tokens")
        precondition(
            targets.count == tokens.count && weights.count == tokens.count,
            "\(tokens.count) tokens need as many targets and weights")
        var end = 0
        for range in recorded {
            precondition(
                range.lowerBound >= end && range.upperBound <= tokens.count && !range.isEmpty,
                "recorded ranges must ascend within the sequence")
            end = range.upperBound
        }
        self.tokens = tokens
        self.targets = targets
        self.weights = weights
        self.recorded = recorded
        self.trunk = trunk
    }

    /// Tokens that run forward.
    public var fresh: [Range<Int>] {
        var result: [Range<Int>] = []
        var start = 0
        for range in recorded {
            if range.lowerBound > start { result.append(start..<range.lowerBound) }
            start = range.upperBound
        }
        if start < tokens.count { result.append(start..<tokens.count) }
        return result
    }
}
