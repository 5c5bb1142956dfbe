/// Some consecutive tokens of one sequence in a serving batch: a chunk of its prompt, or the token being decoded.
public struct ServingSlice {
    /// Token ids.
    public var tokens: [Int32]
    /// Position of the first.
    public var start: Int
    /// The sequence's K and V from position 0 to `start + tokens.count`; the slice writes its own rows.
    public var kv: [KVSpan]
    /// Where to leave the slice's activations; nil records nothing.
    public var record: SliceRecord?
    /// Whether to compute the logits of the last token.
    public var wantsLogits: Bool

    public init(
        tokens: [Int32], start: Int, kv: [KVSpan], record: SliceRecord? = nil, wantsLogits: Bool = false
    ) {
        self.tokens = tokens
        self.start = start
        self.kv = kv
        self.record = record
        self.wantsLogits = wantsLogits
    }
}

/// Blocks that receive what a slice computes.
public struct SliceRecord {
    /// One block per layer, each of exactly the slice's tokens and of any plan; nil leaves a layer out. That of the last
    /// layer says by its `queryRows` of how many last tokens it takes more than the input: of those that carry loss.
    public var layers: [Stored<ActivationBlock>?]
    /// Receives the final norm's input of as many last tokens as it has rows.
    public var final: Stored<FinalBlock>?

    public init(stored layers: [Stored<ActivationBlock>?], final: Stored<FinalBlock>? = nil) {
        self.layers = layers
        self.final = final
    }

    /// Blocks that take everything as it is computed.
    public init(layers: [ActivationBlock?], final: FinalBlock? = nil) {
        self.init(stored: layers.map { $0.map { .plain($0) } }, final: final.map { .plain($0) })
    }
}

/// Serving's forward pass over a batch of slices: all tokens share the matrix products, attention is per slice.
///
/// In the last layer only the tokens whose output somebody reads go through q, attention and MLP: those whose logits are
/// wanted, and those that a record needs it of. All others leave their K and V.
///
/// One caller at a time. Scratch and tables grow to the largest batch seen and are reused.
public final class Transformer {
    public let config: ModelConfig
    public let pool: ThreadPool
    let rotary: RotaryEmbedding
    private let layer: DecoderLayer
    private let scratch = Scratch()
    private let headScratch = Scratch()
    private var placement = BatchPlacement()
    private var next: [Int32?] = []

    public init(_ config: ModelConfig, pool: ThreadPool) {
        precondition(config.problems.isEmpty, config.problems.joined(separator: "; "))
        self.config = config
        self.pool = pool
        rotary = RotaryEmbedding(
            headSize: config.headSize, theta: config.ropeTheta, scaling: config.ropeScaling,
            positions: config.maxContext)
        layer = DecoderLayer(config, rotary: rotary, pool: pool)
        SkinnyProduct.reserve(columns: Self.widestInput(config), pool: pool)
    }

    private static func widestInput(_ config: ModelConfig) -> Int {
        max(config.hidden, config.queryWidth, config.intermediate)
    }

    /// Floats that are held whatever the batch is: the rotary angles, and the rows that products with few rows pack, in
    /// memory of the pool that all of the process's work shares.
    private static func fixedFloats(_ config: ModelConfig) -> Int {
        RotaryEmbedding.tableFloats(headSize: config.headSize, positions: config.maxContext)
            + SkinnyProduct.packedFloats(columns: widestInput(config))
    }

    /// Bytes of scratch for a batch of `rows` tokens, `logits` of which want logits: two residual streams, the tensors
    /// of one layer, the layer's scratch, and the rows of logits; attention's scratch for each thread; rotary tables,
    /// and packed rows of products with few rows. Tables of pointers and positions, some dozen bytes per row, are left
    /// out.
    public static func workspaceByteCount(
        _ config: ModelConfig, lora: LoRAConfig? = nil, rows: Int, logits: Int, threads: Int
    ) -> Int {
        let perRow = streamFloats(config) + DecoderLayer.scratchFloatsPerRow(config, lora)
        let tiles = Attention.scratchFloats(config.attentionShape, threads: threads, backward: false)
        let floats = rows * perRow + logits * (config.hidden + config.vocabulary) + tiles + fixedFloats(config)
        return floats * MemoryLayout<Float>.stride
    }

    /// Floats per token of two residual streams and of the tensors of one layer.
    private static func streamFloats(_ config: ModelConfig) -> Int {
        2 * config.hidden + SavePlan.full.queryFloats(config)
    }

    /// Bytes of scratch held now: what the largest batch so far needed.
    public var scratchByteCount: Int {
        scratch.byteCount + headScratch.byteCount + layer.scratchByteCount
            + Self.fixedFloats(config) * MemoryLayout<Float>.stride
    }

    /// Runs the batch; returns the greedy next token of each slice that wants logits, nil for the others.
    ///
    /// `logits`, when given, receives the rows of logits [slices that want them, vocabulary] in batch order.
    public func forward(
        _ batch: [ServingSlice], _ parameters: ModelParameters, logits: UnsafeMutableBufferPointer<Float>? = nil
    ) -> [Int32?] {
        precondition(parameters.weights.config == config, "these weights belong to another model")
        placement.place(batch, config)
        next.removeAll(keepingCapacity: true)
        guard placement.rows > 0 else {
            for _ in batch { next.append(nil) }
            return next
        }
        let streams = streams(rows: placement.rows)
        embed(batch, parameters.weights, into: streams.even)
        for index in 0..<config.layers {
            runLayer(index, batch, parameters, streams)
        }
        let result = config.layers.isMultiple(of: 2) ? streams.even : streams.odd
        recordFinal(batch, result)
        head(batch, parameters.weights, result, logits)
        return next
    }

    /// Two residual streams used in turn, and one layer's tensors.
    private struct Streams {
        let even: Matrix
        let odd: Matrix
        let layer: UnsafeMutablePointer<Float>
    }

    private func streams(rows: Int) -> Streams {
        let h = config.hidden
        let base = scratch.reserve(rows * Self.streamFloats(config))
        return Streams(
            even: Matrix(base, rows: rows, columns: h), odd: Matrix(base + rows * h, rows: rows, columns: h),
            layer: base + 2 * rows * h)
    }

    private func embed(_ batch: [ServingSlice], _ weights: Weights, into stream: Matrix) {
        var row = 0
        for slice in batch {
            slice.tokens.withUnsafeBufferPointer {
                Embedding.forward(table: weights.embedding, tokens: $0, y: stream.base + row * config.hidden)
            }
            row += slice.tokens.count
        }
    }

    /// One layer. When the batch is one recorded slice its products go straight into the block, if that takes floats;
    /// otherwise recorded rows are copied, and rounded, while they are still in cache.
    private func runLayer(
        _ index: Int, _ batch: [ServingSlice], _ parameters: ModelParameters, _ streams: Streams
    ) {
        let rows = placement.rows
        let isLast = index + 1 == config.layers
        let wanted = isLast ? placement.wanted.count : rows
        let input = index.isMultiple(of: 2) ? streams.even : streams.odd
        let output = (index.isMultiple(of: 2) ? streams.odd : streams.even).rows(from: 0, count: wanted)
        let block = batch.count == 1 ? batch[0].record?.layers[index]?.plain : nil
        let direct = block?.queryRows == wanted ? block : nil
        var tensors = LayerRows(x: input, QueryPlanes(streams.layer, config, rows: wanted, plan: .full))
        if let direct {
            Rows.copy(input.asRows, to: direct.x.asRows, count: rows, width: config.hidden, pool: pool)
            tensors.x = direct.x
            tensors.place(direct.planes, keptBy: direct.plan)
        }
        placement.locate(batch, layer: index)
        layer.forward(
            tensors, output: output, placement.rows(wantedOnly: isLast), weights: parameters.weights.layer(index),
            adapters: parameters.adapters?.layer(index))
        if direct == nil { copyRecords(index, batch, tensors) }
    }

    private func copyRecords(_ index: Int, _ batch: [ServingSlice], _ t: LayerRows) {
        let isLast = index + 1 == config.layers
        for (slice, place) in zip(batch, placement.slices) {
            guard let record = slice.record?.layers[index] else { continue }
            let end = isLast ? place.wanted.upperBound : place.rows.upperBound
            guard case .plain(let block) = record else {
                record.narrow?.store(
                    ActivationBlock.tensors(
                        x: t.x.rows(from: place.rows.lowerBound, count: record.rows),
                        QueryPlanes(t), plan: record.plan, row: end - record.queryRows), pool: pool)
                continue
            }
            copy(t.x, row: place.rows.lowerBound, to: block.x)
            if block.plan.savesAttention {
                copy(t.q, row: end - block.queryRows, to: block.planes.q)
                copy(t.o, row: end - block.queryRows, to: block.planes.o)
                copy(t.lse, row: end - block.queryRows, to: block.planes.lse)
                copy(t.x2, row: end - block.queryRows, to: block.planes.x2)
            }
            if block.plan.savesGate { copy(t.gateUp, row: end - block.queryRows, to: block.planes.gateUp) }
        }
    }

    private func recordFinal(_ batch: [ServingSlice], _ stream: Matrix) {
        for (slice, place) in zip(batch, placement.slices) {
            guard let record = slice.record?.final else { continue }
            let row = place.wanted.upperBound - record.rows
            switch record {
            case .plain(let block): copy(stream, row: row, to: block.x)
            case .narrow(let block): block.store([stream.rows(from: row, count: record.rows)], pool: pool)
            }
        }
    }

    /// Fills `target` with as many rows of `source` from `row` on.
    private func copy(_ source: Matrix, row: Int, to target: Matrix) {
        Rows.copy(
            source.asRows.dropping(row), to: target.asRows, count: target.rows, width: target.columns, pool: pool)
    }

    /// Final norm, head and greedy choice of the last tokens that want logits; appends to `next`.
    private func head(
        _ batch: [ServingSlice], _ weights: Weights, _ stream: Matrix, _ logits: UnsafeMutableBufferPointer<Float>?
    ) {
        let v = config.vocabulary
        let h = config.hidden
        let count = batch.reduce(0) { $0 + ($1.wantsLogits ? 1 : 0) }
        guard count > 0 else {
            for _ in batch { next.append(nil) }
            return
        }
        let memory = headScratch.reserve(count * (h + v))
        let normed = Matrix(memory, rows: count, columns: h)
        var scores = Matrix(memory + count * h, rows: count, columns: v)
        if let logits {
            precondition(logits.count >= count * v, "the logits need \(count * v) floats")
            if let base = logits.baseAddress { scores = Matrix(base, rows: count, columns: v) }
        }
        var index = 0
        for (slice, place) in zip(batch, placement.slices) where slice.wantsLogits {
            RMSNorm.forward(
                x: stream.asRows.dropping(place.wanted.upperBound - 1), gain: weights.finalNorm,
                epsilon: Float(config.rmsEpsilon), y: normed.asRows.dropping(index), count: 1, width: h, pool: pool)
            index += 1
        }
        MatrixProduct.forward(normed, weights.head, scores, pool: pool)
        index = 0
        for slice in batch {
            guard slice.wantsLogits else {
                next.append(nil)
                continue
            }
            next.append(Int32(truncatingIfNeeded: CrossEntropy.greedy(scores.base + index * v, v)))
            index += 1
        }
    }
}

extension SkinnyProduct {
    /// Floats that `reserve` has the pool hold.
    static func packedFloats(columns: Int) -> Int { max(alwaysRows * columns, 160 << 10) }
}
