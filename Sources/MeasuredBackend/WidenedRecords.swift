internal import Engine

/// Floats of rounded records, as long as units read them: K and V of one layer, activations of one unit's rows, the final
/// norm's inputs. The memory goes round.
struct WidenedRecords {
    /// The layer that K and V are of.
    var layer: Int?
    private let pool: BufferPool
    private var ofKV: [FloatBuffer] = []
    private var ofActivations: [FloatBuffer] = []
    private var ofFinal: [FloatBuffer] = []

    init(_ pool: BufferPool) { self.pool = pool }

    mutating func keysAndValues(_ config: ModelConfig, rows: Int) -> KVBlock {
        let buffer = pool.take(rows * 2 * config.keyWidth)
        ofKV.append(buffer)
        return KVBlock(config, capacity: rows, layers: 1, buffer: buffer)
    }

    mutating func activations(
        _ config: ModelConfig, rows: Int, queryRows: Int?, plan: SavePlan
    ) -> ActivationBlock {
        let buffer = pool.take(ActivationBlock.floatCount(config, rows: rows, queryRows: queryRows, plan: plan))
        ofActivations.append(buffer)
        return ActivationBlock(config, rows: rows, queryRows: queryRows, plan: plan, buffer: buffer)
    }

    mutating func final(_ config: ModelConfig, rows: Int) -> FinalBlock {
        let buffer = pool.take(rows * config.hidden)
        ofFinal.append(buffer)
        return FinalBlock(config, rows: rows, buffer: buffer)
    }

    mutating func releaseKV() {
        layer = nil
        release(&ofKV)
    }

    mutating func releaseActivations() { release(&ofActivations) }

    mutating func releaseAll() {
        releaseKV()
        releaseActivations()
        release(&ofFinal)
    }

    private func release(_ buffers: inout [FloatBuffer]) {
        for buffer in buffers { pool.give(buffer) }
        buffers.removeAll(keepingCapacity: true)
    }
}
