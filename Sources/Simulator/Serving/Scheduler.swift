internal import DequeModule

/// Continuous batching with chunked prefill: who is served in the next iteration.
///
/// Requests are admitted first come, first served, when their KV fits and the batch has a place. An iteration decodes
/// every running sequence by one token and spends what is left of the token budget on the prompts, oldest first.
public struct Scheduler: Sendable {
    /// A request that holds KV blocks.
    public struct Sequence: Sendable {
        public var request: Int
        public var promptTokens: Int
        public var outputTokens: Int
        /// Positions whose K and V are in the cache.
        public var computed = 0
        /// Output tokens that exist.
        public var generated = 0
        public var kvBlocks: [Int]
        /// Oldest version of the weights among its K and V; `nil` before the first chunk.
        public var oldestKV: Int?

        public init(request: Int, promptTokens: Int, outputTokens: Int, kvBlocks: [Int]) {
            self.request = request
            self.promptTokens = promptTokens
            self.outputTokens = outputTokens
            self.kvBlocks = kvBlocks
        }

        /// Tokens that are ever run: the last output token is not fed back.
        public var totalTokens: Int { promptTokens + outputTokens - 1 }
        public var isPrefilling: Bool { computed < promptTokens }
        public var isFinished: Bool { generated == outputTokens }
    }

    public let configuration: ServingConfiguration
    private var waiting = Deque<Int>()
    public private(set) var running: [Sequence] = []

    public init(configuration: ServingConfiguration) { self.configuration = configuration }

    public var waitingCount: Int { waiting.count }
    public var isEmpty: Bool { waiting.isEmpty && running.isEmpty }

    /// The first requests in line, at most `count`.
    func waiting(first count: Int) -> some Collection<Int> { waiting.prefix(count) }

    public mutating func enqueue(_ request: Int) { waiting.append(request) }

    /// The request that is admitted next, if the batch has a place.
    public var nextToAdmit: Int? { running.count < configuration.maxBatch ? waiting.first : nil }

    /// Admits the next request in line, whose KV blocks are `sequence.kvBlocks`.
    public mutating func admit(_ sequence: Sequence) {
        precondition(waiting.first == sequence.request, "requests are admitted in order")
        waiting.removeFirst()
        running.append(sequence)
    }

    /// The slices of the next iteration; empty when nothing runs.
    public func nextIteration() -> [ServingSlice] {
        var budget = configuration.tokenBudget
        var slices: [ServingSlice] = []
        for sequence in running where !sequence.isPrefilling && budget > 0 {
            slices.append(
                ServingSlice(
                    request: sequence.request, tokens: sequence.computed..<sequence.computed + 1, isPrefill: false,
                    emitsToken: true))
            budget -= 1
        }
        for sequence in running where sequence.isPrefilling && budget > 0 {
            let end = min(sequence.promptTokens, sequence.computed + budget)
            slices.append(
                ServingSlice(
                    request: sequence.request, tokens: sequence.computed..<end, isPrefill: true,
                    emitsToken: end == sequence.promptTokens))
            budget -= end - sequence.computed
        }
        return slices
    }

    /// The running sequence of `request`.
    public func sequence(of request: Int) -> Sequence? { running.first { $0.request == request } }

    /// Books a finished iteration and returns the sequences that it finished, which no longer run.
    public mutating func complete(_ iteration: ServingIteration) -> [Sequence] {
        var progress: [Int: ServingSlice] = [:]
        for slice in iteration.slices { progress[slice.request] = slice }
        for index in running.indices {
            guard let slice = progress[running[index].request] else { continue }
            precondition(slice.tokens.lowerBound == running[index].computed, "a slice that skips positions")
            running[index].computed = slice.tokens.upperBound
            running[index].oldestKV = min(running[index].oldestKV ?? iteration.version, iteration.version)
            if slice.emitsToken { running[index].generated += 1 }
        }
        let finished = running.filter(\.isFinished)
        if !finished.isEmpty { running.removeAll(where: \.isFinished) }
        return finished
    }
}
