extension Scheduler {
    /// A request that has arrived and is not finished.
    public struct Sequence: Sendable {
        public enum State: Sendable {
            /// Not admitted yet, or to be computed again: it holds no blocks.
            case waiting
            case running
            /// Its blocks are being copied to the host.
            case leaving
            /// Its K and V are on the host.
            case onHost
            /// Its blocks are being copied back.
            case returning
        }

        public let request: Int
        public let promptTokens: Int
        public let outputTokens: Int
        let rank: Rank
        /// What becomes of prompt tokens that the prefix cache has; `nil` if the request is not recorded.
        let onPrefixHit: RecordingConfiguration.PrefixHit?
        public internal(set) var state = State.waiting
        /// It has never been admitted.
        var isNew = true
        /// Positions whose K and V are in the cache.
        public internal(set) var computed = 0
        /// Output tokens that exist.
        public internal(set) var generated = 0
        /// Positions that are prefilled before it decodes: its prompt, and, when it is computed again, the tokens that
        /// exist already.
        public internal(set) var prefillEnd: Int
        /// Prompt positions that have been in the cache at any time. None of them is recorded again.
        public internal(set) var seen = 0
        /// Its KV blocks in the order of its tokens; while it is on the host, none.
        public internal(set) var kvBlocks: [Int] = []
        /// Blocks on the host.
        var hostBlocks = 0
        /// Blocks for the rest of what it prefills, which admission counts as taken.
        var promised = 0
        /// What its full blocks hold; empty until it is first admitted, and without a prefix cache.
        var hashes: [BlockHash]?
        /// Full blocks that the prefix cache has been told of, or that came from it.
        var registered = 0
        /// Oldest version of the weights among its K and V; `nil` before the first chunk.
        public internal(set) var oldestKV: Int?
        /// When its last output token was there.
        var lastToken: SimTime?

        init(
            request: Int, promptTokens: Int, outputTokens: Int, rank: Rank,
            onPrefixHit: RecordingConfiguration.PrefixHit?
        ) {
            self.request = request
            self.promptTokens = promptTokens
            self.outputTokens = outputTokens
            self.rank = rank
            self.onPrefixHit = onPrefixHit
            prefillEnd = promptTokens
        }

        public var isPrefilling: Bool { computed < prefillEnd }
        public var isFinished: Bool { generated == outputTokens }
    }
}
