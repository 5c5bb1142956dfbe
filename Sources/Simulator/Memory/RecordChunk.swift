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

/// Tokens of a request's record that lie in one chunk, which may be shared with other requests.
public struct RecordReference: Sendable, Hashable {
    public var chunk: ChunkID
    /// Positions, some or all of the chunk's.
    public var tokens: Range<Int>

    public init(chunk: ChunkID, tokens: Range<Int>) {
        self.chunk = chunk
        self.tokens = tokens
    }
}

/// The record of a run of tokens: one piece for each layer, and one for the final norm's input, which counts as layer
/// `layers`.
///
/// A chunk is what one iteration prefilled of one request, or what decoding adds to one KV block, token after token. Its
/// pieces never change once they are written. Requests and samples refer to it, and it lives until nobody does.
public struct RecordChunk: Sendable {
    /// What a chunk is kept for, which decides who gives way first.
    public enum Need: Int, Sendable, CaseIterable, Comparable {
        /// Its request has ended and waits for feedback, which may never come.
        case waiting
        /// Its request is being served.
        case serving
        /// A sample will be trained on it.
        case claimed

        public static func < (a: Need, b: Need) -> Bool { a.rawValue < b.rawValue }
    }

    /// The request that it was made for.
    public let request: Int
    /// Positions that are written.
    public internal(set) var tokens: Range<Int>
    /// Tokens that there is room for; all of them are written before the chunk is copied.
    public internal(set) var capacity: Int
    /// Rows of the final norm's input that are kept: of the last tokens.
    public internal(set) var finalRows: Int
    /// Oldest and newest version over its own weights and all K and V that it attended to.
    public internal(set) var versions: ClosedRange<Int>
    /// KV blocks that hold its K and V on the device, from the one with its first token on.
    public let kvBlocks: ArraySlice<Int>
    public let layers: Int

    /// Pieces whose activations are where serving wrote them. K and V of all layers are in the request's blocks as long
    /// as any piece with K and V is on the device.
    public internal(set) var onDevice: LayerSet
    /// A copy to the host is queued.
    public internal(set) var queued = LayerSet()
    /// Room on the host is reserved: from the start of the chunk's first copy.
    public internal(set) var hostRoom = LayerSet()
    /// The copy is under way: the bytes on both ends stay until it is done.
    public internal(set) var copying = LayerSet()
    public internal(set) var onHost = LayerSet()
    /// Nobody needs the piece any more; it goes when its copy is done.
    public internal(set) var doomed = LayerSet()
    /// Copied back for training.
    public internal(set) var stagedActivations = LayerSet()
    public internal(set) var stagedKV = LayerSet()
    /// A reload is queued or under way.
    public internal(set) var returningActivations = LayerSet()
    public internal(set) var returningKV = LayerSet()

    /// Requests and samples that refer to it.
    public internal(set) var references = 1
    public internal(set) var need = Need.serving
    /// Serving is writing it.
    public internal(set) var writing = true
    /// An open micro-batch reads it: device copies stay.
    public internal(set) var pinned = false
    /// That micro-batch holds the last references: each piece goes when its layer's backward pass is done.
    public internal(set) var consuming = false
    /// The host had no room for it.
    public internal(set) var refused = false
    /// Given up: no sample may use it.
    public internal(set) var dead = false

    /// Whether layer `layer` is the pseudo-layer of the final norm's input, which has no K and V.
    public func isFinal(_ layer: Int) -> Bool { layer == layers }
    /// Every piece that was ever made.
    public var made: LayerSet { LayerSet(0..<(finalRows > 0 ? layers + 1 : layers)) }
    /// Pieces of which any bytes exist.
    public var live: LayerSet { onDevice.union(hostRoom) }
    /// Pieces that are on both tiers: the device copy can go without loss.
    public var hedged: LayerSet { onDevice.intersection(onHost) }
    /// Whether it keeps its KV blocks: any piece with K and V is on the device.
    public var holdsBlocks: Bool { !onDevice.intersection(LayerSet(0..<layers)).isEmpty }
    /// Whether all tokens are written.
    public var isComplete: Bool { tokens.count == capacity && !writing }
    /// Changes it where it lies.
    mutating func apply(_ change: (inout RecordChunk) -> Void) { change(&self) }

    /// Whether it may be taken away from whoever refers to it.
    var canGiveWay: Bool { !pinned && !dead && !writing }
}
