internal import Engine
internal import Simulator

/// Bytes that are really held for one purpose, and the most that ever were.
public struct ArenaMeter: Sendable, Equatable {
    public private(set) var current = 0
    public private(set) var peak = 0

    mutating func add(_ bytes: Int) {
        current += bytes
        peak = max(peak, current)
    }

    mutating func remove(_ bytes: Int) { current -= bytes }
}

/// The real bytes of one KV block, and which weights made them.
final class ArenaBlock {
    let kv: KVBlock
    /// Rows in the order in which they were written; noted for audits only.
    var made: [(rows: Range<Int>, version: Int)] = []

    init(_ kv: KVBlock) { self.kv = kv }

    /// Takes over the first `rows` rows of another block.
    func copy(_ source: ArenaBlock, rows: Int) {
        for layer in 0..<kv.layers {
            move(source.kv.bytes(layer: layer, rows: 0..<rows), to: kv.bytes(layer: layer, rows: 0..<rows))
        }
        made = source.made.compactMap { part in
            let kept = part.rows.clamped(to: 0..<rows)
            return kept.isEmpty ? nil : (kept, part.version)
        }
    }
}

/// The real bytes of one record chunk, wherever its pieces are.
struct ChunkData {
    /// One layer's activations with its K and V, copied out of the request's blocks; for the pseudo-layer after the last
    /// one, the final norm's inputs. A chunk that decoding fills has a block for each token, others have one.
    struct Copy {
        var activations: [Stored<ActivationBlock>] = []
        var kv: Stored<KVBlock>?
        var final: [Stored<FinalBlock>] = []

        var byteCount: Int {
            activations.reduce(0) { $0 + $1.byteCount } + final.reduce(0) { $0 + $1.byteCount } + (kv?.byteCount ?? 0)
        }
    }

    var record: DataMovement.Record
    /// The KV blocks that `record` names.
    let blocks: [KVBlock]
    /// What serving wrote, by layer; the last is the final norm's input.
    var device: [Copy]
    var host: [Copy]
    var staged: [Copy]

    var tokens: Range<Int> { record.first..<record.first + record.rows }
    /// Positions of the activation blocks, in their order.
    var parts: [Range<Int>] { record.grows ? tokens.map { $0..<$0 + 1 } : [tokens] }
}

/// Copies bytes between two blocks of the same shape.
func move(_ source: UnsafeMutableRawBufferPointer, to target: UnsafeMutableRawBufferPointer) {
    precondition(source.count == target.count, "\(source.count) bytes do not fill \(target.count)")
    target.copyMemory(from: UnsafeRawBufferPointer(source))
}
