/// What the backward pass of one layer needs from the forward pass of some tokens. Serving records it, the trainer saves
/// it for the tokens it runs itself: the same type, so that one backward pass reads both.
///
/// Planar, row-major, one buffer, in this order: `x` the layer's input, `q` after rotary embedding, `o` the attention
/// output, `lse` its log-sum-exp, `x2` the residual stream between attention and MLP, `gateUp` gate then up. A plane that
/// the plan leaves out has no rows. K and V are not part of it: they live in KV storage.
///
/// The planes after `x` are of the tokens whose output is wanted. Those are all, but for the last layer: there they are
/// the tokens that carry loss, and of all others backward reads `x` alone. A record holds the last `queryRows` of its
/// tokens, a pass's own block those of its tokens that carry loss, wherever they lie.
public final class ActivationBlock {
    /// Tokens held.
    public let rows: Int
    /// Tokens held of which the planes after `x` are.
    public let queryRows: Int
    /// Which planes there are.
    public let plan: SavePlan
    /// Floats of the block; the buffer may be longer.
    public let count: Int
    /// Owned memory, `count` floats of it in use.
    public let buffer: FloatBuffer
    /// Bytes in use.
    public var byteCount: Int { count * MemoryLayout<Float>.stride }

    /// [rows, hidden]
    package let x: Matrix
    /// The planes after `x`, of `queryRows` rows each.
    let planes: QueryPlanes

    /// A block in new memory, or in `buffer`, which must be long enough.
    ///
    /// - Parameter queryRows: tokens whose output is wanted; all by default.
    public init(
        _ config: ModelConfig, rows: Int, queryRows: Int? = nil, plan: SavePlan = .full, buffer: FloatBuffer? = nil
    ) {
        let queryRows = queryRows ?? rows
        precondition(rows > 0, "a block holds at least one token")
        precondition(queryRows >= 0 && queryRows <= rows, "\(queryRows) of \(rows) tokens")
        self.rows = rows
        self.queryRows = queryRows
        self.plan = plan
        count = Self.floatCount(config, rows: rows, queryRows: queryRows, plan: plan)
        let memory = buffer ?? FloatBuffer(count: count)
        precondition(memory.count >= count, "the buffer holds \(memory.count) floats, the block needs \(count)")
        self.buffer = memory
        x = Matrix(memory.base, rows: rows, columns: config.hidden)
        planes = QueryPlanes(memory.base + rows * config.hidden, config, rows: queryRows, plan: plan)
    }

    /// hidden of every token, and under the full plan 2 heads headSize + heads + hidden + 2 intermediate of those whose
    /// output is wanted.
    public static func floatCount(
        _ config: ModelConfig, rows: Int, queryRows: Int? = nil, plan: SavePlan = .full
    ) -> Int {
        rows * SavePlan.inputFloats(config) + (queryRows ?? rows) * plan.queryFloats(config)
    }

    /// Bytes of `rows` tokens of one layer.
    public static func byteCount(
        _ config: ModelConfig, rows: Int, queryRows: Int? = nil, plan: SavePlan = .full
    ) -> Int {
        floatCount(config, rows: rows, queryRows: queryRows, plan: plan) * MemoryLayout<Float>.stride
    }

    /// The block's bytes, for copies between arenas.
    public var bytes: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: buffer.base, count: byteCount)
    }

    /// Copies the whole block onto one of the same shape.
    public func copyContents(to other: ActivationBlock) {
        precondition(
            other.rows == rows && other.queryRows == queryRows && other.plan == plan, "the blocks differ in shape")
        other.bytes.copyMemory(from: UnsafeRawBufferPointer(bytes))
    }
}

/// The tensors of a layer's forward pass after its input, one behind another; those that a plan leaves out have no rows.
struct QueryPlanes {
    let q: Matrix
    let o: Matrix
    let lse: Matrix
    let x2: Matrix
    let gateUp: Matrix

    init(_ base: UnsafeMutablePointer<Float>, _ config: ModelConfig, rows: Int, plan: SavePlan) {
        self.init(
            base, config, rows: rows, attention: plan.savesAttention, gate: plan.savesGate)
    }

    /// The planes that `plan` leaves out.
    init(missingFrom plan: SavePlan, _ base: UnsafeMutablePointer<Float>, _ config: ModelConfig, rows: Int) {
        self.init(base, config, rows: rows, attention: !plan.savesAttention, gate: !plan.savesGate)
    }

    private init(
        _ base: UnsafeMutablePointer<Float>, _ config: ModelConfig, rows: Int, attention: Bool, gate: Bool
    ) {
        var next = base
        func plane(_ columns: Int, _ isHeld: Bool) -> Matrix {
            let count = isHeld ? rows : 0
            defer { next += count * columns }
            return Matrix(next, rows: count, columns: columns)
        }
        q = plane(config.queryWidth, attention)
        o = plane(config.queryWidth, attention)
        lse = plane(config.heads, attention)
        x2 = plane(config.hidden, attention)
        gateUp = plane(2 * config.intermediate, gate)
    }

    /// Those among a layer's tensors.
    init(_ tensors: LayerRows) {
        q = tensors.q
        o = tensors.o
        lse = tensors.lse
        x2 = tensors.x2
        gateUp = tensors.gateUp
    }

    private init(_ whole: QueryPlanes, _ rows: Range<Int>) {
        func part(_ plane: Matrix) -> Matrix {
            plane.rows == 0 ? plane : plane.rows(from: rows.lowerBound, count: rows.count)
        }
        q = part(whole.q)
        o = part(whole.o)
        lse = part(whole.lse)
        x2 = part(whole.x2)
        gateUp = part(whole.gateUp)
    }

    /// Rows `rows` of the planes that there are.
    func rows(_ rows: Range<Int>) -> QueryPlanes { QueryPlanes(self, rows) }
}

/// What backward would otherwise make again of some tokens' forward pass: the norms' outputs and the SwiGLU product.
struct DerivedPlanes {
    /// The attention norm's output [rows, hidden].
    let normed: Matrix
    // Of the tokens whose output is wanted.
    /// The MLP norm's output [queryRows, hidden].
    let mlpNormed: Matrix
    /// [queryRows, intermediate]
    let activated: Matrix

    init(_ base: UnsafeMutablePointer<Float>, _ config: ModelConfig, rows: Int, queryRows: Int) {
        let h = config.hidden
        normed = Matrix(base, rows: rows, columns: h)
        mlpNormed = Matrix(base + rows * h, rows: queryRows, columns: h)
        activated = Matrix(base + (rows + queryRows) * h, rows: queryRows, columns: config.intermediate)
    }

    private init(_ whole: DerivedPlanes, _ rows: Range<Int>, _ queries: Range<Int>) {
        normed = whole.normed.rows(from: rows.lowerBound, count: rows.count)
        mlpNormed = whole.mlpNormed.rows(from: queries.lowerBound, count: queries.count)
        activated = whole.activated.rows(from: queries.lowerBound, count: queries.count)
    }

    /// Rows `rows`, and those of them whose output is wanted.
    func rows(_ rows: Range<Int>, queries: Range<Int>) -> DerivedPlanes { DerivedPlanes(self, rows, queries) }

    static func floatCount(_ config: ModelConfig, rows: Int, queryRows: Int) -> Int {
        rows * config.hidden + queryRows * (config.hidden + config.intermediate)
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
