/// K and V of `capacity` tokens over some layers in one allocation. A token's row of a layer is K of all KV heads, then
/// V of all KV heads.
public final class KVBlock {
    /// Layers held, the first `layers` of the model.
    public let layers: Int
    /// Tokens that fit.
    public let capacity: Int
    /// Owned memory.
    public let buffer: FloatBuffer
    /// Bytes in use.
    public var byteCount: Int { layers * capacity * 2 * keyWidth * MemoryLayout<Float>.stride }
    private let keyWidth: Int

    /// A block over all layers, or over `layers` of them, as a piece copied out for one layer needs.
    public init(_ config: ModelConfig, capacity: Int, layers: Int? = nil, buffer: FloatBuffer? = nil) {
        precondition(capacity > 0, "a block holds at least one token")
        self.layers = layers ?? config.layers
        self.capacity = capacity
        keyWidth = config.keyWidth
        let count = self.layers * capacity * 2 * keyWidth
        let memory = buffer ?? FloatBuffer(count: count)
        precondition(memory.count >= count, "the buffer holds \(memory.count) floats, the block needs \(count)")
        self.buffer = memory
    }

    /// Bytes of `capacity` tokens over `layers` layers.
    public static func byteCount(_ config: ModelConfig, capacity: Int, layers: Int) -> Int {
        layers * capacity * 2 * config.keyWidth * MemoryLayout<Float>.stride
    }

    /// Rows `row..<row + count` of a layer, as the positions from `start` on.
    public func segment(layer: Int, row: Int = 0, start: Int, count: Int) -> KVSegment {
        precondition(layer < layers && row >= 0 && row + count <= capacity, "outside the block")
        let base = buffer.base + (layer * capacity + row) * 2 * keyWidth
        return KVSegment(
            keys: base, values: base + keyWidth, rowStride: 2 * keyWidth, start: start, count: count)
    }

    /// The bytes of some rows of one layer: contiguous, K and V together.
    public func bytes(layer: Int, rows: Range<Int>) -> UnsafeMutableRawBufferPointer {
        precondition(layer < layers && rows.upperBound <= capacity, "outside the block")
        let base = buffer.base + (layer * capacity + rows.lowerBound) * 2 * keyWidth
        return UnsafeMutableRawBufferPointer(
            start: base, count: rows.count * 2 * keyWidth * MemoryLayout<Float>.stride)
    }
}

/// Consecutive positions of a sequence that lie in consecutive rows of a block.
public struct KVSpan {
    public let block: KVBlock
    /// Row of the first position.
    public let row: Int
    /// Positions.
    public let count: Int

    public init(_ block: KVBlock, row: Int = 0, count: Int) {
        precondition(row >= 0 && count > 0 && row + count <= block.capacity, "outside the block")
        self.block = block
        self.row = row
        self.count = count
    }
}
