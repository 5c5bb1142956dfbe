/// What the backward pass of one layer needs from the forward pass of some tokens. Serving records it, the trainer saves
/// it for the tokens it runs itself: the same type, so that one backward pass reads both.
///
/// Planar, row-major, one buffer, in this order: `x` the layer's input, `q` after rotary embedding, `o` the attention
/// output, `lse` its log-sum-exp, `x2` the residual stream between attention and MLP, `gateUp` gate then up. K and V are
/// not part of it: they live in KV storage.
///
/// Of the last layer training reads the rows that carry loss, and of all others `x` alone. A pass's own block holds there
/// the planes after `q` for the loss rows only, one behind another in the first rows of each plane.
public final class ActivationBlock {
    /// Tokens held.
    public let rows: Int
    /// Floats of the block; the buffer may be longer.
    public let count: Int
    /// Owned memory, `count` floats of it in use.
    public let buffer: FloatBuffer
    /// Bytes in use.
    public var byteCount: Int { count * MemoryLayout<Float>.stride }

    /// [rows, hidden]
    package let x: Matrix
    /// [rows, heads headSize]
    package let q: Matrix
    /// [rows, heads headSize]
    package let o: Matrix
    /// [rows, heads]
    package let lse: Matrix
    /// [rows, hidden]
    package let x2: Matrix
    /// [rows, 2 intermediate]
    package let gateUp: Matrix

    /// A block in new memory, or in `buffer`, which must be long enough.
    public init(_ config: ModelConfig, rows: Int, buffer: FloatBuffer? = nil) {
        precondition(rows > 0, "a block holds at least one token")
        self.rows = rows
        count = rows * Self.floatsPerToken(config)
        let memory = buffer ?? FloatBuffer(count: count)
        precondition(memory.count >= count, "the buffer holds \(memory.count) floats, the block needs \(count)")
        self.buffer = memory
        var next = memory.base
        func plane(_ columns: Int) -> Matrix {
            defer { next += rows * columns }
            return Matrix(next, rows: rows, columns: columns)
        }
        x = plane(config.hidden)
        q = plane(config.queryWidth)
        o = plane(config.queryWidth)
        lse = plane(config.heads)
        x2 = plane(config.hidden)
        gateUp = plane(2 * config.intermediate)
    }

    /// 2 hidden + 2 heads headSize + heads + 2 intermediate.
    public static func floatsPerToken(_ config: ModelConfig) -> Int {
        2 * config.hidden + 2 * config.queryWidth + config.heads + 2 * config.intermediate
    }

    /// Bytes of `rows` tokens of one layer.
    public static func byteCount(_ config: ModelConfig, rows: Int) -> Int {
        rows * floatsPerToken(config) * MemoryLayout<Float>.stride
    }

    /// The block's bytes, for copies between arenas.
    public var bytes: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: buffer.base, count: byteCount)
    }

    /// Copies the whole block onto one of the same shape.
    public func copyContents(to other: ActivationBlock) {
        precondition(other.count == count && other.rows == rows, "the blocks differ in shape")
        other.bytes.copyMemory(from: UnsafeRawBufferPointer(bytes))
    }
}

/// The final norm's input of some tokens [rows, hidden]: what the loss needs from the forward pass.
public final class FinalBlock {
    public let rows: Int
    public let count: Int
    /// Owned memory, `count` floats of it in use.
    public let buffer: FloatBuffer
    /// Bytes in use.
    public var byteCount: Int { count * MemoryLayout<Float>.stride }
    package let x: Matrix

    /// A block in new memory, or in `buffer`, which must be long enough.
    public init(_ config: ModelConfig, rows: Int, buffer: FloatBuffer? = nil) {
        precondition(rows > 0, "a block holds at least one token")
        self.rows = rows
        count = rows * config.hidden
        let memory = buffer ?? FloatBuffer(count: count)
        precondition(memory.count >= count, "the buffer holds \(memory.count) floats, the block needs \(count)")
        self.buffer = memory
        x = Matrix(memory.base, rows: rows, columns: config.hidden)
    }

    /// Bytes of `rows` tokens.
    public static func byteCount(_ config: ModelConfig, rows: Int) -> Int {
        rows * config.hidden * MemoryLayout<Float>.stride
    }

    /// The block's bytes, for copies between arenas.
    public var bytes: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: buffer.base, count: byteCount)
    }

    /// Copies the whole block onto one of the same shape.
    public func copyContents(to other: FinalBlock) {
        precondition(other.count == count && other.rows == rows, "the blocks differ in shape")
        other.bytes.copyMemory(from: UnsafeRawBufferPointer(bytes))
    }
}
