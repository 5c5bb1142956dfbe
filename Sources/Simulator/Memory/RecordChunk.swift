/// Names a chunk of a record for as long as any of its pieces lives.
///
/// Slots are used again; the generation tells a chunk from an earlier one in the same slot, so that a copy that was
/// queued for the earlier one is never taken for the later one's.
public struct ChunkID: Hashable, Sendable, CustomStringConvertible {
    public var slot: Int32
    public var generation: Int32

    public init(slot: Int32, generation: Int32) {
        self.slot = slot
        self.generation = generation
    }

    public var description: String { "chunk \(slot).\(generation)" }
}

/// The record of a run of prompt tokens that were prefilled together: one piece for each layer, and one for the final
/// norm's input, which counts as layer `layers`.
public struct RecordChunk: Sendable {
    /// Where the bytes of one piece are.
    public struct Piece: Sendable, Equatable {
        /// Activations as serving wrote them, and a hold on the request's KV blocks.
        public var onDevice = true
        public var onHost = false
        /// Room on the host is reserved and a copy is queued or under way.
        public var leaving = false
        /// That copy is under way: the bytes on both ends stay until it is done.
        public var copying = false
        /// Nobody needs the piece any more; it goes when its copy is done.
        public var doomed = false
        /// Copied back for training.
        public var stagedActivations = false
        public var stagedKV = false
        /// A reload is queued or under way.
        public var returningActivations = false
        public var returningKV = false

        /// Whether any bytes of the piece exist or are promised.
        public var isLive: Bool { onDevice || onHost || leaving }
    }

    public var request: Int
    /// Positions in the request's prompt.
    public var tokens: Range<Int>
    /// Rows of the final norm's input that are kept.
    public var finalRows: Int
    /// Oldest and newest version over its own weights and all K and V that it attended to.
    public var versions: ClosedRange<Int>
    /// KV blocks that hold its K and V on the device.
    public var kvBlocks: ArraySlice<Int>
    public var pieces: [Piece]
    /// Layers whose K and V still live in the request's blocks.
    public var layersHoldingKV: Int
    /// An open micro-batch reads it: device copies stay.
    public var pinned = false
    /// Given up: no sample may use it.
    public var dead = false

    /// Whether layer `layer` is the pseudo-layer of the final norm's input, which has no K and V.
    public func isFinal(_ layer: Int) -> Bool { layer == pieces.count - 1 }
}
