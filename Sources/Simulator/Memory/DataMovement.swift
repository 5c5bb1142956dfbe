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

    /// The request's K and V live in `blocks`, in the order of its tokens.
    case openRequest(Int, blocks: [Int])
    /// The request has ended; blocks that records still need stay.
    case closeRequest(Int)
    case freeBlocks([Int])
    /// Room for a record is reserved on the device; the next iteration writes to it.
    case beganRecord(ChunkID, Record)
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
