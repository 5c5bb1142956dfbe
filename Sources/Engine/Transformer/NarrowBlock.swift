internal import Glibc

/// Tensors of some tokens in less than 32 bits for each value: rounded when they are stored, floats again when they are
/// loaded. What is stored never changes.
public final class NarrowBlock {
    public let layout: NarrowLayout
    /// Owned memory, `byteCount` bytes of it in use.
    public let buffer: FloatBuffer
    /// Bytes in use.
    public var byteCount: Int { layout.byteCount }

    /// A block in new memory, or in `buffer`, which must be long enough.
    public init(_ layout: NarrowLayout, buffer: FloatBuffer? = nil) {
        self.layout = layout
        let memory = buffer ?? FloatBuffer(count: Self.floatCount(layout))
        precondition(
            memory.byteCount >= layout.byteCount,
            "the buffer holds \(memory.byteCount) bytes, the block needs \(layout.byteCount)")
        self.buffer = memory
    }

    /// Floats of a buffer that holds a block.
    public static func floatCount(_ layout: NarrowLayout) -> Int { (layout.byteCount + 3) / 4 }

    /// Another block with the same contents.
    public func copy() -> NarrowBlock {
        let other = NarrowBlock(layout)
        memcpy(other.buffer.base, buffer.base, byteCount)
        return other
    }

    private var base: UnsafeMutableRawPointer { UnsafeMutableRawPointer(buffer.base) }

    private func values(_ plane: NarrowLayout.Plane, _ row: Int) -> UnsafeMutableRawPointer {
        let width = plane.isExact ? 4 : layout.precision == .int8 ? 1 : 2
        return base + plane.values + row * plane.columns * width
    }

    private func scale(_ plane: NarrowLayout.Plane, _ row: Int) -> UnsafeMutablePointer<Float> {
        (base + plane.scales).assumingMemoryBound(to: Float.self) + row
    }

    // MARK: Rows

    func store(_ x: UnsafePointer<Float>, plane number: Int, row: Int) {
        let plane = layout.planes[number]
        let target = values(plane, row)
        guard !plane.isExact else {
            memcpy(target, x, plane.columns * MemoryLayout<Float>.stride)
            return
        }
        switch layout.precision {
        case .bf16:
            FloatConversion.roundToBFloat16(
                x, to: target.assumingMemoryBound(to: UInt16.self), count: plane.columns)
        case .int8:
            scale(plane, row).pointee = Int8Conversion.fromFloat32(
                x, to: target.assumingMemoryBound(to: Int8.self), count: plane.columns)
        }
    }

    func load(plane number: Int, row: Int, to x: UnsafeMutablePointer<Float>) {
        let plane = layout.planes[number]
        let source = values(plane, row)
        guard !plane.isExact else {
            memcpy(x, source, plane.columns * MemoryLayout<Float>.stride)
            return
        }
        switch layout.precision {
        case .bf16: _ = FloatConversion.fromBFloat16(source, to: x, count: plane.columns)
        case .int8:
            Int8Conversion.toFloat32(
                source.assumingMemoryBound(to: Int8.self), scale: scale(plane, row).pointee, to: x,
                count: plane.columns)
        }
    }

    /// Largest distance from a stored value of what is rounded to it.
    func halfStep(plane number: Int, row: Int, at value: Float) -> Float {
        switch layout.precision {
        case .bf16: Float(bitPattern: value.bitPattern & 0x7f80_0000) * 0x1p-8
        case .int8: scale(layout.planes[number], row).pointee * 0.5
        }
    }

    // MARK: Tensors

    /// Rounds all rows of one plane after another.
    ///
    /// - Parameter tensors: by plane, the tensor that has its rows from row 0 on.
    func store(_ tensors: [Matrix], pool: ThreadPool) {
        precondition(tensors.count == layout.planes.count, "a tensor for each plane")
        for (number, (tensor, plane)) in zip(tensors, layout.planes).enumerated() where plane.rows > 0 {
            pool.rows(plane.rows, cost: 2 * plane.columns) { rows in
                for row in rows { store(tensor.base + row * tensor.stride, plane: number, row: row) }
            }
        }
    }

    /// Rounds what a block of activations holds.
    package func store(_ block: ActivationBlock, pool: ThreadPool) {
        precondition(
            layout.rows == block.rows && layout.queryRows == block.queryRows && layout.plan == block.plan,
            "the blocks differ in shape")
        store(block.tensors, pool: pool)
    }

    package func store(_ block: FinalBlock, pool: ThreadPool) { store([block.x], pool: pool) }

    /// Makes floats of the activations of rows `rows`, for a block of exactly these.
    public func load(rows: Range<Int>, to block: ActivationBlock, pool: ThreadPool) {
        precondition(
            block.rows == rows.count && block.plan == layout.plan && rows.upperBound <= layout.rows,
            "the blocks differ in shape")
        // Either holds the planes after the input of its last rows only.
        let first = rows.upperBound - block.queryRows - (layout.rows - layout.queryRows)
        precondition(first >= 0 || block.queryRows == 0, "the record does not hold the output of all rows asked for")
        for (number, tensor) in block.tensors.enumerated() {
            load(plane: number, rows: number == 0 ? rows.lowerBound : first, to: tensor, pool: pool)
        }
    }

    public func load(rows: Range<Int>, to block: FinalBlock, pool: ThreadPool) {
        precondition(block.rows == rows.count && rows.upperBound <= layout.rows, "the blocks differ in shape")
        load(plane: 0, rows: rows.lowerBound, to: block.x, pool: pool)
    }

    private func load(plane number: Int, rows first: Int, to tensor: Matrix, pool: ThreadPool) {
        guard tensor.rows > 0 else { return }
        pool.rows(tensor.rows, cost: tensor.columns) { rows in
            for row in rows { load(plane: number, row: first + row, to: tensor.base + row * tensor.stride) }
        }
    }

    /// Rounds K and V of rows `source..<source + count` of a layer, as the block's rows from `row` on.
    public func store(_ kv: KVBlock, layer: Int, rows source: Range<Int>, at row: Int, pool: ThreadPool) {
        let segment = kv.segment(layer: layer, row: source.lowerBound, start: 0, count: source.count)
        pool.rows(source.count, cost: 4 * layout.planes[0].columns) { rows in
            for next in rows {
                store(segment.keys + next * segment.rowStride, plane: 0, row: row + next)
                store(segment.values + next * segment.rowStride, plane: 1, row: row + next)
            }
        }
    }

    /// Makes floats of K and V of rows `rows`, as the first rows of a block of one layer.
    public func load(rows: Range<Int>, to kv: KVBlock, pool: ThreadPool) {
        let segment = kv.segment(layer: 0, start: 0, count: rows.count)
        pool.rows(rows.count, cost: 2 * layout.planes[0].columns) { part in
            for next in part {
                load(plane: 0, row: rows.lowerBound + next, to: segment.keys + next * segment.rowStride)
                load(plane: 1, row: rows.lowerBound + next, to: segment.values + next * segment.rowStride)
            }
        }
    }
}

extension ActivationBlock {
    /// Its tensors in the order of a narrow block's planes.
    var tensors: [Matrix] { Self.tensors(x: x, planes, plan: plan, row: 0) }

    /// - Parameter row: of the planes after the input, which is to become row 0.
    static func tensors(x: Matrix, _ planes: QueryPlanes, plan: SavePlan, row: Int) -> [Matrix] {
        func part(_ plane: Matrix) -> Matrix { plane.rows(from: row, count: plane.rows - row) }
        var tensors = [x]
        if plan.savesAttention { tensors += [planes.q, planes.o, planes.lse, planes.x2].map(part) }
        if plan.savesGate {
            let width = planes.gateUp.columns / 2
            tensors += [planes.gateUp.columns(from: 0, count: width), planes.gateUp.columns(from: width, count: width)]
                .map(part)
        }
        return tensors
    }
}
