/// One sample of a micro-batch.
public struct TrainingSequence: Sendable {
    /// Input token of each position.
    public let tokens: [Int32]
    /// Token to predict at each position; any value where the weight is 0.
    public let targets: [Int32]
    /// Weight of each position's loss; 0 leaves it out. For a step's loss to be the mean over its loss tokens, the
    /// caller divides by their number over all micro-batches.
    public let weights: [Float]
    /// Positions whose forward pass is skipped because its results are attached: ascending, disjoint, not empty.
    public let recorded: [Range<Int>]

    public init(tokens: [Int32], targets: [Int32], weights: [Float], recorded: [Range<Int>] = []) {
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
    }

    /// Positions that run forward.
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
