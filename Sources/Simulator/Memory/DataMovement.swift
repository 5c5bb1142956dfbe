/// What the books decide about real bytes, told to the backend in the order of the decisions.
///
/// A backend that only prices work has no bytes and ignores these.
public enum DataMovement: Sendable, Equatable {
    /// The request's K and V live in `blocks`, in the order of its tokens.
    case openRequest(Int, blocks: [Int])
    /// The request has ended; blocks that records still need stay.
    case closeRequest(Int)
    case freeBlocks([Int])
    /// A copy of the piece is now on the host.
    case copiedToHost(ChunkID, layer: Int)
    /// The device copy of the piece's activations is gone, and with it its hold on the request's KV blocks.
    case freedOnDevice(ChunkID, layer: Int)
    /// The given part of the piece has been staged on the device for training.
    case copiedToDevice(ChunkID, layer: Int, part: CopyJob.Part)
    /// Nothing of the piece is needed any more, on either tier.
    case discarded(ChunkID, layer: Int)
    /// All pieces of the chunk are gone.
    case forgotten(ChunkID)
}
