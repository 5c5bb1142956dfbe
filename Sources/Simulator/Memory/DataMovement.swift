/// What the books decide about real bytes, told to the backend in the order of the decisions.
///
/// A backend that only prices work has no bytes and ignores these.
public enum DataMovement: Sendable, Equatable {
    /// The room of a chunk on the device.
    public struct Record: Sendable, Equatable {
        /// Position of its first token.
        public var first: Int
        /// Tokens.
        public var rows: Int
        /// Rows of the final norm's input: of its last tokens.
        public var finalRows: Int
        /// Whether it is written token by token, each in an iteration of its own.
        public var grows: Bool
        /// KV blocks that hold its K and V, from the one with its first token on.
        public var blocks: [Int]
    }

    /// New blocks follow those that hold the request's K and V so far.
    case extendRequest(Int, blocks: [Int])
    /// Blocks that hold K and V already follow those of the request; it only reads them.
    case shareBlocks(Int, blocks: [Int])
    /// The first rows of a block are copied into another: the request would write the rest of a block that it shares.
    case copyBlock(from: Int, to: Int, tokens: Int)
    /// The request no longer needs its blocks after the first `blocks`.
    case shrinkRequest(Int, blocks: Int)
    /// The request no longer needs its blocks; those that others hold stay.
    case closeRequest(Int)
    case freeBlocks([Int])
    /// Room for a copy of the request's blocks is reserved on the host.
    case swapsOut(Int)
    /// The contents of the request's blocks have been copied to the host, and it no longer needs the blocks.
    case swappedOut(Int)
    /// They have been copied back into the blocks that the request has now.
    case swappedIn(Int)
    /// Room for a record is reserved on the device; the next iteration writes to it.
    case beganRecord(ChunkID, Record)
    /// A record that is written token by token ends after `rows` tokens; the room of further ones is gone.
    case sealed(ChunkID, rows: Int)
    /// Room for copies of the pieces is reserved on the host.
    case reservedOnHost(ChunkID, LayerSet)
    /// A copy of the piece is now on the host.
    case copiedToHost(ChunkID, layer: Int)
    /// The copies of the pieces on the host are gone, or their room, and they stay on the device.
    case freedOnHost(ChunkID, LayerSet)
    /// The device copy of the piece's activations is gone, and with it its hold on the request's KV blocks.
    case freedOnDevice(ChunkID, layer: Int)
    /// The given part of the piece has been staged on the device for training.
    case copiedToDevice(ChunkID, layer: Int, part: CopyJob.Part)
    /// What was staged of the piece is gone.
    case unstaged(ChunkID, layer: Int)
    /// Nothing of the piece is needed any more, on either tier.
    case discarded(ChunkID, layer: Int)
    /// All pieces of the chunk are gone.
    case forgotten(ChunkID)
}
